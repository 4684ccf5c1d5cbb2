"""What cannot be emitted is refused by operator, place and remedy."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import UnsupportedOperatorError
from firmware_bridge.conformance.last_layers import lstm
from firmware_bridge.conformance.maker import GraphMaker
from firmware_bridge.conformance.writer import write_model
from firmware_bridge.lower import lower_model
from firmware_bridge.model import Option, Quantization, Subgraph, read_model
from firmware_bridge.program import Program
from firmware_bridge.targets import TARGETS
from tests.unit.firmware_bridge.small_models import CODE, chain_model, maker, model_of, unary_model


def _lower(data: bytes) -> Program:
    return lower_model(read_model(data), TARGETS["generic"])


def _refused(data: bytes, *parts: str) -> None:
    with pytest.raises(UnsupportedOperatorError) as caught:
        _lower(data)
    message = str(caught.value)
    assert all(part in message for part in parts), message
    assert caught.value.exit_code == 4


def test_unknown_operator_is_named_with_place_and_remedy() -> None:
    _refused(unary_model("TRANSPOSE_CONV"), "operator 0 TRANSPOSE_CONV", "'t1'", "RESIZE_NEAREST_NEIGHBOR")


def test_all_unknown_operators_are_listed_at_once() -> None:
    graph = maker()
    tensors = [graph.tensor((1, 4), "int8", CODE) for _ in range(3)]
    graph.operator("CAST", [tensors[0]], [tensors[1]])
    graph.operator("ELU", [tensors[1]], [tensors[2]])
    _refused(model_of(graph, (tensors[0],), (tensors[2],)), "operator 0 CAST", "operator 1 ELU")


def test_float_model_is_told_to_quantize() -> None:
    _refused(unary_model("LOGISTIC", "float32"), "type float32", "quantize the model fully to int8")


def test_16_bit_activations_are_refused_as_mixed_precision() -> None:
    _refused(unary_model("TANH", "int16"), "type int16", "int8")


def test_unquantized_tensor_is_refused() -> None:
    graph = maker()
    source, target = graph.tensor((1, 4)), graph.tensor((1, 4))
    graph.operator("RELU", [source], [target])
    _refused(model_of(graph, (source,), (target,)), "is not quantized")


def test_logistic_with_another_output_scale_is_refused() -> None:
    _refused(unary_model("LOGISTIC"), "scale 0.05", "0.00390625")


def test_weights_that_are_not_constant_are_refused() -> None:
    graph = maker()
    source, weights = graph.tensor((1, 8), "int8", CODE), graph.tensor((8, 8), "int8", CODE)
    target = graph.tensor((1, 8), "int8", CODE)
    graph.operator("FULLY_CONNECTED", [source, weights, -1], [target], {"activation": 0, "weights_format": 0})
    _refused(model_of(graph, (source, weights), (target,)), "weights are computed")


def test_asymmetric_weights_are_refused() -> None:
    graph = maker()
    source, target = graph.tensor((1, 8), "int8", CODE), graph.tensor((1, 8), "int8", CODE)
    weights = graph.constant(np.ones((8, 8), np.int8), Quantization((0.01,), (3,), 0))
    graph.operator("FULLY_CONNECTED", [source, weights, -1], [target], {"activation": 0, "weights_format": 0})
    _refused(model_of(graph, (source,), (target,)), "symmetrically")


def test_sums_beyond_32_bits_are_refused() -> None:
    graph = maker()
    source, target = graph.tensor((1, 8), "int8", CODE), graph.tensor((1, 8), "int8", CODE)
    weights = graph.constant(np.full((8, 8), 127, np.int8), Quantization((0.01,), (0,), 0))
    bias = graph.constant(np.full(8, 2**31 - 1, np.int32), Quantization((0.0005,), (0,), 0))
    graph.operator("FULLY_CONNECTED", [source, weights, bias], [target], {"activation": 0, "weights_format": 0})
    _refused(model_of(graph, (source,), (target,)), "32 bits")


def test_operator_before_its_input_is_refused() -> None:
    graph = maker()
    source, middle, target = (graph.tensor((1, 4), "int8", CODE) for _ in range(3))
    graph.operator("RELU", [middle], [target])
    graph.operator("RELU", [source], [middle])
    _refused(model_of(graph, (source,), (target,)), "read before it is written")


def test_tensor_written_twice_is_refused() -> None:
    graph = maker()
    source, target = graph.tensor((1, 4), "int8", CODE), graph.tensor((1, 4), "int8", CODE)
    graph.operator("RELU", [source], [target])
    graph.operator("RELU", [source], [target])
    _refused(model_of(graph, (source,), (target,)), "written before")


def test_graph_output_that_nothing_computes_is_refused() -> None:
    graph = maker()
    source, target, loose = (graph.tensor((1, 4), "int8", CODE) for _ in range(3))
    graph.operator("RELU", [source], [target])
    _refused(model_of(graph, (source,), (loose,)), "not computed")


def test_scale_ratio_beyond_32_bits_is_refused() -> None:
    graph = maker()
    source = graph.tensor((1, 4), "int8", Quantization((1e20,), (0,), 0))
    target = graph.tensor((1, 4), "int8", Quantization((1e-20,), (0,), 0))
    graph.operator("RELU", [source], [target])
    _refused(model_of(graph, (source,), (target,)), "32-bit arithmetic")


def _concatenation(second: Quantization) -> bytes:
    graph = maker()
    a, b = graph.tensor((1, 2), "int8", CODE), graph.tensor((1, 2), "int8", second)
    target = graph.tensor((1, 4), "int8", CODE)
    graph.operator("CONCATENATION", [a, b], [target], {"axis": 1, "activation": 0})
    return model_of(graph, (a, b), (target,))


def test_concatenation_of_different_scales_is_refused_because_the_reference_ignores_them() -> None:
    _refused(_concatenation(Quantization((0.1,), (0,), 0)), "different scales")


def test_concatenation_of_equal_scales_is_lowered() -> None:
    assert len(_lower(_concatenation(CODE)).steps[0].calls) == 2


def _lstm_with(position: int) -> bytes:
    graph: GraphMaker = maker()
    source = graph.tensor((1, 2, 2, 3), "int8", CODE)
    target = lstm(graph, source)
    last = graph.operators[-1]
    inputs = list(last.inputs)
    inputs[position] = inputs[5]
    graph.operators.pop()
    graph.operator(last.name, inputs, last.outputs, last.options)
    return model_of(graph, (source,), (target,))


@pytest.mark.parametrize(("position", "word"), [(9, "peepholes"), (16, "projection"), (20, "normalisation")])
def test_lstm_variants_are_refused_by_name(position: int, word: str) -> None:
    _refused(_lstm_with(position), "UNIDIRECTIONAL_SEQUENCE_LSTM", word)


def test_supported_model_is_lowered() -> None:
    assert [step.name for step in _lower(chain_model(2)).steps] == ["FULLY_CONNECTED", "FULLY_CONNECTED"]


def _between(source: Quantization, target: Quantization, dtype: str = "int8") -> bytes:
    graph = maker()
    a, b = graph.tensor((1, 4), dtype, source), graph.tensor((1, 4), dtype, target)
    graph.operator("RESHAPE", [a], [b])
    return model_of(graph, (a,), (b,))


@pytest.mark.parametrize(("dtype", "zero_point"), [("int8", 300), ("int8", -129), ("uint8", -1), ("uint8", 2**40)])
def test_zero_point_of_a_graph_end_outside_of_its_type_is_refused(dtype: str, zero_point: int) -> None:
    odd = Quantization((0.05,), (zero_point,), 0)
    _refused(_between(odd, odd, dtype), "graph input 't0'", f"zero point {zero_point}, outside of {dtype}")


def test_graph_end_quantized_per_channel_is_refused() -> None:
    odd = Quantization((0.05, 0.06, 0.05, 0.05), (0, 0, 0, 0), 1)
    _refused(_between(odd, odd), "graph input 't0' has 4 scales", "per tensor")


@pytest.mark.parametrize("option", ["stride_w", "stride_h", "dilation_w", "dilation_h"])
def test_window_that_the_reference_would_cut_to_16_bits_is_refused(option: str) -> None:
    graph = maker()
    source = graph.tensor((1, 4, 4, 1), "int8", CODE)
    weights = graph.constant(np.ones((1, 1, 1, 1), np.int8), Quantization((0.01,), (0,), 0))
    target = graph.tensor((1, 4, 4, 1), "int8", CODE)
    options: dict[str, Option] = {"padding": 0, "stride_w": 1, "stride_h": 1, "dilation_w": 1, "dilation_h": 1}
    graph.operator("CONV_2D", [source, weights, -1], [target], options | {"activation": 0, option: 65537})
    _refused(model_of(graph, (source,), (target,)), f"{option} is 65537", "at most 32767")


def _with_state(*, read: bool = False, as_input: bool = False, as_output: bool = False) -> bytes:
    """An LSTM whose hidden state may be an operator's input, or one of the graph's ends."""
    graph = maker()
    source = graph.tensor((1, 2, 2, 3), "int8", CODE)
    result = lstm(graph, source)
    hidden = graph.operators[-1].inputs[18]
    outputs = [result]
    if read:
        outputs.append(graph.tensor(graph.shape(hidden), "int8", CODE))
        graph.operator("ADD", [hidden, hidden], [outputs[-1]], {"activation": 0})
    if as_output:
        outputs.append(hidden)
    return model_of(graph, (source, hidden) if as_input else (source,), tuple(outputs))


def test_lstm_alone_keeps_its_state() -> None:
    assert sum(buffer.place == "state" for buffer in _lower(_with_state()).buffers) == 2


def test_state_that_another_operator_reads_is_refused_by_name() -> None:
    _refused(_with_state(read=True), "ADD", "is the state that another operator keeps", "input 0 't")


def test_state_as_graph_input_is_refused_by_name() -> None:
    _refused(_with_state(as_input=True), "graph input 't", "is the state that an operator keeps")


def test_state_as_graph_output_is_refused_by_name() -> None:
    _refused(_with_state(as_output=True), "graph output 't", "is the state that an operator keeps")


@pytest.mark.parametrize("n_assigned", [3, 9])
def test_variable_that_is_initialised_with_another_size_is_refused(n_assigned: int) -> None:
    variable: dict[str, Option] = {"container": "", "shared_name": "memory"}
    graph, setup = maker(), maker()
    graph.operator("CALL_ONCE", [], [], {"subgraph": 1})
    source, handle, held, total = (
        graph.tensor((1, 4), "int8", CODE),
        graph.tensor((), "resource"),
        graph.tensor((1, 4), "int8", CODE),
        graph.tensor((1, 4), "int8", CODE),
    )
    graph.operator("VAR_HANDLE", [], [handle], variable)
    graph.operator("READ_VARIABLE", [handle], [held])
    graph.operator("ADD", [source, held], [total], {"activation": 0})
    target = setup.tensor((), "resource")
    setup.operator("VAR_HANDLE", [], [target], variable)
    setup.operator("ASSIGN_VARIABLE", [target, setup.constant(np.zeros((1, n_assigned), np.int8), CODE)], [])
    graphs = [
        Subgraph(tuple(graph.tensors), tuple(graph.operators), (source,), (total,)),
        Subgraph(tuple(setup.tensors), tuple(setup.operators), (), ()),
    ]
    _refused(write_model(graphs), f"initialised with {n_assigned} bytes", "has 4")


def test_padding_of_uint8_which_the_reference_does_not_take_is_refused() -> None:
    graph = maker()
    code = Quantization((0.1,), (128,), 0)
    source, target = graph.tensor((1, 3), "uint8", code), graph.tensor((1, 5), "uint8", code)
    widths = graph.constant(np.array([[0, 0], [1, 1]], np.int32))
    graph.operator("PAD", [source, widths], [target])
    _refused(model_of(graph, (source,), (target,)), "PAD", "type uint8", "int8")
