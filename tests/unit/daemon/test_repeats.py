"""Frames that are delivered once more."""

from __future__ import annotations

from edge_runtime.daemon.repeats import FrameMemory


def test_only_the_last_frames_are_remembered() -> None:
    memory = FrameMemory()
    for number in range(20_001):
        memory.add(("cam1", "p", number))
    assert len(memory._finished) == 20_000
    assert ("cam1", "p", 0) not in memory._finished


def test_a_frame_without_a_name_is_not_remembered() -> None:
    memory = FrameMemory()
    memory.add(None)
    assert not memory._finished
