"""Splits over random sets: nothing in two parts, groups whole, shares kept, the same every time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.compress.data.keys import SplitKeys
from edge_runtime.compress.data.splits import Parts, split_by_group, split_by_time, split_stratified

SHARES = st.tuples(st.floats(0.05, 0.45), st.floats(0.05, 0.45))
SEEDS = st.integers(0, 2**32 - 1)


def keys(by: Literal["group", "time", "stratified"], shares: tuple[float, float], **more: Any) -> SplitKeys:
    return SplitKeys(by=by, evaluation=shares[0], calibration=shares[1], **more)


def members(parts: Parts) -> npt.NDArray[np.intp]:
    return np.concatenate([parts.training, parts.calibration, parts.evaluation])


@given(st.lists(st.integers(0, 15), min_size=3, max_size=200), SHARES, SEEDS)
def test_no_group_stands_on_two_sides(groups: list[int], shares: tuple[float, float], seed: int) -> None:
    codes = np.array(groups)
    parts = split_by_group(codes, codes % 3, keys("group", shares, seed=seed))
    sides = [set(codes[part].tolist()) for part in (parts.training, parts.calibration, parts.evaluation)]
    assert sum(map(len, sides)) == len(set(groups))
    assert sorted(members(parts).tolist()) == list(range(len(groups)))


@given(st.integers(30, 200), SHARES, SEEDS)
def test_many_small_groups_come_near_the_shares(n_groups: int, shares: tuple[float, float], seed: int) -> None:
    codes = np.repeat(np.arange(n_groups), 4)
    parts = split_by_group(codes, (codes % 4 == 0).astype(int), keys("group", shares, seed=seed))
    assert abs(len(parts.evaluation) / len(codes) - shares[0]) < 3 / n_groups
    assert abs(len(parts.calibration) / len(codes) - shares[1]) < 3 / n_groups


@given(st.lists(st.integers(0, 4), min_size=2, max_size=300), SHARES, SEEDS)
def test_class_shares_are_kept_to_one_sample(classes: list[int], shares: tuple[float, float], seed: int) -> None:
    codes = np.array(classes)
    parts = split_stratified(len(codes), codes, keys("stratified", shares, seed=seed))
    for kind in set(classes):
        n = classes.count(kind)
        assert abs((codes[parts.evaluation] == kind).sum() - n * shares[0]) <= 1
        assert n < 2 or {(codes[part] == kind).sum() > 0 for part in (parts.calibration, parts.evaluation)} == {True}
    assert sorted(members(parts).tolist()) == list(range(len(codes)))


@given(st.lists(st.integers(0, 60), min_size=3, max_size=150), SHARES, st.none() | st.integers(0, 10))
def test_later_parts_lie_later_in_time_by_the_gap(
    stamps: list[int], shares: tuple[float, float], gap: int | None
) -> None:
    times = np.array(stamps, np.float64)
    parts = split_by_time(len(times), times, keys("time", shares, gap_s=gap))
    order = [part for part in (parts.training, parts.calibration, parts.evaluation) if len(part)]
    for earlier, later in pairwise(order):
        assert times[later].min() - times[earlier].max() > (gap or 0)


@given(st.lists(st.integers(0, 3), min_size=3, max_size=150), SHARES, st.integers(0, 6))
def test_no_window_shares_rows_with_an_earlier_part(
    groups: list[int], shares: tuple[float, float], overlap: int
) -> None:
    codes = np.array(groups)
    parts = split_by_time(len(codes), None, keys("time", shares), groups=codes, overlap=overlap)
    order = [part for part in (parts.training, parts.calibration, parts.evaluation) if len(part)]
    place = np.array([groups[:index].count(group) for index, group in enumerate(groups)])
    for earlier, later in pairwise(order):
        for group in set(codes[earlier].tolist()) & set(codes[later].tolist()):
            last = place[earlier][codes[earlier] == group].max()
            assert place[later][codes[later] == group].min() - last > overlap


@given(st.integers(3, 100), SHARES, SEEDS)
def test_the_same_seed_gives_the_same_parts(n: int, shares: tuple[float, float], seed: int) -> None:
    codes = np.arange(n) % 7
    first, again = (split_by_group(codes, codes, keys("group", shares, seed=seed)) for _ in range(2))
    assert np.array_equal(members(first), members(again))
    first, again = (split_stratified(n, codes, keys("stratified", shares, seed=seed)) for _ in range(2))
    assert np.array_equal(members(first), members(again))
