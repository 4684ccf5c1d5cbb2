"""Real values to integer codes and back, with the rounding written down.

All arithmetic is IEEE 754 binary32, as TFLite and ONNX define it: ``scale`` is first rounded to float32, then
``values / scale`` is one float32 division. Rounding never uses ``floor(x + 0.5)``, which in float32 takes
0.49999997 to 1.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.kernels._jit import kernel, read_only

Ties = Literal["even", "away"]
CodeDtype = Literal["int8", "uint8", "int16"]

CODE_RANGE: Final[dict[str, tuple[int, int]]] = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}

_NAMES: Final[dict[np.dtype[Any], CodeDtype]] = {
    np.dtype(np.int8): "int8",
    np.dtype(np.uint8): "uint8",
    np.dtype(np.int16): "int16",
}


@kernel
def _round(quotient: Any, ties_away: bool) -> Any:  # noqa: ANN401 - float32, as a scalar of NumPy or of compiled code
    """Round to an integer value in float32 without adding a half: exact for every float32."""
    whole = np.trunc(quotient)
    rest = np.abs(quotient - whole)
    up = rest > np.float32(0.5)
    if rest == np.float32(0.5):
        half = whole * np.float32(0.5)
        up = ties_away or np.trunc(half) != half
    if up:
        whole += np.copysign(np.float32(1.0), quotient)
    return whole


@kernel
def _quantize(
    values: npt.NDArray[np.float32],
    scale: np.float32,
    zero_point: np.float32,
    low: np.float32,
    high: np.float32,
    ties_away: bool,
    codes: npt.NDArray[Any],
) -> None:
    for i in range(values.size):
        quotient = values[i] / scale
        if np.isnan(quotient):
            quotient = np.float32(0.0)
        quotient = min(max(quotient, low), high)
        codes[i] = np.int32(_round(quotient, ties_away) + zero_point)


@kernel
def _dequantize(
    codes: npt.NDArray[Any], scale: np.float32, zero_point: np.int32, values: npt.NDArray[np.float32]
) -> None:
    for i in range(codes.size):
        values[i] = scale * np.float32(np.int32(codes[i]) - zero_point)


def _checked_scale(scale: float) -> np.float32:
    """Give ``scale`` as float32, refusing what cannot divide."""
    single = np.float32(scale)
    if not (np.isfinite(single) and single > 0):
        raise ValueError(f"scale must be finite and positive in float32, got {scale!r}")
    return single


def _checked_zero_point(zero_point: int, dtype: CodeDtype) -> tuple[int, int]:
    """Give the range of codes, refusing a zero point outside it."""
    low, high = CODE_RANGE[dtype]
    if not low <= zero_point <= high:
        raise ValueError(f"zero_point must be in {low}..{high} for {dtype}, got {zero_point}")
    return low, high


def fill_codes(
    values: npt.NDArray[np.float32], scale: float, zero_point: int, codes: npt.NDArray[Any], *, ties: Ties
) -> None:
    """Quantize into a given array: ``q = clip(round(x / scale) + zero_point)``.

    Parameters
    ----------
    values : float32, shape (...,), C-contiguous
        Real values.
    scale : float > 0
        Size of one quantization step, in the unit of ``values``.
    zero_point : int
        The code that stands for real zero, in the range of ``codes``.
    codes : int8, uint8 or int16, shape of ``values``, C-contiguous
        Written: saturated codes; NaN becomes ``zero_point``.
    ties : {"even", "away"}
        Where exact halves go, see ``quantize_int8``.

    Raises
    ------
    TypeError
        If a dtype is another.
    ValueError
        If ``scale`` or ``zero_point`` cannot be used, the shapes differ, or an array is not contiguous.
    """
    dtype = _NAMES.get(codes.dtype)
    if dtype is None or values.dtype != np.float32:
        raise TypeError(f"cannot quantize {values.dtype} into {codes.dtype}: float32 into int8, uint8 or int16")
    if ties not in ("even", "away"):
        raise ValueError(f'ties must be "even" or "away", got {ties!r}')
    if values.shape != codes.shape or not (values.flags.c_contiguous and codes.flags.c_contiguous):
        raise ValueError(f"values {values.shape} and codes {codes.shape} must be contiguous and of one shape")
    low, high = _checked_zero_point(zero_point, dtype)
    single = _checked_scale(scale)
    _quantize(
        read_only(values.reshape(-1)),
        single,
        np.float32(zero_point),
        np.float32(low - zero_point),
        np.float32(high - zero_point),
        ties == "away",
        codes.reshape(-1),
    )


def quantize(
    values: npt.NDArray[np.float32], scale: float, zero_point: int, dtype: CodeDtype, *, ties: Ties
) -> npt.NDArray[Any]:
    """Quantize real values to codes of ``dtype``; see ``quantize_int8`` for the arithmetic.

    Parameters
    ----------
    values : float32, shape (...,)
        Real values.
    scale : float > 0
        Size of one quantization step, in the unit of ``values``.
    zero_point : int
        The code that stands for real zero, in the range of ``dtype``.
    dtype : {"int8", "uint8", "int16"}
        Type of the codes.
    ties : {"even", "away"}
        Where exact halves go.

    Returns
    -------
    codes : ``dtype``, shape of ``values``
        Saturated; NaN becomes ``zero_point``; empty stays empty.

    Raises
    ------
    TypeError
        If a dtype is another.
    ValueError
        If ``scale`` is not finite and positive, or ``zero_point`` is outside ``dtype``.
    """
    codes = np.empty(values.shape, dtype)
    fill_codes(np.ascontiguousarray(values), scale, zero_point, codes, ties=ties)
    return codes


def quantize_int8(
    values: npt.NDArray[np.float32], scale: float, zero_point: int, *, ties: Ties
) -> npt.NDArray[np.int8]:
    """Quantize real values: ``q = clip(round(x / scale) + zero_point)``.

    Parameters
    ----------
    values : float32, shape (...,), C-contiguous
        Real values, in the physical unit the model was trained on.
    scale : float > 0
        Size of one quantization step, in the unit of ``values``.
    zero_point : int, -128..127
        The code that stands for real zero.
    ties : {"even", "away"}
        Where exact halves go: "even" as ONNX ``QuantizeLinear`` defines,
        "away" (from zero) as TFLite's reference kernel computes.

    Returns
    -------
    codes : int8, shape of ``values``
        Saturated to -128..127; NaN becomes ``zero_point``.

    Raises
    ------
    TypeError
        If ``values`` is not float32.
    ValueError
        If ``scale`` is not finite and positive, or ``zero_point`` is outside int8.

    Examples
    --------
    >>> x = np.array([0.0, 0.25, 0.75, 99.0], dtype=np.float32)
    >>> quantize_int8(x, scale=0.5, zero_point=0, ties="even")
    array([  0,   0,   2, 127], dtype=int8)
    >>> quantize_int8(x, scale=0.5, zero_point=0, ties="away")
    array([  0,   1,   2, 127], dtype=int8)
    """
    return quantize(values, scale, zero_point, "int8", ties=ties)


def dequantize(codes: npt.NDArray[Any], scale: float, zero_point: int) -> npt.NDArray[np.float32]:
    """Give the real values that codes stand for: ``x = scale * (q - zero_point)`` in float32.

    Parameters
    ----------
    codes : int8, uint8 or int16, shape (...,)
        Codes.
    scale : float > 0
        Size of one quantization step.
    zero_point : int
        The code that stands for real zero.

    Returns
    -------
    values : float32, shape of ``codes``

    Raises
    ------
    TypeError
        If ``codes`` has another dtype.
    ValueError
        If ``scale`` is not finite and positive, or ``zero_point`` is outside the dtype of ``codes``.

    Examples
    --------
    >>> dequantize(np.array([-128, 0, 127], np.int8), scale=0.5, zero_point=-128)
    array([  0. ,  64. , 127.5], dtype=float32)
    """
    dtype = _NAMES.get(codes.dtype)
    if dtype is None:
        raise TypeError(f"cannot dequantize {codes.dtype}: int8, uint8 or int16")
    _checked_zero_point(zero_point, dtype)
    values = np.empty(codes.shape, np.float32)
    contiguous = np.ascontiguousarray(codes)
    _dequantize(read_only(contiguous.reshape(-1)), _checked_scale(scale), np.int32(zero_point), values.reshape(-1))
    return values


def byte_table(
    mean: float,
    std: float,
    dtype: Literal["int8", "uint8", "int16", "float32"],
    scale: float = 1.0,
    zero_point: int = 0,
    *,
    ties: Ties = "away",
) -> npt.NDArray[Any]:
    """Normalise and quantize all 256 bytes once: ``table[b]`` is the code of ``(b - mean) / std``.

    The normalisation is float32: one subtraction, one division.

    Parameters
    ----------
    mean, std : float
        In grey levels; ``std`` > 0.
    dtype : {"int8", "uint8", "int16", "float32"}
        Type of the table; "float32" gives the normalised values and ignores the quantization.
    scale, zero_point : float, int
        Quantization of the tensor.
    ties : {"even", "away"}
        Where exact halves go.

    Returns
    -------
    table : ``dtype``, shape (256,)

    Raises
    ------
    ValueError
        If ``mean`` is not finite, ``std`` or ``scale`` is not finite and positive, or ``zero_point`` is outside
        ``dtype``.

    Examples
    --------
    >>> byte_table(127.5, 127.5, "int8", scale=2 / 255, zero_point=0)[[0, 127, 128, 255]]
    array([-127,   -1,    1,  127], dtype=int8)
    """
    centre, spread = np.float32(mean), np.float32(std)
    if not (np.isfinite(centre) and np.isfinite(spread) and spread > 0):
        raise ValueError(f"mean must be finite and std finite and positive in float32, got {mean!r} and {std!r}")
    with np.errstate(over="ignore"):
        normalised = (np.arange(256, dtype=np.float32) - centre) / spread
    if dtype == "float32":
        return normalised
    return quantize(normalised, scale, zero_point, dtype, ties=ties)


def warm_up() -> None:
    """Compile or load every kernel of this module for every dtype."""
    values = np.zeros(1, np.float32)
    for dtype in CODE_RANGE:
        codes = np.empty(1, dtype)
        fill_codes(values, 1.0, 0, codes, ties="away")
        dequantize(codes, 1.0, 0)
