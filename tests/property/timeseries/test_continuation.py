"""A monitor that is saved and restored goes on to the bit, wherever it is cut and whatever comes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_runtime.bundle.manifest import Channel, Decision, Normalisation, WindowPreprocessing
from edge_runtime.timeseries.monitor import Monitor
from tests.unit.vision.linear_runtime import LinearRuntime, spec
from tests.unit.vision.manifests import manifest

readings = st.sampled_from([0.0, 1.0, 1.0, 2.0, 3.0, 1e9, float("nan"), float("inf")])
steps = st.sampled_from([0.1, 0.1, 0.1, 0.1, 0.0, -0.1, 0.5, -9.0])


def monitor(length: int, hop: int) -> Monitor:
    source, target = spec("window", "int8", (1, length, 2), 0.1), spec("value", "float32", (1, 1))
    preprocessing = WindowPreprocessing(
        (Channel("a", high=100.0, stuck_after=3), Channel("b", high=100.0)),
        length,
        hop,
        10.0,
        Normalisation("zscore", ((1.0, 1.0),), ((0.5, 0.25),)),
        max_gap_s=0.3,
        max_hold=2,
    )
    weights = np.arange(1.0, 2 * length + 1)[None]
    decision = Decision(quantity="wear", unit="mm")
    return Monitor(
        manifest("regression", preprocessing, source, target, decision), LinearRuntime(source, target, weights, (0.0,))
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    stream=hnp.arrays(np.float32, st.tuples(st.integers(0, 40), st.just(2)), elements=readings),
    gaps=st.lists(steps, min_size=40, max_size=40),
    length=st.integers(1, 5),
    hop=st.integers(1, 7),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    timed=st.booleans(),
)
def test_restored_monitor_goes_on_to_the_bit(
    stream: npt.NDArray[np.float32], gaps: list[float], length: int, hop: int, cuts: list[int], timed: bool
) -> None:
    times = np.cumsum(gaps)[: len(stream)]
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    blocks = [slice(start, stop) for start, stop in pairwise(bounds)]
    steady = monitor(length, hop)
    wanted = [steady.push(stream[block], times[block] if timed else None) for block in blocks]
    replaced = monitor(length, hop)
    for block, findings in zip(blocks, wanted, strict=True):
        state = replaced.state()
        replaced = monitor(length, hop)
        replaced.restore(state)
        assert replaced.state() == state
        assert replaced.push(stream[block], times[block] if timed else None) == findings
    assert replaced.state() == steady.state()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    stream=hnp.arrays(np.float32, st.tuples(st.integers(0, 40), st.just(2)), elements=readings),
    length=st.integers(1, 5),
    hop=st.integers(1, 7),
    sizes=st.lists(st.integers(1, 9), min_size=40, max_size=40),
)
def test_findings_do_not_depend_on_how_the_stream_is_cut_into_blocks(
    stream: npt.NDArray[np.float32], length: int, hop: int, sizes: list[int]
) -> None:
    times = np.arange(len(stream)) / 10
    whole = monitor(length, hop).push(stream, times)
    pieces = monitor(length, hop)
    found = []
    start = 0
    for size in sizes:
        found += pieces.push(stream[start : start + size], times[start : start + size])
        start += size
    assert found == whole
