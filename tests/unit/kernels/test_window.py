"""Rings and windows: refusals and edges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_runtime.kernels.window import SampleRing, clean_block, extract_windows, fill_normalised


@pytest.mark.parametrize("sizes", [(0, 4, 1), (1, 0, 1), (1, 4, 0)])
def test_ring_without_extent_is_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        SampleRing(*sizes)


def test_reset_ring_needs_a_whole_window_again() -> None:
    ring = SampleRing(1, 3, 1)
    ring.append(np.ones((3, 1), np.float32), np.arange(3.0))
    ring.reset()
    assert (ring.count, ring.until_due, ring.oldest_time()) == (0, 3, None)


def test_ring_says_no_time_where_the_source_gave_none() -> None:
    ring = SampleRing(1, 3, 1)
    ring.append(np.ones((2, 1), np.float32), np.full(2, np.nan))
    assert ring.oldest_time() is None


def test_stream_shorter_than_a_window_gives_none() -> None:
    assert extract_windows(np.zeros((4, 2), np.float32), 5, 1).shape == (0, 5, 2)


@pytest.mark.parametrize(("length", "hop", "shape"), [(0, 1, (4, 2)), (2, 0, (4, 2)), (2, 1, (4,))])
def test_windows_without_extent_are_refused(length: int, hop: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="samples x channels"):
        extract_windows(np.zeros(shape, np.float32), length, hop)


def test_range_ends_are_valid() -> None:
    nothing, zero = np.full(1, np.nan, np.float32), np.zeros(1, np.int64)
    values = np.array([[0.0], [5.0], [5.1], [-0.1]], np.float32)
    low, high = np.array([0.0], np.float32), np.array([5.0], np.float32)
    _, mask, _ = clean_block(values, low, high, zero, 0, nothing.copy(), nothing.copy(), zero.copy(), zero.copy())
    assert mask[:, 0].tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize(
    ("values", "error"), [(np.zeros((2, 2)), TypeError), (np.zeros((2, 3), np.float32), ValueError)]
)
def test_block_that_does_not_fit_the_channels_is_refused(values: Any, error: type[Exception]) -> None:
    ends, counts = np.zeros(2, np.float32), np.zeros(2, np.int64)
    with pytest.raises(error):
        clean_block(values, ends, ends, counts, 0, ends, ends, counts, counts)


@pytest.mark.parametrize(
    ("window", "out", "error"),
    [
        (np.zeros((4, 2)), np.zeros((4, 2), np.float32), TypeError),
        (np.zeros((4, 2), np.float32), np.zeros((4, 2), np.int8), TypeError),
        (np.zeros((4, 2), np.float32), np.zeros((3, 2), np.float32), ValueError),
        (np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32), ValueError),
        (np.zeros((4, 4), np.float32)[:, ::2], np.zeros((4, 2), np.float32), ValueError),
    ],
)
def test_window_that_does_not_fit_is_refused(window: Any, out: Any, error: type[Exception]) -> None:
    one = np.ones((1, 2), np.float32)
    with pytest.raises(error):
        fill_normalised(window, np.zeros(0, np.int64), one[0, :0], one[:0, :0], one, one, 1.0, out)
