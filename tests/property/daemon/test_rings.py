"""Slots in use never overlap, whatever is filled and released."""

from __future__ import annotations

from contextlib import closing

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.daemon.ring import Ring, RingView


@settings(max_examples=40)
@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.integers(0, 8192), st.integers(0, 4)), max_size=30))
def test_every_slot_in_use_keeps_its_payload(n_slots: int, story: list[tuple[bool, int, int]]) -> None:
    with closing(Ring(n_slots, 8192)) as ring:
        view = RingView(ring.fd, ring.n_slots, ring.slot_bytes)
        held: dict[int, bytes] = {}
        for number, (fill, size, choice) in enumerate(story):
            if fill and ring.has_room:
                payload = number.to_bytes(1) * size
                slot = ring.fill(payload)
                assert slot not in held
                held[slot] = payload
            elif held and not fill:
                slot = sorted(held)[choice % len(held)]
                ring.release(slot)
                del held[slot]
            assert ring.has_room == (len(held) < n_slots)
            for slot, payload in held.items():
                assert bytes(view.read(slot, len(payload))) == payload
