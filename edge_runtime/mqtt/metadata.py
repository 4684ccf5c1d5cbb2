"""What a publisher says about a payload: as MQTT 5 user properties, or in an EDGE1 envelope around it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import cbor2
from msgspec import Struct

from edge_runtime.errors import PayloadFormatError, PayloadSizeError
from edge_runtime.mqtt.cbor_limits import end_of_item

#: First bytes of an envelope; the CBOR map and the raw payload follow.
MAGIC = b"EDGE1"
MAX_HEADER_BYTES = 4096
MAX_HEADER_ITEMS = 129
MAX_USER_PROPERTIES = 64
MAX_TIME_MS = 2**53
MAX_PART_CHARACTERS = 128
MIN_RATE_HZ, MAX_RATE_HZ = 1e-6, 1e6
MAX_SCALE = 1e30
QUALITIES = ("good", "uncertain", "bad")
DTYPES = ("f32", "i16")

_REAL = re.compile(r"[+-]?([0-9]{1,32}(\.[0-9]{0,32})?|\.[0-9]{1,32})([eE][+-]?[0-9]{1,3})?")
_MAX_VALUE_CHARACTERS = 512
_MAX_DIGITS = 16


class Metadata(Struct, frozen=True):
    """What is said about one payload; None where nothing is said.

    Attributes
    ----------
    ts_ms : int or None
        Epoch milliseconds UTC: exposure of a frame, first sample of a block.
    seq : int or None
        The publisher's own count.
    part : str or None
        The part in the frame or under the sensor.
    rate_hz : float or None
        Sampling rate of this block.
    channels : int or None
        Columns of a raw block.
    dtype : str or None
        ``f32`` or ``i16``; must be the declared format.
    scale : float or None
        Raw value times scale is in the channel's unit; instead of the configured one.
    quality : str or None
        ``good``, ``uncertain`` or ``bad``.
    """

    ts_ms: int | None = None
    seq: int | None = None
    part: str | None = None
    rate_hz: float | None = None
    channels: int | None = None
    dtype: str | None = None
    scale: float | None = None
    quality: str | None = None


_KEYS = Metadata.__struct_fields__
_COUNTS = {"ts_ms": MAX_TIME_MS, "seq": MAX_TIME_MS, "channels": 65_536}
_NUMBERS = ("rate_hz", "scale")
_NOTHING = Metadata()


def read_user_properties(properties: Iterable[tuple[str, str]]) -> Metadata:
    """Read metadata from MQTT 5 user properties.

    Parameters
    ----------
    properties : iterable of (name, value)
        As they came; names that are not ours are passed over, of repeated names the last counts.

    Returns
    -------
    metadata : Metadata
        Checked values.

    Raises
    ------
    PayloadFormatError
        If a value is not what its name says (reason ``bad_metadata``).
    PayloadSizeError
        If there are more than ``MAX_USER_PROPERTIES``, or one is very long (reason ``metadata_too_large``).

    Examples
    --------
    >>> read_user_properties([("ts_ms", "1700000000000"), ("part", "A-17"), ("colour", "red")]).ts_ms
    1700000000000
    """
    found: dict[str, Any] = {}
    for count, (name, value) in enumerate(properties):
        if count >= MAX_USER_PROPERTIES or len(value) > _MAX_VALUE_CHARACTERS:
            raise PayloadSizeError("too many or too long user properties", reason="metadata_too_large")
        if name in _COUNTS:
            whole = len(value) <= _MAX_DIGITS and value.isascii() and value.isdigit()
            found[name] = int(value) if whole else value
        elif name in _NUMBERS:
            found[name] = float(value) if _REAL.fullmatch(value) else value
        elif name in _KEYS:
            found[name] = value
    return check_metadata(found) if found else _NOTHING


def write_user_properties(metadata: Metadata) -> list[tuple[str, str]]:
    """Write metadata as MQTT 5 user properties.

    Parameters
    ----------
    metadata : Metadata
        What is known.

    Returns
    -------
    properties : list of (name, value)
        Only what is not None; numbers so that they are read back exactly.

    Examples
    --------
    >>> write_user_properties(Metadata(ts_ms=5, rate_hz=0.1))
    [('ts_ms', '5'), ('rate_hz', '0.1')]
    """
    return [(name, str(value)) for name in _KEYS if (value := getattr(metadata, name)) is not None]


def check_metadata(found: Mapping[str, object]) -> Metadata:
    """Check the values of metadata.

    Parameters
    ----------
    found : mapping
        Values by name; other names are passed over.

    Returns
    -------
    metadata : Metadata
        The checked values.

    Raises
    ------
    PayloadFormatError
        If a value is not what its name says (reason ``bad_metadata``).
    """
    for name, value in found.items():
        fault = _fault(name, value)
        if fault is not None:
            raise PayloadFormatError(f"metadata {name}: {fault}", reason="bad_metadata")
    return Metadata(**{name: value for name in _KEYS if (value := found.get(name)) is not None})  # type: ignore[arg-type] # checked above


def _fault(name: str, value: object) -> str | None:
    """Say what is wrong with one value."""
    if value is None or name not in _KEYS:
        return None
    if name in _COUNTS:
        good = type(value) is int and 0 <= value <= _COUNTS[name]
        return None if good else f"expected a whole number, 0 to {_COUNTS[name]}"
    if name in _NUMBERS:
        return _number_fault(name, value)
    if name == "part":
        good = isinstance(value, str) and 0 < len(value) <= MAX_PART_CHARACTERS and value.isprintable()
        return None if good else f"expected 1 to {MAX_PART_CHARACTERS} printable characters"
    words = QUALITIES if name == "quality" else DTYPES
    return None if value in words else f"expected one of {', '.join(words)}"


def _number_fault(name: str, value: object) -> str | None:
    """Say what is wrong with a rate or a scale."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "expected a number"
    if name == "rate_hz":
        return None if is_rate(value) else f"expected 0, or {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g}"
    return None if 0 < value <= MAX_SCALE else f"expected a number above 0, at most {MAX_SCALE:g}"


