"""Times that were taken before the clock was set, corrected in a payload."""

from __future__ import annotations

import msgspec

from edge_runtime.daemon.outbox_room import CLOCK_SET_MS
from edge_runtime.messages import ClockQuality


def restamped(payload: bytes, offset_ms: int, clock: ClockQuality | None = None) -> bytes:
    """Add an offset to every time of a JSON object that lies before the year 2025.

    Parameters
    ----------
    payload : bytes
        Whole numbers whose name ends in ``_ms`` are times, except ``latency_ms``. What is no object is given back.
    offset_ms : int
        What the wall clock was set forward by, ms.
    clock : ClockQuality, optional
        How far the corrected times can be trusted, in place of what the payload says.

    Examples
    --------
    >>> restamped(b'{"first_ms":5,"latency_ms":3,"publish_ms":null,"seq":1}', 1_800_000_000_000)
    b'{"first_ms":1800000000005,"latency_ms":3,"publish_ms":null,"seq":1}'
    """
    try:
        fields = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return payload
    if not isinstance(fields, dict):
        return payload
    times = {
        name: moved(value, offset_ms)
        for name, value in fields.items()
        if name.endswith("_ms") and name != "latency_ms" and type(value) is int
    }
    quality = {"clock": clock} if clock is not None and "clock" in fields else {}
    return msgspec.json.encode(fields | times | quality)


def moved(time_ms: int, offset_ms: int) -> int:
    """Correct one time, ms, where it lies before the year 2025."""
    return time_ms + offset_ms if time_ms < CLOCK_SET_MS else time_ms
