"""Slots of shared memory."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.daemon.ring import Ring, RingView
from edge_runtime.errors import PayloadSizeError


@pytest.fixture
def ring() -> Iterator[Ring]:
    ring = Ring(3, 5000)
    yield ring
    ring.close()


def view(ring: Ring) -> RingView:
    return RingView(ring.fd, ring.n_slots, ring.slot_bytes)


def test_slots_are_whole_pages_and_at_least_as_large_as_asked(ring: Ring) -> None:
    assert ring.slot_bytes == -(-5000 // mmap.PAGESIZE) * mmap.PAGESIZE


def test_the_worker_reads_what_the_supervisor_wrote(ring: Ring) -> None:
    slot = ring.fill(b"payload")
    assert bytes(view(ring).read(slot, 7)) == b"payload"


def test_a_payload_of_exactly_a_slot_fits(ring: Ring) -> None:
    payload = bytes(range(256)) * (ring.slot_bytes // 256)
    slot = ring.fill(payload)
    assert bytes(view(ring).read(slot, ring.slot_bytes)) == payload


def test_a_payload_larger_than_a_slot_is_refused_and_takes_none(ring: Ring) -> None:
    with pytest.raises(PayloadSizeError, match="exceeds the ring's slot"):
        ring.fill(bytes(ring.slot_bytes + 1))
    assert [ring.fill(b"x") for _ in range(3)] == [0, 1, 2]


def test_an_empty_payload_takes_a_slot(ring: Ring) -> None:
    assert bytes(view(ring).read(ring.fill(b""), 0)) == b""


def test_an_array_is_taken_as_its_bytes(ring: Ring) -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    slot = ring.fill(values.data)
    assert bytes(view(ring).read(slot, values.nbytes)) == values.tobytes()


def test_filling_a_full_ring_is_an_error_of_the_caller(ring: Ring) -> None:
    for _ in range(3):
        ring.fill(b"x")
    assert not ring.has_room
    with pytest.raises(IndexError):
        ring.fill(b"x")


def test_a_released_slot_is_used_again(ring: Ring) -> None:
    slots = [ring.fill(b"x") for _ in range(3)]
    ring.release(slots[1])
    assert ring.fill(b"y") == slots[1]


def test_the_worker_cannot_write_through_its_view(ring: Ring) -> None:
    with pytest.raises(TypeError, match="read-only"):
        view(ring).read(ring.fill(b"x"), 1)[0] = 0


def test_no_one_can_map_the_memory_for_writing_once_the_supervisor_has(ring: Ring) -> None:
    with pytest.raises(PermissionError):
        mmap.mmap(ring.fd, ring.slot_bytes)


def test_no_one_can_write_the_memory_through_its_descriptor(ring: Ring) -> None:
    with pytest.raises(PermissionError):
        os.pwrite(ring.fd, b"forged", 0)


@pytest.mark.parametrize("size", [0, 1 << 30])
def test_no_one_can_cut_or_grow_the_memory_under_the_supervisor(ring: Ring, size: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(ring.fd, size)


def test_the_seals_cannot_be_taken_back(ring: Ring) -> None:
    assert fcntl.fcntl(ring.fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SEAL


def test_ring_for_which_there_is_no_memory_leaves_no_descriptor_behind() -> None:
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError):
        Ring(4, 1 << 60)
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before
