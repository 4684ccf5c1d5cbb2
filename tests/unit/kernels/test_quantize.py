"""Quantization: ties, saturation, NaN and refusals."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.kernels.quantize import byte_table, dequantize, fill_codes, quantize, quantize_int8

HALVES = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], np.float32)


@pytest.mark.parametrize(("ties", "codes"), [("even", [-2, -2, 0, 0, 2, 2]), ("away", [-3, -2, -1, 1, 2, 3])])
def test_exact_halves_go_where_ties_says(ties: Literal["even", "away"], codes: list[int]) -> None:
    assert quantize_int8(HALVES, 1.0, 0, ties=ties).tolist() == codes


@pytest.mark.parametrize("ties", ["even", "away"])
def test_number_just_below_a_half_does_not_become_one(ties: Literal["even", "away"]) -> None:
    below = np.array([0.49999997, -0.49999997, 8388607.5], np.float32)
    assert quantize(below[:2], 1.0, 0, "int8", ties=ties).tolist() == [0, 0]


def test_nan_becomes_the_zero_point_and_infinity_saturates() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38], np.float32)
    assert quantize_int8(values, 0.1, -7, ties="away").tolist() == [-7, 127, -128, 127, -128]


def test_int16_uses_its_whole_range() -> None:
    values = np.array([-1e9, -32768.4, 32766.5, 1e9], np.float32)
    assert quantize(values, 1.0, 0, "int16", ties="away").tolist() == [-32768, -32768, 32767, 32767]


def test_rounding_comes_before_the_zero_point_is_added() -> None:
    assert quantize_int8(np.array([-0.5], np.float32), 1.0, 10, ties="away").tolist() == [9]


def test_empty_stays_empty() -> None:
    assert quantize_int8(np.empty((0, 3), np.float32), 1.0, 0, ties="even").shape == (0, 3)


def test_array_that_is_not_contiguous_is_quantized_in_its_order() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert quantize_int8(values, 1.0, 0, ties="even").tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e-60])
def test_scale_that_cannot_divide_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale must be finite and positive"):
        quantize_int8(HALVES, scale, 0, ties="even")


@pytest.mark.parametrize(("dtype", "zero_point"), [("int8", 128), ("uint8", -1), ("int16", 40000)])
def test_zero_point_outside_the_codes_is_refused(dtype: Literal["int8", "uint8", "int16"], zero_point: int) -> None:
    with pytest.raises(ValueError, match="zero_point must be in"):
        quantize(HALVES, 1.0, zero_point, dtype, ties="even")


@pytest.mark.parametrize("dtype", ["float64", "int32", "float16"])
def test_values_that_are_not_float32_are_refused(dtype: str) -> None:
    values: npt.NDArray[Any] = HALVES.astype(dtype)
    with pytest.raises(TypeError, match="cannot quantize"):
        quantize_int8(values, 1.0, 0, ties="even")


def test_unknown_ties_are_refused() -> None:
    with pytest.raises(ValueError, match="ties must be"):
        quantize_int8(HALVES, 1.0, 0, ties="up")  # type: ignore[arg-type]


def test_codes_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="of one shape"):
        fill_codes(HALVES, 1.0, 0, np.empty(5, np.int8), ties="even")


def test_dequantizing_codes_of_another_dtype_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot dequantize"):
        dequantize(np.zeros(2, np.int32), 1.0, 0)


def test_float_table_holds_the_normalised_bytes() -> None:
    table = byte_table(127.5, 127.5, "float32")
    assert (str(table.dtype), table[0], table[255]) == ("float32", -1.0, 1.0)


@pytest.mark.parametrize(("mean", "std"), [(float("nan"), 1.0), (0.0, 0.0), (0.0, float("inf")), (0.0, -1.0)])
def test_table_of_no_normalisation_is_refused(mean: float, std: float) -> None:
    with pytest.raises(ValueError, match="std finite and positive"):
        byte_table(mean, std, "int8")
