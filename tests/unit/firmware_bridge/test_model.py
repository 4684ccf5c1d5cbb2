"""Reading .tflite files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from firmware_bridge.conformance.graphs import random_model, variable_model
from firmware_bridge.conformance.writer import write_model
from firmware_bridge.flatbuffer import ModelFormatError
from firmware_bridge.model import MAX_MODEL_BYTES, Quantization, Subgraph, read_model
from tests.unit.firmware_bridge.small_models import CODE, chain_model, maker, model_of, unary_model


def _with_first_tensor(**changes: Any) -> bytes:
    graph = read_model(unary_model("LOGISTIC")).subgraphs[0]
    first = replace(graph.tensors[0], **changes)
    return write_model([replace(graph, tensors=(first, *graph.tensors[1:]))])


@pytest.mark.parametrize("seed", range(6))
def test_written_model_reads_back_the_same(seed: int) -> None:
    graphs = read_model(random_model(seed)).subgraphs
    again = read_model(write_model(graphs)).subgraphs
    assert [op for graph in graphs for op in graph.operators] == [op for graph in again for op in graph.operators]


def test_constants_have_their_type_and_shape() -> None:
    tensors = read_model(chain_model(1)).subgraphs[0].tensors
    weights = next(tensor for tensor in tensors if tensor.data is not None)
    assert weights.data is not None
    assert (weights.data.dtype, weights.data.shape) == (np.dtype("int8"), (8, 8))


def test_initialisation_subgraph_is_read() -> None:
    assert len(read_model(variable_model(0, initialised=True)).subgraphs) == 2


def test_text_file_is_refused() -> None:
    with pytest.raises(ModelFormatError, match=r"not a \.tflite file"):
        read_model(b"this is not a model at all")


def test_file_beyond_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(ModelFormatError, match="at most"):
        read_model(bytes(MAX_MODEL_BYTES + 1))


def test_negative_axis_is_refused_as_dynamic() -> None:
    with pytest.raises(ModelFormatError, match="dynamic shape"):
        read_model(_with_first_tensor(shape=(1, -1)))


def test_huge_tensor_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="exceeds"):
        read_model(_with_first_tensor(shape=(1 << 20, 1 << 10)))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_scale_that_is_not_positive_and_finite_is_refused(scale: float) -> None:
    with pytest.raises(ModelFormatError, match="scale"):
        read_model(_with_first_tensor(quantization=Quantization((scale,), (0,), 0)))


def test_scales_and_zero_points_of_different_number_are_refused() -> None:
    with pytest.raises(ModelFormatError, match="2 scales and 3 zero points"):
        read_model(_with_first_tensor(quantization=Quantization((0.1, 0.1), (0, 0, 0), 0)))


def test_constant_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="needs 4"):
        read_model(_with_first_tensor(data=np.zeros(3, np.int8)))


def test_operator_that_names_a_missing_tensor_is_refused() -> None:
    graph = maker()
    source = graph.tensor((1, 2), "int8", CODE)
    graph.operator("LOGISTIC", [source], [7])
    with pytest.raises(ModelFormatError, match="tensor 7 does not exist"):
        read_model(model_of(graph, (source,), (source,)))


def test_model_without_subgraphs_is_refused() -> None:
    empty: list[Subgraph] = []
    with pytest.raises(ModelFormatError, match="no subgraph"):
        read_model(write_model(empty))
