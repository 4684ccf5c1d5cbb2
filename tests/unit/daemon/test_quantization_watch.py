"""When int8 counts as drifted from its float reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.config import Pipeline
from edge_runtime.daemon.protocol import Compared
from edge_runtime.daemon.quantization_watch import QuantizationWatch, Standing, wilson_low


def pipeline(**keys: float) -> Pipeline:
    """A pipeline with limits."""
    return Pipeline(id="surface", kind="inspection", bundle="net", cameras=("cam1",), **keys)  # type: ignore[arg-type]


def pair(*, same: bool, gap: float = 0.0) -> list[Compared]:
    """What both models say of one label."""
    return [Compared("crack", 0.7, 0.7 - gap, abnormal=True, reference_abnormal=same)]


def told(watch: QuantizationWatch, pairs: list[list[Compared]]) -> Standing:
    """The last standing after some inputs."""
    return [watch.take(each) for each in pairs][-1]


def test_models_that_agree_never_drift() -> None:
    standing = told(QuantizationWatch(pipeline()), [pair(same=True)] * 500)
    assert (standing.drifted, standing.n, standing.share) == (False, 200, 0.0)


def test_few_inputs_prove_nothing() -> None:
    assert not told(QuantizationWatch(pipeline()), [pair(same=False)] * 19).drifted


def test_models_that_often_differ_are_told_after_twenty_inputs() -> None:
    standing = told(QuantizationWatch(pipeline()), [pair(same=False)] * 20)
    assert standing.drifted
    assert standing.sentence("surface").startswith("surface: int8 and its float reference differ on 20 of 20 inputs")


def test_drift_that_stood_before_a_restart_stands_until_enough_was_compared() -> None:
    watch = QuantizationWatch(pipeline(), drifted=True)
    standings = [watch.take(pair(same=True)) for _ in range(20)]
    assert [each.known for each in standings] == [False] * 19 + [True]
    assert [each.drifted for each in standings] == [True] * 19 + [False]


def test_share_that_may_be_chance_is_no_drift() -> None:
    # 3 of 40 is 7.5 %, more than the limit of 5 %, but as few as 2.6 % would explain it.
    pairs = [pair(same=True)] * 37 + [pair(same=False)] * 3
    assert not told(QuantizationWatch(pipeline()), pairs).drifted


def test_drift_ends_only_well_below_the_limit() -> None:
    watch = QuantizationWatch(pipeline(reference_window=100, reference_max_disagreement=0.1))
    assert told(watch, [pair(same=False)] * 30 + [pair(same=True)] * 70).drifted
    assert told(watch, [pair(same=True)] * 24).drifted
    assert not told(watch, [pair(same=True)] * 2).drifted


def test_scores_that_are_far_apart_are_a_drift_even_where_decisions_agree() -> None:
    watch = QuantizationWatch(pipeline(reference_max_gap=0.2))
    assert told(watch, [pair(same=True, gap=0.3)] * 20).drifted
    assert told(watch, [pair(same=True)] * 20).drifted
    assert not told(watch, [pair(same=True)] * 60).drifted


def test_gap_without_a_limit_is_only_told() -> None:
    standing = told(QuantizationWatch(pipeline()), [pair(same=True, gap=0.6)] * 20)
    assert not standing.drifted
    assert standing.mean_gap == pytest.approx(0.6)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_lower_bound_lies_between_zero_and_the_share(counts: tuple[int, int]) -> None:
    n_hits, n = counts
    assert 0.0 <= wilson_low(n_hits, n) <= n_hits / n + 1e-12
