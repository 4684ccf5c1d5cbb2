"""The numbers that the "tflm" contract works out before a model runs: multipliers, clamps and scalings.

Everything is exact integer arithmetic on Python integers, or float32/float64 in the very order in which tflite-micro
computes it; ``docs/formats/firmware-arithmetic.md`` is the specification.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

INT32_MAX: Final = (1 << 31) - 1
INT32_MIN: Final = -(1 << 31)
INT16_MAX: Final = (1 << 15) - 1
INT16_MIN: Final = -(1 << 15)
_F32 = np.float32


class ScaleError(ValueError):
    """A ratio of scales is so large that the reference's arithmetic has no meaning for it."""


def clamp(value: int, low: int, high: int) -> int:
    """Return ``value`` limited to ``low..high``."""
    return max(low, min(high, value))


def round_away(value: float) -> int:
    """Round to the nearest integer, halves away from zero; exact below 2**52."""
    return math.floor(value + 0.5) if value >= 0 else -math.floor(-value + 0.5)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Write a positive factor as ``multiplier / 2**31 * 2**shift``.

    Parameters
    ----------
    real : float >= 0
        The factor.

    Returns
    -------
    multiplier, shift : int
        Multiplier 2**30..2**31-1 and shift -31..31; both 0 for factors that round to nothing.

    Raises
    ------
    ScaleError
        When the factor is 2**31 or more, or not finite.

    Examples
    --------
    >>> quantize_multiplier(0.5)
    (1073741824, 0)
    >>> quantize_multiplier(3.0)
    (1610612736, 2)
    """
    if real == 0.0:
        return 0, 0
    if not math.isfinite(real) or real >= 1 << 31:
        raise ScaleError(f"a scale ratio of {real:g} is beyond 32-bit arithmetic")
    mantissa, shift = math.frexp(real)
    fixed = round_away(mantissa * (1 << 31))
    if fixed == 1 << 31:
        fixed //= 2
        shift += 1
    if shift < -31:  # noqa: PLR2004 - the width of the accumulator
        return 0, 0
    return fixed, shift


def product_scale(a: float, b: float) -> float:
    """Product of two scales, rounded to float32 as the reference does for fully connected layers."""
    with np.errstate(over="ignore", under="ignore"):
        return float(_F32(a) * _F32(b))


def quotient_scale(a: float, b: float) -> float:
    """Quotient of two scales, rounded to float32."""
    with np.errstate(over="ignore", under="ignore"):
        return float(_F32(a) / _F32(b))


def wrap32(value: int) -> int:
    """Return the 32-bit two's complement value of an integer."""
    return ((value + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def doubling_high(a: int, b: int) -> int:
    """Saturating, rounding, doubling high multiplication of two int32 (ARM's SQRDMULH, halves upwards)."""
    if a == b == INT32_MIN:
        return INT32_MAX
    return (a * b + (1 << 30)) >> 31


def divide_by_power(value: int, exponent: int) -> int:
    """Divide by ``2**exponent``, halves away from zero."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if value < 0 else 0)
    return (value >> exponent) + (1 if (value & mask) > threshold else 0)


def multiply(value: int, multiplier: int, shift: int) -> int:
    """Scale a 32-bit integer by a quantized multiplier with both roundings of the reference."""
    left = max(shift, 0)
    return divide_by_power(doubling_high(wrap32(value << left), multiplier), max(-shift, 0))


def activation_range(activation: str, scale: float, zero_point: int, low: int, high: int) -> tuple[int, int]:
    """Codes between which a fused activation clamps.

    Parameters
    ----------
    activation : {"NONE", "RELU", "RELU6", "RELU_N1_TO_1"}
        The fused activation.
    scale, zero_point
        Quantization of the output.
    low, high : int
        The output type's own range.

    Returns
    -------
    low, high : int
        Inclusive bounds.

    Raises
    ------
    ScaleError
        When a bound has no code in 32 bits.
    """

    def code(real: float) -> int:
        ratio = quotient_scale(real, scale)
        if abs(ratio) >= 1 << 30:
            raise ScaleError(f"an activation bound of {ratio:g} codes is beyond 32-bit arithmetic")
        return zero_point + round_away(ratio)

    if activation == "RELU":
        return max(low, code(0.0)), high
    if activation == "RELU6":
        return max(low, code(0.0)), min(high, code(6.0))
    if activation == "RELU_N1_TO_1":
        return max(low, code(-1.0)), min(high, code(1.0))
    return low, high


def input_radius(integer_bits: int, left_shift: int) -> int:
    """Largest magnitude that a fixed-point input with ``integer_bits`` keeps after ``left_shift``."""
    return math.floor(((1 << integer_bits) - 1) * (1 << (31 - integer_bits)) / (1 << left_shift))
