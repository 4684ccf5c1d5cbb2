"""The five formats of a sensor payload, each read into an array of samples x channels."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from edge_runtime.errors import PayloadFormatError, PayloadSizeError
from edge_runtime.mqtt.cbor_limits import end_of_item
from edge_runtime.mqtt.metadata import MAX_TIME_MS, is_rate, load_cbor

MAX_NUMBER_BYTES = 64
MAX_SAMPLES = 65_536

_MAX_KEY_ITEMS = 64
_NUMBER = re.compile(rb"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = re.compile(rb"[+-]?(nan|inf|infinity)", re.IGNORECASE)
_DTYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "i16": np.dtype("<i2")}


class Samples(msgspec.Struct, frozen=True):
    """What a payload says.

    Attributes
    ----------
    values : float64, float32 or int16, shape (n_samples, n_channels)
        As sent, not yet scaled.
    t0_ms : int or None
        Time of the first sample, epoch milliseconds.
    rate_hz : float or None
        Sampling rate.
    unit : str or None
        Unit of the values.
    """

    values: npt.NDArray[Any]
    t0_ms: int | None = None
    rate_hz: float | None = None
    unit: str | None = None


class _Message(msgspec.Struct, frozen=True):
    """The keys of a JSON or CBOR message; others are passed over."""

    value: float | None = None
    timestamp_ms: int | None = None
    unit: str | None = None
    t0_ms: int | None = None
    rate_hz: float | None = None
    values: msgspec.Raw = msgspec.Raw()


_MESSAGE = msgspec.json.Decoder(_Message)
_ROW = msgspec.json.Decoder(list[float])
_ROWS = msgspec.json.Decoder(list[list[float]])


def read_number(raw: bytes | memoryview) -> Samples:
    """Read one decimal number as text.

    Parameters
    ----------
    raw : bytes
        ASCII, at most ``MAX_NUMBER_BYTES``, white space around it allowed.

    Returns
    -------
    samples : Samples
        One sample of one channel.

    Raises
    ------
    PayloadFormatError
        If it is no number (reason ``bad_number``) or not finite (``not_finite``).
    PayloadSizeError
        If it is too long (``too_large``).

    Examples
    --------
    >>> read_number(b" 21.5 ").values
    array([[21.5]])
    """
    if len(raw) > MAX_NUMBER_BYTES:
        raise PayloadSizeError(f"{len(raw)} bytes for one number, at most {MAX_NUMBER_BYTES}", reason="too_large")
    text = bytes(raw).strip()
    if _NOT_FINITE.fullmatch(text):
        raise PayloadFormatError("the number is not finite", reason="not_finite")
    if not _NUMBER.fullmatch(text):
        raise PayloadFormatError(f"{text[:32]!r} is not a decimal number such as 21.5", reason="bad_number")
    return Samples(_require_finite(np.array([[float(text)]])))


def read_raw(raw: bytes | memoryview, dtype: Literal["f32", "i16"], *, n_channels: int) -> Samples:
    r"""Read little-endian samples, channel by channel within a sample.

    Parameters
    ----------
    raw : bytes
        A whole number of samples.
    dtype : {"f32", "i16"}
        Of one value.
    n_channels : int
        Values per sample.

    Returns
    -------
    samples : Samples
        float32 or int16; shares memory with ``raw``; NaN and infinity as they are.

    Raises
    ------
    PayloadFormatError
        If bytes are left over (reason ``bad_length``).

    Examples
    --------
    >>> read_raw(b"\x01\x00\x02\x00", "i16", n_channels=2).values
    array([[1, 2]], dtype=int16)
    """
    kind = _DTYPES[dtype]
    row = kind.itemsize * n_channels
    if len(raw) % row:
        message = f"{len(raw)} bytes are not a whole number of samples of {n_channels} x {kind.itemsize} bytes"
        raise PayloadFormatError(message, reason="bad_length")
    return Samples(np.frombuffer(raw, kind).reshape(-1, n_channels))


def read_json(raw: bytes | memoryview, *, n_channels: int) -> Samples:
    """Read ``{"value"}``, ``{"values"}``, or a bare array of samples x channels.

    Parameters
    ----------
    raw : bytes
        UTF-8 JSON. ``values`` is samples x channels; with one channel also a plain list of samples, and with several
        a plain list of their number is one sample.
    n_channels : int
        Values per sample.

    Returns
    -------
    samples : Samples
        float64, finite.

    Raises
    ------
    PayloadFormatError
        If it is no JSON (reason ``bad_json``), has other types (``wrong_type``) or another shape (``wrong_shape``), or
        a number beyond float64 (``not_finite``).

    Examples
    --------
    >>> read_json(b'{"t0_ms": 5, "rate_hz": 2, "values": [1, 2]}', n_channels=1)
    Samples(values=array([[1.],
           [2.]]), t0_ms=5, rate_hz=2.0, unit=None)
    """
    bare = raw[:1] != b"{" and bytes(raw[:64]).lstrip()[:1] == b"["
    try:
        message = _Message(values=msgspec.Raw(raw)) if bare else _MESSAGE.decode(raw)
        values = _json_values(message, n_channels)
    except msgspec.ValidationError as error:
        reason = "not_finite" if "out of range" in str(error) else "wrong_type"
        raise PayloadFormatError(f"JSON with other contents than expected: {error}", reason=reason) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadFormatError(f"not JSON that can be read: {error}", reason="bad_json") from error
    return _samples(message, _require_finite(values))


def _json_values(message: _Message, n_channels: int) -> npt.NDArray[np.float64]:
    """Decode the list that a message holds, with the nesting that it has."""
    text = memoryview(message.values)
    if not text:
        return _single(message.value, n_channels)
    if message.value is not None:
        raise PayloadFormatError('a message has "value" or "values", not both', reason="wrong_type")
    nested = re.match(rb"\s*\[\s*\[", bytes(text[:64])) is not None
    return _shaped(_ROWS.decode(text) if nested else _ROW.decode(text), n_channels)


def read_cbor(raw: bytes | memoryview, *, n_channels: int, max_samples: int = MAX_SAMPLES) -> Samples:
    """Read the keys of :func:`read_json` from CBOR.

    Parameters
    ----------
    raw : bytes
        One CBOR item: a map, or an array of samples x channels.
    n_channels : int
        Values per sample.
    max_samples : int
        Bounds the CBOR items that are walked over, which costs time.

    Returns
    -------
    samples : Samples
        float64; NaN and infinity as they are.

    Raises
    ------
    PayloadFormatError
        If it is no plain CBOR (reason ``bad_cbor``, ``truncated``), has bytes left over (``bad_length``), other types
        (``wrong_type``) or another shape (``wrong_shape``).
    PayloadSizeError
        If it is nested too deep (``too_deep``) or has too many items (``too_many_items``).

    Examples
    --------
    >>> read_cbor(bytes.fromhex("a1 65 76616c7565 fa 3fc00000"), n_channels=1).values
    array([[1.5]])
    """
    end = end_of_item(raw, 0, max_items=max_samples * (n_channels + 1) + _MAX_KEY_ITEMS)
    if end != len(raw):
        raise PayloadFormatError(f"{len(raw) - end} bytes behind the CBOR item", reason="bad_length")
    tree = load_cbor(raw)
    if isinstance(tree, list):
        return Samples(_shaped(tree, n_channels))
    if not isinstance(tree, dict):
        raise PayloadFormatError("CBOR of another type than a map or an array", reason="wrong_type")
    rows = tree.pop("values", None)
    try:
        message = msgspec.convert({key: tree[key] for key in _PLAIN_KEYS if key in tree}, _Message, strict=True)
    except msgspec.ValidationError as error:
        raise PayloadFormatError(f"CBOR with other contents than expected: {error}", reason="wrong_type") from error
    if rows is None:
        return _samples(message, _single(message.value, n_channels))
    if message.value is not None:
        raise PayloadFormatError('a message has "value" or "values", not both', reason="wrong_type")
    return _samples(message, _shaped(rows, n_channels))


_PLAIN_KEYS = ("value", "timestamp_ms", "unit", "t0_ms", "rate_hz")


def _single(value: float | None, n_channels: int) -> npt.NDArray[np.float64]:
    """Make one sample of one channel."""
    if value is None:
        raise PayloadFormatError('neither "value" nor "values" in the message', reason="wrong_type")
    if n_channels != 1:
        raise PayloadFormatError(f'one "value" for {n_channels} channels; write "values"', reason="wrong_shape")
    return np.array([[value]], np.float64)


def _shaped(rows: object, n_channels: int) -> npt.NDArray[np.float64]:
    """Bring a list, or a list of lists, into samples x channels."""
    if not isinstance(rows, list):
        raise PayloadFormatError('"values" is not an array', reason="wrong_type")
    if rows and all(type(row) is list for row in rows):
        if any(len(row) != n_channels for row in rows):
            raise PayloadFormatError(f"a sample has not {n_channels} values", reason="wrong_shape")
        return _numbers([value for row in rows for value in row]).reshape(len(rows), n_channels)
    if n_channels not in {1, len(rows)}:
        raise PayloadFormatError(f"{len(rows)} values for {n_channels} channels", reason="wrong_shape")
    return _numbers(rows).reshape(-1, n_channels)


def _numbers(values: list[Any]) -> npt.NDArray[np.float64]:
    """Make float64 of real and whole numbers, and of nothing else."""
    if not set(map(type, values)) <= {int, float}:
        raise PayloadFormatError("a value is not a number", reason="wrong_type")
    try:
        return np.array(values, np.float64)
    except OverflowError as error:
        raise PayloadFormatError("a number is beyond float64", reason="not_finite") from error


def _require_finite(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Refuse what text cannot say."""
    if not (isfinite(values[0, 0]) if values.size == 1 else np.isfinite(values).all()):
        raise PayloadFormatError("a number is beyond float64", reason="not_finite")
    return values


def _samples(message: _Message, values: npt.NDArray[np.float64]) -> Samples:
    """Join values with what the message says about them, checked."""
    t0_ms = message.t0_ms if message.t0_ms is not None else message.timestamp_ms
    if t0_ms is not None and not 0 <= t0_ms <= MAX_TIME_MS:
        raise PayloadFormatError(f"{t0_ms} is no time in epoch milliseconds", reason="bad_metadata")
    if message.rate_hz is not None and not is_rate(message.rate_hz):
        raise PayloadFormatError(f"rate_hz {message.rate_hz} is no sampling rate", reason="bad_metadata")
    return Samples(values, t0_ms, message.rate_hz, message.unit)
