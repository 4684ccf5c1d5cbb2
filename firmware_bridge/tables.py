"""Functions of an 8-bit code as tables, computed as the reference computes them on a device.

gemmlowp's fixed-point functions are written out on Python integers; Qm.n means a 32-bit number with n bits of fraction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from firmware_bridge.arithmetic import (
    INT16_MAX,
    INT16_MIN,
    INT32_MAX,
    INT32_MIN,
    clamp,
    divide_by_power,
    doubling_high,
    input_radius,
    multiply,
    product_scale,
    quantize_multiplier,
    quotient_scale,
    round_away,
    wrap32,
)


def _saturating_shift(value: int, exponent: int) -> int:
    """Multiply by ``2**exponent`` with saturation, or divide with rounding when it is negative."""
    if exponent < 0:
        return divide_by_power(value, -exponent)
    return clamp(value << exponent, INT32_MIN, INT32_MAX)


def _exponential_of_small(value: int) -> int:
    """exp() of a Q0.31 in [-1/4, 0)."""
    constant, third = 1895147668, 715827883
    x = value + (1 << 28)
    x2 = doubling_high(x, x)
    x3 = doubling_high(x2, x)
    quartic = divide_by_power(doubling_high(x2, x2), 2)
    series = divide_by_power(doubling_high(quartic + x3, third) + x2, 1)
    return constant + doubling_high(constant, x + series)


def exponential_of_negative(value: int) -> int:
    """exp() of a Q5.26 number that is at most 0, as Q0.31 (gemmlowp's ``exp_on_negative_values``)."""
    if value == 0:
        return INT32_MAX
    fraction_bits = 26
    quarter = 1 << (fraction_bits - 2)
    rest = (value & (quarter - 1)) - quarter
    result = _exponential_of_small(_saturating_shift(rest, 5))
    remainder = rest - value
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)
    for exponent, factor in enumerate(factors, start=-2):
        if remainder & (1 << (fraction_bits + exponent)):
            result = doubling_high(result, factor)
    return result


def _newton_reciprocal(value: int) -> int:
    """2 / (1 + x) as Q2.29 for x a Q0.31 in [0, 1]."""
    total = value + INT32_MAX
    half = (total + 1) >> 1
    estimate = 1515870810 + doubling_high(half, -1010580540)
    for _ in range(3):
        error = (1 << 29) - doubling_high(half, estimate)
        estimate += _saturating_shift(doubling_high(estimate, error), 2)
    return estimate


def _logistic_q31(value: int) -> int:
    """Sigmoid of a Q4.27 as Q0.31."""
    if value == 0:
        return 1 << 30
    positive = _saturating_shift(_newton_reciprocal(_exponential_q4(-abs(value))), 1)
    return positive if value > 0 else INT32_MAX - positive


def _exponential_q4(value: int) -> int:
    """exp() of a Q4.27 number that is at most 0, as Q0.31."""
    if value == 0:
        return INT32_MAX
    fraction_bits = 27
    quarter = 1 << (fraction_bits - 2)
    rest = (value & (quarter - 1)) - quarter
    result = _exponential_of_small(_saturating_shift(rest, 4))
    remainder = rest - value
    factors = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401)
    for exponent, factor in enumerate(factors, start=-2):
        if remainder & (1 << (fraction_bits + exponent)):
            result = doubling_high(result, factor)
    return result


def _tanh_q31(value: int) -> int:
    """Hyperbolic tangent of a Q4.27 as Q0.31."""
    if value == 0:
        return 0
    estimate = _newton_reciprocal(exponential_of_negative(-abs(value)))
    magnitude = _saturating_shift(estimate - (1 << 29), 2)
    return magnitude if value > 0 else -magnitude


def lookup_table(function: Callable[[int], int]) -> npt.NDArray[np.int8]:
    """Evaluate a function of an int8 code for all 256 codes.

    Returns
    -------
    table : int8, shape (256,)
        Entry i belongs to the code whose byte is i when read as unsigned.
    """
    codes = (byte - 256 if byte > 127 else byte for byte in range(256))  # noqa: PLR2004 - int8's range
    return np.array([function(code) for code in codes], dtype=np.int8)


