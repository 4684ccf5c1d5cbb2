"""Multipliers, clamps and tables of the contract."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from firmware_bridge import arithmetic, tables


@pytest.mark.parametrize("real", [0.5, 0.25, 1.0, 3.0, 1e-6, 0.999999999, 1234.5])
def test_multiplier_and_shift_give_the_factor_back(real: float) -> None:
    multiplier, shift = arithmetic.quantize_multiplier(real)
    assert math.isclose(multiplier / 2**31 * 2.0**shift, real, rel_tol=1e-9)


def test_tiny_factor_becomes_zero() -> None:
    assert arithmetic.quantize_multiplier(1e-12) == (0, 0)


def test_mantissa_that_rounds_up_moves_the_shift() -> None:
    assert arithmetic.quantize_multiplier(1.0 - 2.0**-40) == (1 << 30, 1)


@pytest.mark.parametrize("real", [math.inf, 2.0**31])
def test_factor_beyond_32_bits_is_refused(real: float) -> None:
    with pytest.raises(arithmetic.ScaleError):
        arithmetic.quantize_multiplier(real)


@pytest.mark.parametrize(("value", "exponent", "expected"), [(5, 1, 3), (-5, 1, -3), (6, 2, 2), (-6, 2, -2), (7, 0, 7)])
def test_division_by_a_power_rounds_halves_away_from_zero(value: int, exponent: int, expected: int) -> None:
    assert arithmetic.divide_by_power(value, exponent) == expected


def test_doubling_high_multiplication_saturates_only_at_both_minima() -> None:
    lowest = arithmetic.INT32_MIN
    assert arithmetic.doubling_high(lowest, lowest) == arithmetic.INT32_MAX
    assert arithmetic.doubling_high(lowest, arithmetic.INT32_MAX) == -arithmetic.INT32_MAX


def test_left_shift_wraps_like_the_reference_on_two_complement_machines() -> None:
    assert arithmetic.multiply(1 << 30, 1 << 30, 2) == 0


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("NONE", (-128, 127)), ("RELU", (-28, 127)), ("RELU6", (-28, 92)), ("RELU_N1_TO_1", (-48, -8))],
)
def test_activation_clamps_to_the_codes_of_its_bounds(activation: str, expected: tuple[int, int]) -> None:
    assert arithmetic.activation_range(activation, 0.05, -28, -128, 127) == expected


def test_activation_bound_without_a_code_is_refused() -> None:
    with pytest.raises(arithmetic.ScaleError):
        arithmetic.activation_range("RELU6", 1e-20, 0, -128, 127)


def test_exponential_is_within_two_steps_of_the_real_one() -> None:
    for raw in (-1, -1000, -(1 << 20), -(1 << 26), -(1 << 29), -(1 << 30)):
        exact = math.exp(raw / 2**26) * 2**31
        assert abs(tables.exponential_of_negative(raw) - exact) < 2**31 * 1e-6


def test_exponential_of_zero_is_the_largest_number() -> None:
    assert tables.exponential_of_negative(0) == arithmetic.INT32_MAX


@pytest.mark.parametrize(("scale", "zero_point"), [(0.05, 0), (0.002, -100), (0.4, 127)])
def test_logistic_table_is_within_one_code_of_the_real_function(scale: float, zero_point: int) -> None:
    table = tables.logistic_table(scale, zero_point)
    codes = np.arange(256).astype(np.uint8).view(np.int8).astype(np.float64)
    exact = 256.0 / (1.0 + np.exp(-(codes - zero_point) * scale)) - 128.0
    assert np.abs(table - np.clip(exact, -128, 127)).max() <= 1.0


@pytest.mark.parametrize(("scale", "zero_point"), [(0.05, 0), (0.002, -100), (0.4, 127)])
def test_tanh_table_is_within_one_code_of_the_real_function(scale: float, zero_point: int) -> None:
    table = tables.tanh_table(scale, zero_point)
    codes = np.arange(256).astype(np.uint8).view(np.int8).astype(np.float64)
    exact = 128.0 * np.tanh((codes - zero_point) * scale)
    assert np.abs(table - np.clip(exact, -128, 127)).max() <= 1.0


def test_hard_swish_table_is_within_one_code_of_the_real_function() -> None:
    table = tables.hard_swish_table(0.05, -10, 0.04, -100)
    codes = np.arange(256).astype(np.uint8).view(np.int8).astype(np.float64)
    real = (codes + 10) * 0.05
    exact = np.clip(real * np.clip(real + 3.0, 0.0, 6.0) / 6.0 / 0.04 - 100.0, -128, 127)
    assert np.abs(table - exact).max() <= 1.0


def test_softmax_table_falls_from_one_and_ends_where_differences_stop_to_count() -> None:
    table = tables.softmax_exponentials(0.25, 1.0)
    assert table[0] == arithmetic.INT32_MAX
    assert (np.diff(table.astype(np.int64)) < 0).all()
    assert len(table) == 63


def test_sigmoid_samples_are_at_most_one_above_the_real_function() -> None:
    samples = tables.sigmoid_samples().astype(np.float64)
    exact = 65536.0 / (1.0 + np.exp(-np.arange(256) / 24.0))
    assert samples[0] == 32768
    assert samples[255] == 65535
    assert ((samples - exact) < 1.2).all()
    assert ((samples - exact) > -0.5).all()


def test_rounding_is_exact_for_halves() -> None:
    assert [arithmetic.round_away(float(Fraction(n, 2))) for n in (-3, -1, 1, 3)] == [-2, -1, 1, 2]
