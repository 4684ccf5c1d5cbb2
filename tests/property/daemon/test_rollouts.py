"""Whatever both models say: a trial goes one way only, within its limits, and ends where it has ended."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.config import Rollout
from edge_runtime.daemon.rollout import ENDED, TRYING, Compared, Stage, Trial, budget, in_share

RATES = st.sampled_from([0.0, 0.05, 0.2, 1.0])
LIMITS = st.builds(
    Rollout,
    shadow_inputs=st.integers(1, 30),
    canary_inputs=st.integers(1, 30),
    probation_inputs=st.integers(1, 30),
    canary_share=st.sampled_from([0.0, 0.3, 1.0]),
    max_disagreement=RATES,
    max_error_rate=RATES,
)
COMPARED = st.builds(
    Compared,
    agrees=st.booleans(),
    failed=st.booleans(),
    took_ms=st.floats(0, 100),
    reference_ms=st.floats(0, 100),
)
STEPS = st.lists(
    st.one_of(
        COMPARED,
        st.sampled_from(["crashed", "hung", "memory"]),
        st.integers(0, 1 << 31),
        st.just(None),
    ),
    max_size=120,
)
ORDER: dict[Stage, int] = {"shadow": 0, "canary": 1, "waiting": 2, "probation": 3, "promoted": 4, "rolled_back": 5}


def walk(subject: Trial, steps: list[object]) -> list[Stage]:
    """Take the steps; None is a person who promotes where that is possible."""
    stages = [subject.stage]
    for step in steps:
        before = subject.stage
        changed = before != subject.stage
        if isinstance(step, Compared):
            changed = subject.compare(step)
        elif isinstance(step, str):
            changed = subject.lose(step)
        elif isinstance(step, int):
            changed = subject.weigh(step)
        elif before in {"shadow", "canary", "waiting"}:
            subject.promote()
            changed = True
        assert changed == (before != subject.stage)
        stages.append(subject.stage)
    return stages


@given(LIMITS, st.booleans(), STEPS)
def test_stages_only_go_forward(limits: Rollout, may_decide: bool, steps: list[object]) -> None:
    stages = walk(Trial(limits, may_decide=may_decide), steps)
    assert [ORDER[stage] for stage in stages] == sorted(ORDER[stage] for stage in stages)


@given(LIMITS, st.booleans(), STEPS)
def test_model_decides_everything_only_after_a_promotion(
    limits: Rollout, may_decide: bool, steps: list[object]
) -> None:
    stages = walk(Trial(limits, may_decide=may_decide), [step for step in steps if step is not None])
    assert not {"probation", "promoted"} & set(stages)


@given(LIMITS, STEPS)
def test_canary_is_only_for_models_that_may_decide(limits: Rollout, steps: list[object]) -> None:
    assert "canary" not in walk(Trial(limits, may_decide=False), steps)


@given(LIMITS, STEPS, st.text(max_size=10))
def test_inputs_are_decided_only_in_the_canary_and_only_its_share(
    limits: Rollout, steps: list[object], key: str
) -> None:
    subject = Trial(limits, may_decide=True)
    walk(subject, steps)
    decides = subject.decides(key)
    assert decides == (subject.stage == "canary" and in_share(key, limits.canary_share))


@given(LIMITS, st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_no_stage_is_passed_over_its_budget(limits: Rollout, words: list[tuple[bool, bool]]) -> None:
    subject = Trial(limits, may_decide=False)
    words = words[: limits.shadow_inputs]
    for agrees, failed in words:
        subject.compare(Compared(agrees=agrees, failed=failed))
    n_failed = sum(failed for _, failed in words)
    n_other = sum(not failed and not agrees for agrees, failed in words)
    over = n_failed > budget(limits.max_error_rate, limits.shadow_inputs) or n_other > budget(
        limits.max_disagreement, limits.shadow_inputs
    )
    assert (subject.stage == "rolled_back") == over


@given(LIMITS, st.integers(1, 60))
def test_agreeing_model_is_never_rolled_back(limits: Rollout, count: int) -> None:
    subject = Trial(limits, may_decide=True)
    for _ in range(count):
        subject.compare(Compared(took_ms=3.0, reference_ms=1.0))
    assert subject.stage in {*TRYING, "waiting"}


@given(LIMITS, STEPS, STEPS)
def test_nothing_changes_after_the_end(limits: Rollout, steps: list[object], more: list[object]) -> None:
    subject = Trial(limits, may_decide=True)
    walk(subject, steps)
    stage, reason = subject.stage, subject.reason
    if stage in ENDED:
        walk(subject, more)
        assert (subject.stage, subject.reason) == (stage, reason)


@given(st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_larger_share_holds_the_smaller_one(key: str, left: float, right: float) -> None:
    small, large = sorted((left, right))
    assert not in_share(key, small) or in_share(key, large)
