"""Times of a clock that was never set, in payloads."""

from __future__ import annotations

import msgspec
import pytest

from edge_runtime.daemon.restamping import Span, restamped

SPAN = Span(10.0, 20.0)


@pytest.mark.parametrize(
    ("time_ms", "corrected"), [(9_999, 9_999), (10_000, 10_500), (19_999, 20_499), (20_000, 20_000)]
)
def test_only_times_of_the_span_are_corrected(time_ms: int, corrected: int) -> None:
    payload = msgspec.json.encode({"first_ms": time_ms})
    assert msgspec.json.decode(restamped(payload, 500, span=SPAN)) == {"first_ms": corrected}


@pytest.mark.parametrize(("told_ms", "corrected"), [(15_000, 100_500), (36_000_000, 100_000)])
def test_a_time_ahead_is_corrected_with_the_one_that_it_is_reckoned_from(told_ms: int, corrected: int) -> None:
    payload = msgspec.json.encode({"timestamp_ms": told_ms, "shelved_until_ms": 100_000})
    assert msgspec.json.decode(restamped(payload, 500, span=SPAN))["shelved_until_ms"] == corrected
