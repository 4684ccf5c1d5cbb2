"""Sensor kernels agree with their twins, and the ring with the whole stream."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_runtime.kernels.window import SampleRing, clean_block, extract_windows, fill_normalised
from tests.property.kernels import twins

Floats = npt.NDArray[np.float32]
readings = st.sampled_from([0.0, 1.0, 1.5, -2.0, 9.0, -9.0, float("nan"), float("inf"), float("-inf")])
streams = st.integers(1, 3).flatmap(
    lambda n: hnp.arrays(np.float32, st.tuples(st.integers(0, 24), st.just(n)), elements=readings)
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(stream=streams, stuck=st.integers(0, 3), max_hold=st.integers(0, 3), cut=st.integers(0, 24))
def test_cleaning_in_two_blocks_agrees_with_looking_at_the_whole_stream(
    stream: Floats, stuck: int, max_hold: int, cut: int
) -> None:
    n = stream.shape[1]
    low, high = np.full(n, -5, np.float32), np.full(n, 5, np.float32)
    stuck_after = np.full(n, stuck, np.int64)
    state = np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32), np.zeros(n, np.int64), np.zeros(n, np.int64)
    blocks = [clean_block(part, low, high, stuck_after, max_hold, *state) for part in (stream[:cut], stream[cut:])]
    cleaned, mask, usable = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    wanted, faults, wanted_usable = twins.clean(stream, [-5] * n, [5] * n, [stuck] * n, max_hold)
    np.testing.assert_array_equal(cleaned, wanted)
    assert mask.tolist() == faults
    assert usable.tolist() == wanted_usable


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    window=hnp.arrays(np.float32, (5, 3), elements=st.floats(-1e6, 1e6, width=32) | st.just(float("nan"))),
    seed=st.integers(0, 999),
    n_regimes=st.integers(1, 4),
    clip=st.sampled_from([float("inf"), 1.0, 3.5]),
)
def test_normalising_agrees_with_float32_value_by_value(window: Floats, seed: int, n_regimes: int, clip: float) -> None:
    random = np.random.default_rng(seed)
    columns, spread = [2, 0], [3.0, 0.7]
    centroids = random.normal(0, 1e5, (n_regimes, 2)).astype(np.float32)
    centre, scale = random.normal(0, 10, (2, n_regimes, 3)).astype(np.float32)
    out = np.empty_like(window)
    args = np.array(columns), np.array(spread, np.float32), centroids, centre, scale
    fill_normalised(window, *args, clip, out)
    regimes = columns, spread, centroids.tolist()
    np.testing.assert_array_equal(out, twins.normalise(window, regimes, centre.tolist(), scale.tolist(), clip))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    length=st.integers(1, 7),
    hop=st.integers(1, 9),
    blocks=st.lists(st.integers(0, 11), max_size=8),
)
def test_ring_gives_the_windows_of_the_whole_stream_however_it_is_cut(length: int, hop: int, blocks: list[int]) -> None:
    stream = np.arange(sum(blocks) * 2, dtype=np.float32).reshape(-1, 2)
    times = np.arange(len(stream)) / 8
    ring = SampleRing(2, length, hop)
    windows = []
    start = 0
    for size in blocks:
        stop = start + size
        while start < stop:
            start += ring.append(stream[start:stop], times[start:stop])
            if ring.until_due == 0:
                window = np.empty((length, 2), np.float32)
                ring.fill_samples(window)
                np.testing.assert_array_equal(ring.times() * 16, window[:, 0])
                windows.append(window)
    np.testing.assert_array_equal(np.array(windows).reshape(-1, length, 2), extract_windows(stream, length, hop))
