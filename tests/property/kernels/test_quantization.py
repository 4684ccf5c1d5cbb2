"""Codes agree with exact arithmetic for every float32 there is."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_runtime.kernels.quantize import CODE_RANGE, byte_table, dequantize, quantize
from tests.property.kernels import twins

CodeDtype = Literal["int8", "uint8", "int16"]
scales = st.one_of(st.sampled_from([1.0, 0.5, 2 / 255, 0.1]), st.floats(2.0**-20, 2.0**20, width=32))
anything = hnp.arrays(np.float32, st.integers(0, 8), elements=st.floats(width=32))
near_halves = hnp.arrays(np.int16, st.integers(1, 8)).map(lambda n: (n / 2).astype(np.float32))
next_to_halves = near_halves.map(lambda x: np.nextafter(x, np.float32(0)))


@pytest.mark.parametrize("ties", ["even", "away"])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
@settings(max_examples=60, deadline=None, derandomize=True)
@given(values=st.one_of(anything, near_halves, next_to_halves), scale=scales, data=st.data())
def test_codes_agree_with_exact_rounding(
    dtype: CodeDtype, ties: Literal["even", "away"], values: npt.NDArray[np.float32], scale: float, data: st.DataObject
) -> None:
    low, high = CODE_RANGE[dtype]
    zero_point = data.draw(st.integers(low, high))
    codes = quantize(values, scale, zero_point, dtype, ties=ties)
    assert codes.dtype == dtype
    assert codes.tolist() == twins.quantize_exactly(values, scale, zero_point, low, high, ties)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(codes=hnp.arrays(np.int8, st.integers(0, 20)), scale=scales, zero_point=st.integers(-128, 127))
def test_quantizing_real_values_of_codes_gives_the_codes_back(
    codes: npt.NDArray[np.int8], scale: float, zero_point: int
) -> None:
    real = dequantize(codes, scale, zero_point)
    assert quantize(real, scale, zero_point, "int8", ties="away").tolist() == codes.tolist()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(mean=st.floats(-300, 300, width=32), std=st.floats(0.125, 500, width=32), scale=scales)
def test_byte_table_holds_what_quantizing_each_byte_gives(mean: float, std: float, scale: float) -> None:
    normalised = (np.arange(256, dtype=np.float32) - np.float32(mean)) / np.float32(std)
    wanted = twins.quantize_exactly(normalised, scale, 3, -128, 127, "away")
    assert byte_table(mean, std, "int8", scale, 3).tolist() == wanted
