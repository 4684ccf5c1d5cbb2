"""Windows that a monitor judged, as they can be judged once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace

from edge_runtime.bundle.manifest import Channel, WindowPreprocessing
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.errors import PayloadFormatError
from edge_runtime.inference.opening import open_bundle
from edge_runtime.timeseries.judged import HeldValues, JudgedWindow, pack_marks, unpack_marks
from edge_runtime.timeseries.monitor import Monitor
from tests.bundles import TRUSTED, window_bundle, window_model

N_CHANNELS = 4


def monitor(**changes: Any) -> tuple[Monitor, list[JudgedWindow]]:
    """A monitor of the tiny window model that keeps what it judged as abnormal; arrays are copied."""
    found = read_bundle(window_bundle(**changes), TRUSTED)
    seen: list[JudgedWindow] = []
    watching = Monitor(found.manifest, open_bundle(found))
    watching.on_window = lambda window: seen.append(
        JudgedWindow(window.first, window.findings, window.samples.copy(), window.times, window.held)
    )
    return watching, seen


def stream(n: int, seed: int = 5) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
    values = (np.random.default_rng(seed).normal(size=(n, N_CHANNELS)) * 3).astype(np.float32)
    return values, np.arange(n) / 16.0


def test_every_abnormal_window_of_a_block_is_shown_with_the_place_of_its_findings() -> None:
    watching, seen = monitor()
    findings = watching.push(*stream(400))
    abnormal = [place for place, finding in enumerate(findings) if finding.abnormal]
    assert len(abnormal) > 3
    assert [window.first for window in seen] == abnormal
    assert [window.findings[0] for window in seen] == [findings[place] for place in abnormal]


def test_a_window_judged_once_more_gives_the_same_findings_to_the_bit() -> None:
    watching, seen = monitor()
    watching.push(*stream(400))
    other, _ = monitor()
    assert [tuple(other.judge(window.samples)) for window in seen] == [window.findings for window in seen]


def test_judging_a_window_leaves_the_stream_as_it_is() -> None:
    watching, seen = monitor()
    watching.push(*stream(100))
    before = watching.state()
    watching.judge(seen[0].samples)
    assert watching.state() == before


def test_times_of_a_window_are_those_of_its_samples() -> None:
    watching, seen = monitor()
    values, times = stream(400)
    watching.push(values, times)
    for window in seen:
        start = int(np.flatnonzero(times == window.times[0])[0])
        assert np.array_equal(window.samples, values[start : start + 16])
        assert np.array_equal(window.times, times[start : start + 16])


@pytest.mark.parametrize("shape", [(15, 4), (16, 3), (16,)])
def test_what_is_no_window_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(PayloadFormatError, match="a window is float32"):
        monitor()[0].judge(np.zeros(shape, np.float32))


def holding() -> tuple[Monitor, list[JudgedWindow]]:
    """A monitor that holds up to three invalid values in a row."""
    preprocessing = window_model().manifest.preprocessing
    assert isinstance(preprocessing, WindowPreprocessing)
    ranged = tuple(Channel(name=channel.name, low=-50.0, high=50.0) for channel in preprocessing.channels)
    return monitor(preprocessing=replace(preprocessing, channels=ranged, max_hold=3))


def with_faults(values: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Break some values and give where."""
    broken = np.zeros(values.shape, np.bool_)
    for row, column in ((20, 1), (21, 1), (30, 0), (47, 3), (48, 3), (80, 2)):
        values[row, column] = np.nan if row % 2 else 99.0
        broken[row, column] = True
    return broken


@pytest.mark.parametrize("block", [1, 7, 16, 100])
def test_held_values_are_marked_however_the_stream_is_cut(block: int) -> None:
    watching, seen = holding()
    values, times = stream(100)
    broken = with_faults(values)
    for start in range(0, len(values), block):
        watching.push(values[start : start + block], times[start : start + block])
    assert any(window.held.any() for window in seen)
    for window in seen:
        start = int(np.flatnonzero(times == window.times[0])[0])
        assert np.array_equal(window.held, broken[start : start + 16])


def test_marks_of_held_values_survive_in_the_state() -> None:
    first, _ = holding()
    values, times = stream(100)
    broken = with_faults(values)
    second, seen_after = holding()
    first.push(values[:25], times[:25])
    second.restore(first.state())
    second.push(values[25:], times[25:])
    for window in seen_after:
        start = int(np.flatnonzero(times == window.times[0])[0])
        assert np.array_equal(window.held, broken[start : start + 16])
    assert seen_after


def test_a_state_without_held_values_has_no_marks() -> None:
    watching, _ = holding()
    watching.push(*stream(30))
    assert b"marks" not in watching.state()


def test_marks_beyond_a_sample_that_ended_the_window_are_forgotten() -> None:
    held = HeldValues(4, 1)
    held.note(np.array([[True], [True]]), np.array([True, False]))
    held.take(1)
    assert held.last(1).tolist() == [[True]]


def test_marks_of_a_block_whose_rest_was_not_taken_are_forgotten() -> None:
    held = HeldValues(4, 1)
    held.note(np.array([[False], [True]]), np.array([True, True]))
    held.take(1)
    held.note(np.array([[False], [False]]), np.array([True, True]))
    held.take(2)
    assert not held.last(3).any()


def test_packed_marks_are_unpacked_and_no_mark_takes_no_byte() -> None:
    marks = np.array([[True, False, False], [False, False, True], [False, True, False]])
    assert np.array_equal(unpack_marks(pack_marks(marks), 3, 3), marks)
    assert pack_marks(np.zeros((5, 5), np.bool_)) == b""


def test_packed_marks_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 bytes of marks"):
        unpack_marks(b"ab", 2, 3)
