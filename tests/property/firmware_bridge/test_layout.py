"""Invariants of planning over random graphs."""

from __future__ import annotations

import itertools

import pytest

from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.lower import lower_model
from firmware_bridge.model import read_model
from firmware_bridge.plan import Plan, plan_program
from firmware_bridge.program import Program
from firmware_bridge.targets import TARGETS

SEEDS = range(60)


def _planned(seed: int) -> tuple[Program, Plan]:
    program = lower_model(read_model(random_model(seed)), TARGETS["generic"])
    return program, plan_program(program)


def _spans(program: Program, plan: Plan) -> dict[int, tuple[int, int]]:
    """First and last position in the order at which each arena buffer holds something."""
    spans = {port.buffer: (-1, -1) for port in program.inputs}
    for position, index in enumerate(plan.order):
        step = program.steps[index]
        for buffer in step.reads | step.writes:
            if program.buffers[buffer].place == "arena":
                first, _ = spans.get(buffer, (position, position))
                spans[buffer] = (first, position)
    for port in program.outputs:
        spans[port.buffer] = (spans[port.buffer][0], len(plan.order))
    return spans


def _slides_far_enough(ahead: int, slide: tuple[int, int] | None) -> bool:
    """Whether what is read begins as far behind what is written as the operator needs."""
    return slide is not None and ahead >= slide[0] and ahead % slide[1] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_live_buffers_share_no_byte_unless_the_operator_allows_it(seed: int) -> None:
    program, plan = _planned(seed)
    allowed = {pair for step in program.steps for pair in step.in_place}
    slides = {(source, target): (d, unit) for step in program.steps for source, target, d, unit in step.slides}
    spans = _spans(program, plan)
    for a, b in itertools.combinations(spans, 2):
        live_together = spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1]
        touching = spans[a][1] == spans[b][0] or spans[b][1] == spans[a][0]
        if not live_together or (touching and {(a, b), (b, a)} & allowed):
            continue
        ahead = plan.offset_of[a] - plan.offset_of[b]
        if touching and _slides_far_enough(ahead, slides.get((a, b))):
            continue
        if touching and _slides_far_enough(-ahead, slides.get((b, a))):
            continue
        end_a = plan.offset_of[a] + program.buffers[a].nbytes
        end_b = plan.offset_of[b] + program.buffers[b].nbytes
        assert end_a <= plan.offset_of[b] or end_b <= plan.offset_of[a], (a, b)


@pytest.mark.parametrize("seed", SEEDS)
def test_scratch_touches_nothing_that_is_live(seed: int) -> None:
    program, plan = _planned(seed)
    spans = _spans(program, plan)
    for position, index in enumerate(plan.order):
        start = plan.scratch_of[position]
        end = start + program.steps[index].scratch_bytes
        for buffer, (first, last) in spans.items():
            if first <= position <= last and end > start:
                offset = plan.offset_of[buffer]
                assert end <= offset or offset + program.buffers[buffer].nbytes <= start


@pytest.mark.parametrize("seed", [*SEEDS, 3313])
def test_every_buffer_is_aligned_to_its_type(seed: int) -> None:
    program, plan = _planned(seed)
    for buffer, offset in (plan.offset_of | plan.state_offset_of).items():
        assert offset % program.buffers[buffer].align == 0
    assert all(offset % 8 == 0 for offset in plan.scratch_of)


@pytest.mark.parametrize("seed", SEEDS)
def test_arena_is_within_five_percent_of_the_lower_bound(seed: int) -> None:
    _, plan = _planned(seed)
    assert plan.arena_bytes <= plan.lower_bound * 1.05 + 16


@pytest.mark.parametrize("seed", SEEDS)
def test_every_step_runs_once_after_what_it_reads(seed: int) -> None:
    program, plan = _planned(seed)
    assert sorted(plan.order) == list(range(len(program.steps)))
    written = {port.buffer for port in program.inputs}
    for index in plan.order:
        step = program.steps[index]
        needed = {buffer for buffer in step.reads if program.buffers[buffer].place == "arena"}
        assert needed <= written
        written |= step.writes
