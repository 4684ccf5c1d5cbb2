"""The trial of a new model: stages, limits, budgets."""

from __future__ import annotations

import pytest

from edge_runtime.config import Rollout
from edge_runtime.daemon.rollout import Compared, Trial, budget, in_share, percentile

LIMITS = Rollout(shadow_inputs=10, canary_inputs=5, canary_share=0.5, probation_inputs=20, max_disagreement=0.2)
GOOD = Compared(took_ms=2.0, reference_ms=1.0)
OTHER = Compared(agrees=False, took_ms=2.0, reference_ms=1.0)
FAILED = Compared(failed=True, reference_ms=1.0)
SLOW = Compared(took_ms=40.0, reference_ms=1.0)


def trial(*, may_decide: bool = True) -> Trial:
    return Trial(LIMITS, may_decide=may_decide)


def run(subject: Trial, compared: Compared, times: int) -> Trial:
    for _ in range(times):
        subject.compare(compared)
    return subject


def on_probation(p95_ms: float = 0.0) -> Trial:
    return Trial(LIMITS, may_decide=True, stage="probation", reference_p95_ms=p95_ms)


def test_new_model_decides_nothing_in_the_shadow() -> None:
    assert (trial().share, trial().decides("part/1")) == (0.0, False)


def test_canary_begins_after_the_planned_inputs() -> None:
    subject = run(trial(), GOOD, 9)
    before = subject.stage
    assert (before, run(subject, GOOD, 1).stage, subject.share) == ("shadow", "canary", 0.5)


def test_passed_canary_waits_for_a_promotion() -> None:
    assert run(trial(), GOOD, 15).stage == "waiting"


def test_monitor_goes_without_a_canary() -> None:
    assert run(trial(may_decide=False), GOOD, 10).stage == "waiting"


def test_share_of_nothing_is_no_canary() -> None:
    subject = Trial(Rollout(shadow_inputs=3, canary_share=0.0), may_decide=True)
    assert run(subject, GOOD, 3).stage == "waiting"


def test_promoted_model_is_on_probation() -> None:
    subject = run(trial(), GOOD, 15)
    subject.promote()
    assert (subject.stage, subject.share, subject.n_compared) == ("probation", 1.0, 0)


def test_probation_ends() -> None:
    assert run(on_probation(), GOOD, 20).stage == "promoted"


def test_model_is_promoted_from_the_shadow_when_a_person_asks() -> None:
    subject = run(trial(), GOOD, 3)
    subject.promote()
    assert subject.stage == "probation"


def test_model_that_was_rolled_back_cannot_be_promoted() -> None:
    subject = trial()
    subject.roll_back("why")
    with pytest.raises(ValueError, match="rolled_back"):
        subject.promote()


def test_model_that_judges_otherwise_goes_as_soon_as_its_budget_is_spent() -> None:
    subject = run(trial(), OTHER, 2)
    before = subject.stage
    run(subject, OTHER, 1)
    assert (before, subject.stage) == ("shadow", "rolled_back")
    assert subject.reason == "disagreement: 3 of 3 inputs, 2 of 10 are allowed"


def test_model_that_fails_goes() -> None:
    subject = run(trial(), FAILED, 1)
    assert subject.reason == "errors: 1 of 1 inputs, 0 of 10 are allowed"


def test_failed_input_is_not_counted_as_judged_otherwise() -> None:
    subject = run(Trial(Rollout(max_error_rate=1.0), may_decide=True), Compared(agrees=False, failed=True), 1)
    assert (subject.n_failed, subject.n_disagreed) == (1, 0)


def test_slow_model_goes() -> None:
    subject = run(Trial(Rollout(), may_decide=True), SLOW, 20)
    assert subject.reason == "latency: p95 40.0 ms, 1.0 ms before; 3 times that is allowed"


def test_short_stage_judges_times_at_its_end() -> None:
    assert run(trial(), SLOW, 10).stage == "rolled_back"


def test_few_slow_inputs_are_no_slow_model() -> None:
    subject = Trial(Rollout(shadow_inputs=200), may_decide=True)
    for number in range(200):
        subject.compare(SLOW if number % 40 == 0 else GOOD)
    assert subject.stage == "canary"


def test_small_difference_is_not_slow_whatever_the_ratio() -> None:
    subject = run(trial(), Compared(took_ms=5.9, reference_ms=1.0), 10)
    assert subject.stage == "canary"


def test_probation_without_the_old_model_is_held_to_its_time_before() -> None:
    subject = run(on_probation(1.0), Compared(took_ms=40.0), 20)
    assert subject.reason.startswith("latency: p95 40.0 ms, 1.0 ms before")


def test_lost_process_ends_a_trial_at_once() -> None:
    subject = trial()
    assert (subject.lose("crashed"), subject.reason) == (True, "crashed: its process was lost (crashed)")


def test_process_that_does_not_come_up_is_tried_twice() -> None:
    subject = trial()
    assert [subject.lose("start_failed", ready=False) for _ in range(2)] == [False, True]


def test_process_that_grows_ends_a_trial() -> None:
    subject = trial()
    assert (subject.weigh(768 << 20), subject.weigh(769 << 20)) == (False, True)
    assert subject.reason == "memory: 769 MB, 768 MB are allowed"


@pytest.mark.parametrize("deed", ["compare", "lose", "weigh"])
def test_nothing_counts_after_the_end(deed: str) -> None:
    subject = trial()
    subject.roll_back("first")
    changed = {
        "compare": lambda: subject.compare(FAILED),
        "lose": lambda: subject.lose("crashed"),
        "weigh": lambda: subject.weigh(1 << 40),
    }[deed]()
    assert (changed, subject.reason) == (False, "first")


def test_canary_counts_anew() -> None:
    subject = run(trial(), OTHER, 2)
    run(subject, GOOD, 8)
    assert (subject.stage, subject.n_disagreed) == ("canary", 0)


def test_budget_rounds_down() -> None:
    assert [budget(0.05, 10), budget(0.05, 20), budget(1.0, 7)] == [0, 1, 7]


def test_percentile_of_twenty_is_the_nineteenth() -> None:
    assert percentile(float(number) for number in range(20)) == 18.0


def test_a_tenth_of_the_parts_is_a_tenth() -> None:
    assert 850 < sum(in_share(f"part/{number}", 0.1) for number in range(10_000)) < 1150
