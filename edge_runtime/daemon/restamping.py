"""Times that were taken before the clock was set, corrected in a payload."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from edge_runtime.daemon.outbox_room import CLOCK_SET_MS
from edge_runtime.messages import ClockQuality


class Span(NamedTuple):
    """The times that a clock which was never set showed in one start of the machine, s: only they share its offset."""

    since_s: float
    until_s: float

    def has(self, time_s: float) -> bool:
        """Whether a time was told by that clock, or looks so."""
        return self.since_s <= time_s < self.until_s


#: All times that no set clock shows.
EVER: Final = Span(float("-inf"), CLOCK_SET_MS / 1000)
#: Times that may lie ahead, and from which others they are reckoned.
_AHEAD: Final = {"shelved_until_ms": "timestamp_ms", "deadline_ms": "ingest_ms"}


def restamped(payload: bytes, offset_ms: int, clock: ClockQuality | None = None, *, span: Span = EVER) -> bytes:
    """Add an offset to every time of a JSON object that a clock which was never set has told.

    Parameters
    ----------
    payload : bytes
        Whole numbers whose name ends in ``_ms`` are times, except ``latency_ms``. What is no object is given back.
    offset_ms : int
        What the wall clock was set forward by, ms.
    clock : ClockQuality, optional
        How far the corrected times can be trusted, in place of what the payload says.
    span : Span
        What that clock showed; other times, as of another start of the machine, are left alone.

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
        name: value + offset_ms
        for name, value in fields.items()
        if name.endswith("_ms") and name != "latency_ms" and type(value) is int and _is_of(span, fields, name, value)
    }
    quality = {"clock": clock} if clock is not None and "clock" in fields else {}
    return msgspec.json.encode(fields | times | quality)


def _is_of(span: Span, fields: dict[str, object], name: str, value: int) -> bool:
    """Whether a time, or the one that it is reckoned from, is of the clock."""
    origin = fields.get(_AHEAD.get(name, name))
    return value < CLOCK_SET_MS and span.has((origin if type(origin) is int else value) / 1000)


def moved(time_ms: int, offset_ms: int) -> int:
    """Correct one time, ms, where it lies before the year 2025."""
    return time_ms + offset_ms if time_ms < CLOCK_SET_MS else time_ms
