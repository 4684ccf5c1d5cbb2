"""Event ids sort in the order of their creation whatever the clock does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.messages import EventIds


@settings(max_examples=200, deadline=None)
@given(times=st.lists(st.integers(0, 2**47), min_size=1, max_size=50), fill=st.integers(0, 255))
def test_ids_increase_whatever_the_clock_and_the_randomness_do(times: list[int], fill: int) -> None:
    clock = iter(times)
    ids = EventIds(lambda: next(clock), randomness=lambda n: bytes([fill]) * n)
    given_ids = [ids.next() for _ in times]
    assert given_ids == sorted(set(given_ids))
    assert {len(text) for text in given_ids} == {26}
