"""The file ``window.cbor``: a window of samples as a model was shown it, so that it can be shown again.

The format is specified in ``docs/formats/evidence.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cbor2

from edge_runtime.errors import PayloadFormatError, PayloadSizeError
from edge_runtime.mqtt.cbor_limits import end_of_item
from edge_runtime.mqtt.metadata import load_cbor

SCHEMA = "edge.window/1"
#: The longest file that is read.
MAX_BYTES = 16 << 20
MAX_ROWS, MAX_CHANNELS = 65_536, 256

_MAX_ITEMS = 3 * MAX_CHANNELS + 64
_MAX_NAME, _MAX_UNIT, _MAX_ID = 64, 16, 128
_KEYS = ("schema", "pipeline", "source", "channels", "rate_hz", "rows", "times_s", "samples", "held", "state")
_FLOAT, _DOUBLE = 4, 8


@dataclass(frozen=True, slots=True)
class WindowEvidence:
    """One window.

    Attributes
    ----------
    pipeline, source : str
        Which pipeline judged which sensor's samples.
    channels : tuple of (name, unit)
        Columns, in the model's order.
    rate_hz : float
        Sampling rate that the model expects; 0 where samples are events.
    times : bytes
        float64 (rows,), little-endian, s since the epoch, UTC; NaN where the source told none.
    samples : bytes
        float32 (rows, channels), little-endian, in the channels' units: after cleaning, before normalisation.
    held : bytes
        Bits (rows, channels), the highest bit first, of values that stand in for invalid ones; empty without any.
    """

    pipeline: str
    source: str
    channels: tuple[tuple[str, str], ...]
    rate_hz: float
    times: bytes
    samples: bytes
    held: bytes = b""

    @property
    def rows(self) -> int:
        """Samples of the window."""
        return len(self.times) // _DOUBLE


def write_window(window: WindowEvidence) -> bytes:
    """Write a window as CBOR.

    Parameters
    ----------
    window : WindowEvidence
        Consistent in itself.

    Returns
    -------
    encoded : bytes
        The same for equal windows.
    """
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "pipeline": window.pipeline,
        "source": window.source,
        "channels": [list(channel) for channel in window.channels],
        "rate_hz": float(window.rate_hz),
        "rows": window.rows,
        "times_s": window.times,
        "samples": window.samples,
        "held": window.held,
        "state": None,
    }
    return cbor2.dumps(fields)


def read_window(encoded: bytes) -> WindowEvidence:
    """Read what ``write_window`` wrote.

    Parameters
    ----------
    encoded : bytes
        At most ``MAX_BYTES``.

    Returns
    -------
    window : WindowEvidence
        Consistent in itself.

    Raises
    ------
    PayloadSizeError
        If it is longer, or holds more items than any window.
    PayloadFormatError
        If it is no window, or one of a later version.
    """
    if len(encoded) > MAX_BYTES:
        raise PayloadSizeError(f"a window is at most {MAX_BYTES} bytes, got {len(encoded)}", reason="too_large")
    end = end_of_item(encoded, 0, max_items=_MAX_ITEMS)
    found = load_cbor(encoded[:end])
    if end != len(encoded) or not isinstance(found, dict) or not {"schema"} <= found.keys():
        raise PayloadFormatError("this is no window.cbor: not one CBOR map with a schema", reason="bad_window")
    if found["schema"] != SCHEMA:
        raise PayloadFormatError(
            f"a window of schema {str(found['schema'])[:64]!r}; this release reads {SCHEMA}", reason="bad_window"
        )
    fault = _fault(found)
    if fault:
        raise PayloadFormatError(f"this window contradicts itself: {fault}", reason="bad_window")
    return WindowEvidence(
        found["pipeline"],
        found["source"],
        tuple((name, unit) for name, unit in found["channels"]),
        float(found["rate_hz"]),
        found["times_s"],
        found["samples"],
        found["held"],
    )


def _fault(found: dict[str, Any]) -> str:
    """Say what is wrong with a map; empty when nothing is."""
    missing = [key for key in _KEYS if key not in found]
    if missing:
        return f"{', '.join(missing)} missing"
    if found["state"] is not None:
        return "it holds a model's state, which this release cannot restore"
    if not all(_is_text(found[key], _MAX_ID) for key in ("pipeline", "source")):
        return "pipeline and source are texts"
    channels, rows, rate_hz = found["channels"], found["rows"], found["rate_hz"]
    if not (isinstance(channels, list) and 0 < len(channels) <= MAX_CHANNELS and all(map(_is_channel, channels))):
        return f"channels are 1 to {MAX_CHANNELS} pairs of name and unit"
    if type(rate_hz) not in {int, float} or not math.isfinite(rate_hz) or rate_hz < 0:
        return "rate_hz is a number from 0"
    return _array_fault(found, rows, len(channels))


def _array_fault(found: dict[str, Any], rows: object, n_channels: int) -> str:
    """Say what is wrong with the arrays of a map."""
    arrays = [found[key] for key in ("times_s", "samples", "held")]
    if type(rows) is not int or not 0 < rows <= MAX_ROWS or not all(isinstance(each, bytes) for each in arrays):
        return f"rows is 1 to {MAX_ROWS}, and times_s, samples and held are bytes"
    times, samples, held = arrays
    if len(times) != _DOUBLE * rows or len(samples) != _FLOAT * rows * n_channels:
        return f"{len(times)} bytes of times and {len(samples)} of samples for {rows} rows of {n_channels} channels"
    if held and len(held) != -(-rows * n_channels // 8):
        return f"{len(held)} bytes of marks"
    return ""


def _is_text(value: object, longest: int) -> bool:
    return isinstance(value, str) and 0 < len(value) <= longest


def _is_channel(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004 - name and unit
        and _is_text(value[0], _MAX_NAME)
        and isinstance(value[1], str)
        and len(value[1]) <= _MAX_UNIT
    )
