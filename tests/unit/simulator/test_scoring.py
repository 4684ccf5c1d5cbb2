"""Scores say what a person would."""

from __future__ import annotations

from edge_runtime.simulator.scoring import Score, score_assets, score_parts
from edge_runtime.simulator.truth import AssetTruth


def life(*, fails: bool, began: int = 0, from_ms: int | None = 20_000, ends: int = 40_000) -> AssetTruth:
    return AssetTruth(
        asset="m1",
        life=1,
        fails=fails,
        mode="",
        began_ms=began,
        failing_from_ms=from_ms if fails else None,
        ends_ms=ends,
    )


def test_verdicts_are_counted_against_the_truth() -> None:
    truth = {"a": "ng", "b": "ng", "c": "ok", "d": "ok", "e": "ng"}
    score = score_parts(truth, {"a": "ng", "b": "ok", "c": "ng", "d": "ok", "e": "unsure"})
    assert (score.hits, score.misses, score.false_alarms, score.passes, score.unsure) == (1, 2, 1, 1, 1)


def test_a_part_without_a_verdict_is_a_miss_when_it_is_faulty() -> None:
    assert score_parts({"a": "ng"}, {}).misses == 1


def test_nothing_to_find_and_nothing_accused_is_perfect() -> None:
    score = Score(0, 0, 0, 5)
    assert (score.recall, score.precision, score.f1) == (1.0, 1.0, 1.0)


def test_an_alarm_while_it_is_right_is_a_hit_with_its_delay() -> None:
    found = score_assets([life(fails=True)], {"m1": [25_000]}, end_ms=60_000)
    assert (found.score.hits, found.score.false_alarms, found.score.misses) == (1, 0, 0)
    assert found.to_alert_s == (5.0,)


def test_an_alarm_before_it_is_right_is_false_and_does_not_count_as_found() -> None:
    found = score_assets([life(fails=True)], {"m1": [10_000]}, end_ms=60_000)
    assert (found.score.hits, found.score.false_alarms, found.score.misses) == (0, 1, 1)


def test_an_alarm_on_a_healthy_machine_is_false() -> None:
    found = score_assets([life(fails=False)], {"m1": [30_000]}, end_ms=60_000)
    assert (found.score.hits, found.score.false_alarms, found.score.passes) == (0, 1, 0)


def test_a_failure_without_an_alarm_is_a_miss() -> None:
    assert score_assets([life(fails=True)], {}, end_ms=60_000).score.misses == 1


def test_a_life_cut_off_before_its_failure_says_nothing_when_it_was_not_found_yet() -> None:
    found = score_assets([life(fails=True)], {}, end_ms=39_000)
    assert found.score == Score(0, 0, 0, 0)


def test_a_life_cut_off_before_it_fails_counts_as_sound() -> None:
    assert score_assets([life(fails=True)], {}, end_ms=15_000).score.passes == 1
