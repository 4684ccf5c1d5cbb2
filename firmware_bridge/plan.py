"""Where everything lies in the arena, and in which order the steps run.

The order is searched for the smallest peak of live bytes, operators that may work in place do, outputs slide into
inputs that are used up in order, and the blocks are placed by several fitting rules, of which the smallest result is
kept. ``Plan`` carries a lower bound for that order beside the size that was reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.errors import ArenaOverflowError
from firmware_bridge.liveness import Block, find_blocks, find_slides, lower_bound
from firmware_bridge.order import searched_order
from firmware_bridge.placement import ARENA_ALIGN, place_blocks, round_up
from firmware_bridge.program import Program, short_name
from firmware_bridge.targets import Target


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
    for order in sorted({natural, searched_order(program)}):
        blocks = find_blocks(program, order)
        slides = find_slides(program, order, blocks)
        candidates.append((lower_bound(blocks, slides), order != natural, order, blocks, slides))
    bound, _, order, blocks, slides = min(candidates, key=lambda entry: entry[:3])
    offsets = place_blocks(blocks, slides, bound)
    arena = max((offset + block.nbytes for offset, block in zip(offsets, blocks, strict=True)), default=0)
    offset_of, scratch_of = {}, [0] * len(order)
    for offset, block in zip(offsets, blocks, strict=True):
        for buffer in block.buffers:
            offset_of[buffer] = offset
        if not block.buffers:
            scratch_of[block.first] = offset
    state_offset_of, state_bytes = _place_state(program)
    peak = _peak(program, order, blocks)
    return Plan(
        order, offset_of, tuple(scratch_of), round_up(arena, ARENA_ALIGN), bound, state_offset_of, state_bytes, peak
    )


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


def _place_state(program: Program) -> tuple[dict[int, int], int]:
    offset_of, size = {}, 0
    states = [buffer for buffer in program.buffers if buffer.place == "state"]
    for buffer in sorted(states, key=lambda entry: (-entry.align, entry.index)):
        size = round_up(size, buffer.align)
        offset_of[buffer.index] = size
        size += buffer.nbytes
    return offset_of, round_up(size, 4)


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