def logistic_table(scale: float, zero_point: int) -> npt.NDArray[np.int8]:
    """Table of LOGISTIC; the output is 1/256 with zero point -128."""
    multiplier, shift = _unit_multiplier(scale)
    radius = input_radius(4, shift) if shift >= 0 else INT32_MAX

    def code(value: int) -> int:
        centred = value - zero_point
        if centred <= -radius:
            return -128
        if centred >= radius:
            return 127
        result = _logistic_q31(multiply(centred, multiplier, shift))
        return clamp(divide_by_power(result, 23) - 128, -128, 127)

    return lookup_table(code)


def tanh_table(scale: float, zero_point: int) -> npt.NDArray[np.int8]:
    """Table of TANH; the output is 1/128 with zero point 0."""
    multiplier, shift = _unit_multiplier(scale)
    radius = input_radius(4, shift) if shift >= 0 else INT32_MAX

    def code(value: int) -> int:
        centred = value - zero_point
        if centred <= -radius:
            return -128
        if centred >= radius:
            return 127
        return clamp(divide_by_power(_tanh_q31(multiply(centred, multiplier, shift)), 24), -128, 127)

    return lookup_table(code)


def _unit_multiplier(scale: float) -> tuple[int, int]:
    mantissa, shift = math.frexp(scale * (1 << 27))
    return min(round_away(mantissa * (1 << 31)), INT32_MAX), shift


def hard_swish_table(
    input_scale: float, input_zero_point: int, output_scale: float, output_zero_point: int
) -> npt.NDArray[np.int8]:
    """Table of HARD_SWISH, which the reference computes in saturating 16-bit fixed point."""
    fine = product_scale(1.0 / 128.0, input_scale)
    out_multiplier, out_shift = quantize_multiplier(quotient_scale(fine, output_scale))
    gate_multiplier, gate_shift = quantize_multiplier(quotient_scale(fine, quotient_scale(3.0, 32768.0)))
    out_multiplier, gate_multiplier = _to_16_bit(out_multiplier), _to_16_bit(gate_multiplier)

    def code(value: int) -> int:
        wide = (value - input_zero_point) * 128
        scaled = _high_16(wide, out_multiplier)
        gate = wide
        if gate_shift > 0:
            gate = clamp(gate << (gate_shift - 1), INT16_MIN, INT16_MAX)
        gate = _high_16(gate, gate_multiplier)
        if gate_shift > 0:
            gate = clamp(gate << 1, INT16_MIN, INT16_MAX)
        elif gate_shift < 0:
            gate = divide_by_power(gate, -gate_shift)
        gate = (gate + (1 << 15)) >> 1
        product = gate * scaled
        shared = product >> 15 if product >= 0 else -(-product >> 15)
        return clamp(divide_by_power(shared, -out_shift) + output_zero_point, -128, 127)

    return lookup_table(code)


def _to_16_bit(multiplier: int) -> int:
    return INT16_MAX if multiplier > INT32_MAX - (1 << 15) else (multiplier + (1 << 15)) >> 16


def _high_16(a: int, b: int) -> int:
    if a == b == INT16_MIN:
        return INT16_MAX
    return (a * b + (1 << 14)) >> 15


def softmax_exponentials(scale: float, beta: float) -> npt.NDArray[np.int32]:
    """Table of exp(scale * beta * -d) for the differences that the reference takes into account.

    Parameters
    ----------
    scale : float
        Scale of the input.
    beta : float
        The operator's option.

    Returns
    -------
    table : int32, shape (n,), n 1..256
        Q0.31; differences of ``n`` and more count as nothing.
    """
    integer_bits = 5
    real = min(beta * scale * (1 << (31 - integer_bits)), float(INT32_MAX))
    multiplier, shift = quantize_multiplier(real)
    largest = min(input_radius(integer_bits, shift), 255)
    values = [exponential_of_negative(doubling_high(wrap32(-d << shift), multiplier)) for d in range(largest + 1)]
    return np.array(values, dtype=np.int32)


#: Where the reference's table is one above the nearest integer.
_SIGMOID_ONE_ABOVE: Final = frozenset(
    (
        *(4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44, 45, 46),
        *(49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255),
    )
)


def sigmoid_samples() -> npt.NDArray[np.uint16]:
    """Return the 256 samples of 65536 * sigmoid(i / 24) that the 16-bit sigmoid and tanh interpolate.

    Returns
    -------
    table : uint16, shape (256,)
        The nearest integers, save 44 samples at which the reference's own table is one higher.
    """
    nearest = (round_away(65536.0 / (1.0 + math.exp(-i / 24.0))) for i in range(256))
    return np.array([value + (i in _SIGMOID_ONE_ABOVE) for i, value in enumerate(nearest)], np.uint16)
