"""Tensors of foreign models are described within the manifest's limits."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.errors import InvocationError, ModelLoadError
from edge_runtime.inference.measuring import sample_inputs
from edge_runtime.inference.specs import MAX_NAME, require_finite, spec_of


def test_tensor_without_a_name_is_called_by_its_place() -> None:
    assert spec_of("input", 3, "", "int8", (1,)).name == "input_3"


def test_endless_names_are_cut_and_stay_different() -> None:
    names = {spec_of("input", index, "n" * 5000, "int8", (1,)).name for index in range(3)}
    assert len(names) == 3
    assert all(len(name) <= MAX_NAME for name in names)


@pytest.mark.parametrize("dtype", ["float64", "float16", "complex64", "object", "tensor(string)"])
def test_other_dtype_is_refused_by_name(dtype: str) -> None:
    with pytest.raises(ModelLoadError, match='output "y" is '):
        spec_of("output", 0, "y", dtype, (1,))


@pytest.mark.parametrize("shape", [(0,), (1, -1)])
def test_empty_axis_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelLoadError, match="at least one element"):
        spec_of("input", 0, "x", "int8", shape)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_output_that_is_not_finite_is_named(value: float) -> None:
    specs = [spec_of("output", index, name, "float32", (1, 2)) for index, name in enumerate(("a", "b"))]
    outputs = [np.zeros((1, 2), np.float32), np.array([[0.0, value]], np.float32)]
    with pytest.raises(InvocationError, match='"b" is not finite'):
        require_finite(specs, [0, 1], outputs)


def test_large_finite_output_is_no_error() -> None:
    spec = spec_of("output", 0, "a", "float32", (1, 2))
    require_finite([spec], [0], [np.full((1, 2), np.finfo(np.float32).max)])


def test_made_inputs_fit_their_tensors() -> None:
    specs = tuple(
        spec_of("input", index, "", dtype, shape)
        for index, (dtype, shape) in enumerate(
            [("int8", (1, 3)), ("uint8", (2, 3)), ("float32", ()), ("int64", ()), ("bool", (1,)), ("int16", (1, 1))]
        )
    )
    arrays = sample_inputs(specs, 4)
    assert [(array.dtype.name, array.shape) for array in arrays] == [
        ("int8", (4, 3)),
        ("uint8", (4, 2, 3)),
        ("float32", (4,)),
        ("int64", (4,)),
        ("bool", (4,)),
        ("int16", (4, 1)),
    ]


def test_made_inputs_are_the_same_each_time() -> None:
    specs = (spec_of("input", 0, "x", "float32", (1, 8)),)
    np.testing.assert_array_equal(sample_inputs(specs, 4)[0], sample_inputs(specs, 4)[0])