def is_rate(rate_hz: float) -> bool:
    """Tell whether a number can be a sampling rate.

    Parameters
    ----------
    rate_hz : float
        Any number.

    Returns
    -------
    good : bool
        True for 0 (samples are events) and within ``MIN_RATE_HZ`` and ``MAX_RATE_HZ``; False for NaN.

    Examples
    --------
    >>> is_rate(0), is_rate(100.0), is_rate(1e-300), is_rate(float("nan"))
    (True, True, False, False)
    """
    return rate_hz == 0 or MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ


def write_envelope(metadata: Metadata, raw: bytes | memoryview) -> bytes:
    """Wrap a payload with its metadata, for publishers that speak MQTT 3.1.1.

    Parameters
    ----------
    metadata : Metadata
        What is known.
    raw : bytes
        The payload.

    Returns
    -------
    envelope : bytes
        ``EDGE1``, a CBOR map of what is not None, ``raw``.

    Examples
    --------
    >>> write_envelope(Metadata(seq=7), b"raw").hex(" ", 1)[:20]
    '45 44 47 45 31 a1 63'
    """
    header = {name: value for name in _KEYS if (value := getattr(metadata, name)) is not None}
    return b"".join((MAGIC, cbor2.dumps(header), raw))


def read_envelope(payload: bytes | memoryview) -> tuple[Metadata, memoryview]:
    """Unwrap a payload.

    Parameters
    ----------
    payload : bytes
        Begins with ``MAGIC``.

    Returns
    -------
    metadata : Metadata
        Checked values.
    raw : memoryview
        What follows the CBOR map; shares memory with ``payload``.

    Raises
    ------
    PayloadFormatError
        If there is no map, it is cut off, or holds wrong values (reasons ``bad_envelope``, ``truncated``,
        ``bad_cbor``, ``bad_metadata``).
    PayloadSizeError
        If the map is longer than ``MAX_HEADER_BYTES`` or nested (``metadata_too_large`` and those of the CBOR walk).

    Examples
    --------
    >>> metadata, raw = read_envelope(write_envelope(Metadata(part="A-17"), b"raw"))
    >>> metadata.part, bytes(raw)
    ('A-17', b'raw')
    """
    view = memoryview(payload)
    if view[: len(MAGIC)] != MAGIC:
        raise PayloadFormatError("not an EDGE1 envelope", reason="bad_envelope")
    head = view[: len(MAGIC) + MAX_HEADER_BYTES]
    try:
        end = end_of_item(head, len(MAGIC), max_items=MAX_HEADER_ITEMS)
    except PayloadFormatError as error:
        if error.reason == "truncated" and len(head) < len(view):
            message = f"the envelope's map is longer than {MAX_HEADER_BYTES} bytes"
            raise PayloadSizeError(message, reason="metadata_too_large") from error
        raise
    found = load_cbor(view[len(MAGIC) : end])
    if not isinstance(found, dict):
        raise PayloadFormatError("the envelope does not begin with a CBOR map", reason="bad_envelope")
    return check_metadata({key: value for key, value in found.items() if isinstance(key, str)}), view[end:]


def load_cbor(data: bytes | memoryview) -> object:
    """Decode one CBOR item that :func:`end_of_item` has walked over.

    Parameters
    ----------
    data : bytes
        Exactly one item.

    Returns
    -------
    value : object
        Plain Python values.

    Raises
    ------
    PayloadFormatError
        If a text is not UTF-8, or a map's key cannot be one (reason ``bad_cbor``).
    """
    try:
        return cbor2.loads(bytes(data))
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        raise PayloadFormatError(f"CBOR that cannot be read: {error}", reason="bad_cbor") from error
