"""When each piece of the arena is in use, which pieces may overlap, and the size that no placement can beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from firmware_bridge.program import Program, Step

SCRATCH_ALIGN: Final = 8


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


def arena_buffers(program: Program, buffers: frozenset[int]) -> set[int]:
    """Return those of some buffers that lie in the arena."""
    return {buffer for buffer in buffers if program.buffers[buffer].place == "arena"}


def _lifetimes(program: Program, order: Sequence[int]) -> dict[int, tuple[int, int]]:
    """First and last position of every arena buffer."""
    last = len(order) - 1
    spans: dict[int, tuple[int, int]] = {port.buffer: (0, 0) for port in program.inputs}
    for position, index in enumerate(order):
        step = program.steps[index]
        for buffer in arena_buffers(program, step.reads | step.writes):
            first, _ = spans.get(buffer, (position, position))
            spans[buffer] = (first, position)
    for port in program.outputs:
        first, _ = spans[port.buffer]
        spans[port.buffer] = (first, max(last, 0))
    return spans


def find_blocks(program: Program, order: Sequence[int]) -> list[Block]:
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


def saving(source_bytes: int, target_bytes: int, distance: int) -> int:
    """Bytes that two blocks save by overlapping with the source ``distance`` bytes behind the target's beginning."""
    return max(0, source_bytes + target_bytes - max(distance + source_bytes, target_bytes))


def find_slides(program: Program, order: Sequence[int], blocks: Sequence[Block]) -> Slides:
    """Pairs of blocks that may overlap: the source dies in the step in which the target begins.

    A block with a graph output never dies: the caller reads it after the last step.
    """
    kept = {port.buffer for port in program.outputs}
    home = {buffer: index for index, block in enumerate(blocks) for buffer in block.buffers}
    found: Slides = {}
    for position, index in enumerate(order):
        for source, target, distance, unit in program.steps[index].slides:
            a, b = home[source], home[target]
            if a != b and blocks[a].last == position == blocks[b].first and kept.isdisjoint(blocks[a].buffers):
                found[a, b] = (distance, unit)
    return found


def lower_bound(blocks: Sequence[Block], slides: Slides) -> int:
    """Size below which no placement of these blocks exists.

    The peak of live bytes is one bound. In an arena too small to hold all that is live in a step beside each other its
    slide is forced, and a chain of forced slides needs the sum of its distances: the smallest size that is consistent
    with what it forces is another. Two blocks of a forced slide are one piece, so that the step's scratch lies above
    or below both.
    """
    positions = range(max((block.last for block in blocks), default=0) + 1)
    live = [sum(block.nbytes for block in blocks if block.first <= at <= block.last) for at in positions]
    for (a, b), (distance, _) in slides.items():
        live[blocks[b].first] -= saving(blocks[a].nbytes, blocks[b].nbytes, distance)
    peak = max(live)
    beside = {
        (a, b): live[blocks[b].first] + saving(blocks[a].nbytes, blocks[b].nbytes, distance)
        for (a, b), (distance, _) in slides.items()
    }
    sizes = sorted({peak, *(nbytes for nbytes in beside.values() if nbytes > peak)})
    for size, limit in zip(sizes, [*sizes[1:], 1 << 62], strict=True):
        forced = {pair: slide for pair, slide in slides.items() if beside[pair] > size}
        needed = max(size, _forced_height(blocks, forced))
        if needed < limit:
            return needed
    return peak


def _forced_height(blocks: Sequence[Block], forced: Slides) -> int:
    """Height of blocks that stand on each other's distances, and of each step's scratch above or below its two."""
    nothing = [0] * len(blocks)
    offsets = _chain_offsets(blocks, forced, nothing)
    height = _height(blocks, offsets)
    scratch_at = {block.first: block.nbytes for block in blocks if not block.buffers}
    for pair in forced:
        scratch = scratch_at.get(blocks[pair[1]].first, 0)
        if scratch:
            above = scratch + max(offsets[index] + blocks[index].nbytes for index in pair)
            lifted = [scratch if index == pair[1] else 0 for index in range(len(blocks))]
            height = max(height, min(above, _height(blocks, _chain_offsets(blocks, forced, lifted))))
    return height


def _chain_offsets(blocks: Sequence[Block], forced: Slides, least: Sequence[int]) -> list[int]:
    """Return the smallest offsets that forced slides allow, none below its ``least``."""
    offsets = list(least)
    for a, b in sorted(forced, key=lambda pair: -blocks[pair[1]].first):  # a source ends where its target begins
        offsets[a] = max(offsets[a], offsets[b] + forced[a, b][0])
    return offsets


def _height(blocks: Sequence[Block], offsets: Sequence[int]) -> int:
    return max((offset + block.nbytes for offset, block in zip(offsets, blocks, strict=True)), default=0)
