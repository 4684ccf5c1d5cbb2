"""Windows of a table are those that the gateway's monitor would judge."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_runtime.bundle.manifest import Channel, Decision, Normalisation, WindowPreprocessing
from edge_runtime.compress.data.windows import WindowCutter
from edge_runtime.timeseries.cleaning import CleaningCounts
from edge_runtime.timeseries.monitor import Monitor
from tests.unit.vision.linear_runtime import LinearRuntime, spec
from tests.unit.vision.manifests import manifest

READINGS = st.sampled_from([0.0, 1.0, 1.0, 2.0, 3.0, 1e9, float("nan"), float("inf")])
STEPS = st.sampled_from([0.1, 0.1, 0.1, 0.1, 0.0, -0.1, 0.5, -9.0])


@given(
    stream=hnp.arrays(np.float32, st.tuples(st.integers(0, 40), st.just(2)), elements=READINGS),
    gaps=st.lists(STEPS, min_size=40, max_size=40),
    length=st.integers(1, 5),
    hop=st.integers(1, 7),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    timed=st.booleans(),
)
def test_a_table_is_cut_into_what_the_gateway_would_judge(
    stream: npt.NDArray[np.float32], gaps: list[float], length: int, hop: int, cuts: list[int], timed: bool
) -> None:
    channels = (Channel("a", high=100.0, stuck_after=3), Channel("b", high=100.0))
    plain = Normalisation("none", ((0.0, 0.0),), ((1.0, 1.0),))
    steps = WindowPreprocessing(channels, length, hop, 10.0, plain, max_gap_s=0.3, max_hold=2)
    source, target = spec("window", "float32", (1, length, 2)), spec("value", "float32", (1, 1))
    runtime = LinearRuntime(source, target, np.zeros((1, 2 * length)), (0.0,))
    monitor = Monitor(manifest("regression", steps, source, target, Decision(quantity="wear", unit="mm")), runtime)
    judged: list[npt.NDArray[np.float32]] = []
    monitor.on_findings = lambda window, _: judged.append(window.copy())
    counts = CleaningCounts()
    cutter = WindowCutter(steps, counts)
    times = np.cumsum(gaps)[: len(stream)]
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    found: list[npt.NDArray[np.float32]] = []
    for start, stop in pairwise(bounds):
        stamps = times[start:stop] if timed else None
        monitor.push(stream[start:stop], stamps)
        if stop > start:
            rows = np.arange(start, stop, dtype=np.float64)
            for window, held in cutter.push(stream[start:stop], stamps, rows):
                found.append(window)
                usable = np.isfinite(stream[held.astype(int)]) & (stream[held.astype(int)] <= 100)
                assert np.array_equal(window[usable], stream[held.astype(int)][usable]) or counts.stuck
    assert len(found) == len(judged)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(found, judged, strict=True))
    assert counts == monitor.counts
