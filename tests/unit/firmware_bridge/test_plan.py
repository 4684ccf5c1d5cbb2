"""The arena's layout."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import ArenaOverflowError
from firmware_bridge.lower import lower_model
from firmware_bridge.model import Quantization, read_model
from firmware_bridge.plan import Plan, check_fits, plan_program
from firmware_bridge.program import Program
from firmware_bridge.targets import TARGETS, Target
from tests.unit.firmware_bridge.small_models import CODE, chain_model, maker, model_of


def _planned(data: bytes, target: str = "rv32") -> tuple[Program, Plan]:
    program = lower_model(read_model(data), TARGETS[target])
    return program, plan_program(program)


def _branches() -> bytes:
    """Two branches whose order decides how much is live: a wide one and a narrow one, both from the input."""
    graph = maker()
    source = graph.tensor((1, 4), "int8", CODE)

    def dense(current: int, units: int) -> int:
        depth = graph.shape(current)[1]
        weights = graph.constant(np.ones((units, depth), np.int8), Quantization((0.01,), (0,), 0))
        target = graph.tensor((1, units), "int8", CODE)
        graph.operator("FULLY_CONNECTED", [current, weights, -1], [target], {"activation": 0, "weights_format": 0})
        return target

    wide_a, wide_b = dense(source, 256), dense(source, 256)
    a, b = dense(wide_a, 4), dense(wide_b, 4)
    target = graph.tensor((1, 4), "int8", CODE)
    graph.operator("ADD", [a, b], [target], {"activation": 0})
    return model_of(graph, (source,), (target,))


def _convolution() -> bytes:
    graph = maker()
    source, target = graph.tensor((1, 4, 4, 4), "int8", CODE), graph.tensor((1, 4, 4, 2), "int8", CODE)
    weights = graph.constant(np.ones((2, 3, 3, 4), np.int8), Quantization((0.01,), (0,), 0))
    options = {"padding": 0, "stride_w": 1, "stride_h": 1, "activation": 0, "dilation_w": 1, "dilation_h": 1}
    graph.operator("CONV_2D", [source, weights, -1], [target], options)
    return model_of(graph, (source,), (target,))


def test_chain_needs_two_neighbours_at_a_time() -> None:
    _, plan = _planned(chain_model(6))
    assert (plan.arena_bytes, plan.lower_bound) == (16, 16)


def test_order_is_searched_for_a_smaller_peak() -> None:
    _, plan = _planned(_branches())
    assert plan.order == (0, 2, 1, 3, 4)
    assert plan.lower_bound == 256 + 4 + 4


def test_elementwise_operator_works_in_place() -> None:
    program, plan = _planned(_branches())
    add = program.steps[-1]
    (target,) = add.writes
    assert plan.offset_of[target] in {plan.offset_of[buffer] for buffer in add.reads}


def test_smlad_targets_get_more_scratch_for_convolutions() -> None:
    scratch = {}
    for target in ("rv32", "cortex-m4"):
        program, _ = _planned(_convolution(), target)
        scratch[target] = program.steps[0].scratch_bytes
    assert scratch == {"rv32": 36, "cortex-m4": 288}


@pytest.mark.parametrize("with_input", [False, True])
def test_output_that_the_last_step_reads_is_not_slid_over(with_input: bool) -> None:
    """The step writes behind what it has read, but the caller reads the features, or the input, after it."""
    graph = maker()
    source = current = graph.tensor((1, 6, 6, 4), "int8", CODE)
    outputs = [source] if with_input else []
    for _ in range(1 if with_input else 2):
        target = graph.tensor((1, 6, 6, 4), "int8", CODE)
        weights = graph.constant(np.ones((4, 3, 3, 4), np.int8), Quantization((0.01,), (0,), 0))
        options = {"padding": 0, "stride_w": 1, "stride_h": 1, "activation": 0, "dilation_w": 1, "dilation_h": 1}
        graph.operator("CONV_2D", [current, weights, -1], [target], options)
        outputs.append(target)
        current = target
    program, plan = _planned(model_of(graph, (source,), tuple(outputs)))
    a, b = (plan.offset_of[port.buffer] for port in program.outputs)
    assert program.steps[-1].slides
    assert abs(a - b) >= 6 * 6 * 4


def test_plan_is_the_same_every_time() -> None:
    assert _planned(_branches())[1] == _planned(_branches())[1]


def test_too_small_target_names_the_biggest_contributors() -> None:
    _, plan = _planned(_branches())
    tiny = Target("tiny", smlad=False, ram_bytes=100, flags="")
    with pytest.raises(ArenaOverflowError, match=r"tiny has 100; biggest at the peak: .*256 bytes") as caught:
        check_fits(plan, tiny)
    assert caught.value.exit_code == 3


def test_target_without_a_limit_takes_everything() -> None:
    _, plan = _planned(_branches())
    check_fits(plan, TARGETS["generic"])
