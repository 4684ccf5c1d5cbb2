"""Frames that are delivered once more."""

from __future__ import annotations

import msgspec
import pytest

from edge_runtime.daemon.repeats import FRAMES, FrameMemory


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


def test_the_newest_frames_of_each_camera_outlive_the_process() -> None:
    before, after = FrameMemory(2), FrameMemory(2)
    kept = [before.finish((camera, None, number)) for number in range(3) for camera in ("cam1", "cam2")]
    after.restore(dict(each for each in kept if each is not None))
    assert sorted(after._finished) == [(camera, None, number) for camera in ("cam1", "cam2") for number in (1, 2)]


def test_a_checkpoint_goes_on_from_an_earlier_one() -> None:
    before, after = FrameMemory(2), FrameMemory(2)
    after.restore(dict([before.finish(("cam1", "p", 1)) or ("", b"")]))
    assert after.finish(("cam1", "p", 2)) == (FRAMES + "cam1", msgspec.msgpack.encode([("p", 1), ("p", 2)]))


@pytest.mark.parametrize("value", [b"", b"\xc1", b"\x91\x01", b"\x91\x92\x01\x01"])
def test_a_checkpoint_that_cannot_be_read_is_left_out(value: bytes) -> None:
    memory = FrameMemory()
    memory.restore({FRAMES + "cam1": value})
    assert not memory._finished


def test_checkpoints_of_cameras_that_are_gone_are_dropped() -> None:
    memory = FrameMemory()
    for camera in ("cam1", "cam2"):
        memory.finish((camera, None, 1))
    assert (memory.forget_others({"cam1"}), memory.forget_others({"cam1"})) == ([FRAMES + "cam2"], [])
