"""Where everything lies in the arena, and in which order the steps run.

The order is searched for the smallest peak of live bytes (beam search over the graph's cuts), operators that may work
in place do, outputs slide into inputs that are used up in order, and the blocks are placed by several fitting rules,
of which the smallest result is kept. ``Plan`` carries a lower bound for that order beside the size that was reached.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_runtime.errors import ArenaOverflowError
from firmware_bridge.program import Program, Step, short_name
from firmware_bridge.targets import Target

ARENA_ALIGN: Final = 8
SCRATCH_ALIGN: Final = 8
_BEAM: Final = 64
_RESTARTS: Final = 200
_SEARCHED_STEPS: Final = 400


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of arena: buffers that share it, or one step's scratch.

    Attributes
    ----------
    buffers : tuple of int
        Empty for scratch.
    nbytes, align : int
        Size and alignment.
    first, last : int
        Positions in the order during which it is live, inclusive; inputs start at 0.
    """

    buffers: tuple[int, ...]
    nbytes: int
    align: int
    first: int
    last: int


#: By (index of the block that is read, index of the one that is written), if they overlap: how many bytes the first
#: must begin after the second at least, and the unit that this number must be a multiple of.
Slides = dict[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Plan:
    """The arena's layout.

    Attributes
    ----------
    order : tuple of int
        Indices of the program's steps as they run.
    offset_of : dict of int to int
        Byte offset of every arena buffer.
    scratch_of : tuple of int
        Byte offset of each step's scratch, by position in the order; 0 where there is none.
    arena_bytes : int
        What the caller provides.
    lower_bound : int
        No placement for this order can be smaller.
    state_offset_of : dict of int to int
        Byte offset of every state buffer.
    state_bytes : int
        State that the caller keeps between invocations.
    peak : tuple of (str, int)
        What is live at the peak, biggest first.
    """

    order: tuple[int, ...]
    offset_of: dict[int, int]
    scratch_of: tuple[int, ...]
    arena_bytes: int
    lower_bound: int
    state_offset_of: dict[int, int]
    state_bytes: int
    peak: tuple[tuple[str, int], ...]


def plan_program(program: Program) -> Plan:
    """Find an order and a layout.

    Parameters
    ----------
    program : Program
        As lowered.

    Returns
    -------
    plan : Plan
        The smallest of what was tried; the same for the same program.
    """
    natural = tuple(range(len(program.steps)))
    candidates = []
    for order in sorted({natural, _searched_order(program)}):
        blocks = _blocks(program, order)
        slides = _slides(program, order, blocks)
        candidates.append((_lower_bound(blocks, slides), order != natural, order, blocks, slides))
    bound, _, order, blocks, slides = min(candidates, key=lambda entry: entry[:3])
    offsets = _place(blocks, slides, bound)
    arena = max((offset + block.nbytes for offset, block in zip(offsets, blocks, strict=True)), default=0)
    offset_of, scratch_of = {}, [0] * len(order)
    for offset, block in zip(offsets, blocks, strict=True):
        for buffer in block.buffers:
            offset_of[buffer] = offset
        if not block.buffers:
            scratch_of[block.first] = offset
    state_offset_of, state_bytes = _place_state(program)
    peak = _peak(program, order, blocks)
    return Plan(order, offset_of, tuple(scratch_of), _up(arena, ARENA_ALIGN), bound, state_offset_of, state_bytes, peak)


def check_fits(plan: Plan, target: Target) -> None:
    """Refuse a plan that needs more RAM than the target has.

    Raises
    ------
    ArenaOverflowError
        With the biggest contributors at the peak.
    """
    needed = plan.arena_bytes + plan.state_bytes
    if target.ram_bytes is None or needed <= target.ram_bytes:
        return
    biggest = ", ".join(f"{name} {nbytes} bytes" for name, nbytes in plan.peak[:4])
    raise ArenaOverflowError(
        f"the model needs {needed} bytes of RAM (arena {plan.arena_bytes}, state {plan.state_bytes}), "
        f"{target.name} has {target.ram_bytes}; biggest at the peak: {biggest}; "
        "use a smaller input or fewer channels in front"
    )


def _up(value: int, align: int) -> int:
    return -(-value // align) * align


def _depends(program: Program) -> list[set[int]]:
    """Return for each step the writers of what it reads and the last users of its state before it."""
    writer: dict[int, int] = {}
    last_user: dict[int, int] = {}
    before: list[set[int]] = []
    for index, step in enumerate(program.steps):
        needed = {writer[buffer] for buffer in step.reads if buffer in writer}
        for buffer in step.reads | step.writes:
            if program.buffers[buffer].place == "state":
                if buffer in last_user:
                    needed.add(last_user[buffer])
                last_user[buffer] = index
        for buffer in step.writes:
            writer[buffer] = index
        before.append(needed)
    return before


def _arena_buffers(program: Program, buffers: frozenset[int]) -> set[int]:
    return {buffer for buffer in buffers if program.buffers[buffer].place == "arena"}


class _Search:
    """Beam search for an order with a small peak of live bytes."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.before = _depends(program)
        self.kept = {port.buffer for port in program.outputs}
        self.readers: dict[int, int] = {}
        for index, step in enumerate(program.steps):
            for buffer in _arena_buffers(program, step.reads):
                self.readers[buffer] = self.readers.get(buffer, 0) | 1 << index

    def _advance(self, done: int, live: int, index: int) -> tuple[int, int]:
        """Peak during a step and live bytes after it."""
        program, step = self.program, self.program.steps[index]
        written = _arena_buffers(program, step.writes)
        grown = sum(program.buffers[buffer].nbytes for buffer in written)
        after = done | 1 << index
        dying = [
            buffer
            for buffer in _arena_buffers(program, step.reads)
            if buffer not in self.kept and self.readers[buffer] & ~after == 0
        ]
        shared = max(
            (
                program.buffers[target].nbytes
                for source, target in step.in_place
                if source in dying and program.buffers[source].nbytes >= program.buffers[target].nbytes
            ),
            default=0,
        )
        overlap = max(
            (
                _saving(program.buffers[source].nbytes, program.buffers[target].nbytes, distance)
                for source, target, distance, _ in step.slides
                if source in dying
            ),
            default=0,
        )
        peak = live + grown - max(shared, overlap) + step.scratch_bytes
        freed = sum(program.buffers[buffer].nbytes for buffer in dying)
        unused = sum(
            program.buffers[buffer].nbytes
            for buffer in written
            if buffer not in self.kept and buffer not in self.readers
        )
        return peak, live + grown - freed - unused

    def run(self) -> tuple[int, ...]:
        """Return the order found."""
        program = self.program
        start = sum(program.buffers[buffer].nbytes for buffer in {port.buffer for port in program.inputs})
        beam: list[tuple[int, int, int, tuple[int, ...]]] = [(start, start, 0, ())]
        for _ in program.steps:
            best: dict[int, tuple[int, int, int, tuple[int, ...]]] = {}
            for peak, live, done, order in beam:
                for index in range(len(program.steps)):
                    if done >> index & 1 or any(not done >> need & 1 for need in self.before[index]):
                        continue
                    during, rest = self._advance(done, live, index)
                    entry = (max(peak, during), rest, done | 1 << index, (*order, index))
                    if entry[2] not in best or entry < best[entry[2]]:
                        best[entry[2]] = entry
            beam = sorted(best.values())[:_BEAM]
        return beam[0][3]


def _searched_order(program: Program) -> tuple[int, ...]:
    if len(program.steps) > _SEARCHED_STEPS:
        return tuple(range(len(program.steps)))
    return _Search(program).run()


def _lifetimes(program: Program, order: Sequence[int]) -> dict[int, tuple[int, int]]:
    """First and last position of every arena buffer."""
    last = len(order) - 1
    spans: dict[int, tuple[int, int]] = {port.buffer: (0, 0) for port in program.inputs}
    for position, index in enumerate(order):
        step = program.steps[index]
        for buffer in _arena_buffers(program, step.reads | step.writes):
            first, _ = spans.get(buffer, (position, position))
            spans[buffer] = (first, position)
    for port in program.outputs:
        first, _ = spans[port.buffer]
        spans[port.buffer] = (first, max(last, 0))
    return spans


def _blocks(program: Program, order: Sequence[int]) -> list[Block]:
    """Lifetimes with in-place operators joined, and every step's scratch."""
    spans = _lifetimes(program, order)
    inputs = {port.buffer for port in program.inputs}
    outputs = {port.buffer for port in program.outputs}
    home = {buffer: buffer for buffer in spans}
    members: dict[int, list[int]] = {buffer: [buffer] for buffer in spans}
    for position, index in enumerate(order):
        for source, target in _sharing(program.steps[index], program):
            may_share = (
                spans[source][1] == position
                and source not in outputs
                and target not in inputs
                and home[target] == target
                and len(members[target]) == 1
            )
            if may_share:
                root = home[source]
                home[target] = root
                members[root].append(target)
                del members[target]
                break
    blocks = [
        Block(
            tuple(group),
            max(program.buffers[buffer].nbytes for buffer in group),
            max(program.buffers[buffer].align for buffer in group),
            min(spans[buffer][0] for buffer in group),
            max(spans[buffer][1] for buffer in group),
        )
        for group in members.values()
    ]
    for position, index in enumerate(order):
        scratch = program.steps[index].scratch_bytes
        if scratch:
            blocks.append(Block((), scratch, SCRATCH_ALIGN, position, position))
    return blocks


def _sharing(step: Step, program: Program) -> list[tuple[int, int]]:
    """In-place pairs whose source is big enough, tightest first."""
    sizes = program.buffers
    pairs = [pair for pair in step.in_place if sizes[pair[0]].nbytes >= sizes[pair[1]].nbytes]
    return sorted(pairs, key=lambda pair: sizes[pair[0]].nbytes)


def _saving(source_bytes: int, target_bytes: int, distance: int) -> int:
    """Bytes that two blocks save by overlapping with the source ``distance`` bytes behind the target's beginning."""
    return max(0, source_bytes + target_bytes - max(distance + source_bytes, target_bytes))


def _slides(program: Program, order: Sequence[int], blocks: Sequence[Block]) -> Slides:
    """Pairs of blocks that may overlap: the source dies in the step in which the target begins."""
    home = {buffer: index for index, block in enumerate(blocks) for buffer in block.buffers}
    found: Slides = {}
    for position, index in enumerate(order):
        for source, target, distance, unit in program.steps[index].slides:
            a, b = home[source], home[target]
            if a != b and blocks[a].last == position == blocks[b].first:
                found[a, b] = (distance, unit)
    return found


def _lower_bound(blocks: Sequence[Block], slides: Slides) -> int:
    """Size below which no placement of these blocks exists.

    The peak of live bytes is one bound. In an arena too small to hold two blocks of a slide beside each other the slide
    is forced, and a chain of forced slides needs the sum of its distances: the smallest size that is consistent with
    what it forces is another.
    """
    positions = range(max((block.last for block in blocks), default=0) + 1)
    live = [sum(block.nbytes for block in blocks if block.first <= at <= block.last) for at in positions]
    for (a, b), (distance, _) in slides.items():
        live[blocks[b].first] -= _saving(blocks[a].nbytes, blocks[b].nbytes, distance)
    peak = max(live)
    pair_bytes = {pair: blocks[pair[0]].nbytes + blocks[pair[1]].nbytes for pair in slides}
    sizes = sorted({peak, *(nbytes for nbytes in pair_bytes.values() if nbytes > peak)})
    for size, limit in zip(sizes, [*sizes[1:], 1 << 62], strict=True):
        forced = {pair: slide for pair, slide in slides.items() if pair_bytes[pair] > size}
        needed = max(size, _chain_height(blocks, forced))
        if needed < limit:
            return needed
    return peak


def _chain_height(blocks: Sequence[Block], forced: Slides) -> int:
    """Height of blocks that stand on each other's distances, by the longest chain."""
    offsets = [0] * len(blocks)
    for a, b in sorted(forced, key=lambda pair: -blocks[pair[1]].first):  # a source ends where its target begins
        offsets[a] = max(offsets[a], offsets[b] + forced[a, b][0])
    return max((offset + block.nbytes for offset, block in zip(offsets, blocks, strict=True)), default=0)


def _forbidden(
    blocks: Sequence[Block], slides: Slides, offsets: Sequence[int], index: int, other: int
) -> tuple[int, int]:
    """Offsets between which a block may not begin because of another one that is placed; both ends are allowed."""
    low, high = offsets[other] - blocks[index].nbytes, offsets[other] + blocks[other].nbytes
    if (other, index) in slides:  # the other one is read, this one is written before it
        low = max(low, offsets[other] - slides[other, index][0])
    if (index, other) in slides:
        high = min(high, offsets[other] + slides[index, other][0])
    return low, high


def _fit(blocks: Sequence[Block], slides: Slides, order: Sequence[int]) -> list[int]:
    """First fit, block after block."""
    offsets = [0] * len(blocks)
    placed: list[int] = []
    for index in order:
        block = blocks[index]
        others = [i for i in placed if blocks[i].first <= block.last and block.first <= blocks[i].last]
        busy = sorted(_forbidden(blocks, slides, offsets, index, other) for other in others)
        units = [
            (other, slides[pair][1]) for other in others for pair in ((index, other), (other, index)) if pair in slides
        ]
        offset, settled = 0, False
        while not settled:
            settled = True
            for low, high in busy:
                if low < offset < high:
                    offset, settled = _up(high, block.align), False
            for other, unit in units:
                apart = offset >= offsets[other] + blocks[other].nbytes or offset + block.nbytes <= offsets[other]
                if not apart and (offset - offsets[other]) % unit:
                    offset, settled = offset + (offsets[other] - offset) % unit, False
        offsets[index] = offset
        placed.append(index)
    return offsets


def _place(blocks: Sequence[Block], slides: Slides, bound: int) -> list[int]:
    """Offsets of all blocks, the smallest arena of several rules and of seeded shuffles around the best."""
    everything = range(len(blocks))
    rules = [
        sorted(everything, key=lambda i: -blocks[i].nbytes),
        sorted(everything, key=lambda i: (-(blocks[i].last - blocks[i].first), -blocks[i].nbytes)),
        sorted(everything, key=lambda i: -blocks[i].nbytes * (1 + blocks[i].last - blocks[i].first)),
        sorted(everything, key=lambda i: (blocks[i].first, -blocks[i].nbytes)),
        sorted(everything, key=lambda i: (-blocks[i].first, -blocks[i].nbytes)),
        sorted(everything, key=lambda i: (-blocks[i].last, -blocks[i].nbytes)),
    ]
    rules += [sorted(rule, key=lambda i: not blocks[i].buffers) for rule in rules]  # scratch after everything else

    def height(offsets: Sequence[int]) -> int:
        return max((o + block.nbytes for o, block in zip(offsets, blocks, strict=True)), default=0)

    best_order = min(rules, key=lambda order: height(_fit(blocks, slides, order)))
    best = _fit(blocks, slides, best_order)
    dice = random.Random(0)  # noqa: S311 - a reproducible search, not a secret
    for _ in range(_RESTARTS):
        if height(best) <= _up(bound, ARENA_ALIGN) or len(blocks) > _SEARCHED_STEPS:
            break
        order = list(best_order)
        for _ in range(3):
            a, b = dice.randrange(len(order)), dice.randrange(len(order))
            order.insert(a, order.pop(b))
        offsets = _fit(blocks, slides, order)
        if height(offsets) <= height(best):
            best, best_order = offsets, order
    return best


def _place_state(program: Program) -> tuple[dict[int, int], int]:
    offset_of, size = {}, 0
    states = [buffer for buffer in program.buffers if buffer.place == "state"]
    for buffer in sorted(states, key=lambda entry: (-entry.align, entry.index)):
        size = _up(size, buffer.align)
        offset_of[buffer.index] = size
        size += buffer.nbytes
    return offset_of, _up(size, 4)


def _peak(program: Program, order: Sequence[int], blocks: Sequence[Block]) -> tuple[tuple[str, int], ...]:
    """Return what is live where most is live."""
    at = max(
        range(len(order) or 1),
        key=lambda position: sum(b.nbytes for b in blocks if b.first <= position <= b.last),
    )
    live = []
    for block in blocks:
        if block.first <= at <= block.last:
            if block.buffers:
                live.append((f"tensor {short_name(program.buffers[block.buffers[-1]].name)!r}", block.nbytes))
            else:
                step = program.steps[order[at]]
                live.append((f"scratch of operator {step.operator} {step.name}", block.nbytes))
    return tuple(sorted(live, key=lambda entry: -entry[1]))
