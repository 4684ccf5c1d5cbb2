"""Two models on the same inputs: what is compared, who decides, and that every input is settled once and in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from edge_runtime.config import Rollout
from edge_runtime.daemon.intake import Item
from edge_runtime.daemon.keeper import Event, Lost
from edge_runtime.daemon.protocol import Done, Outcome, Ready, Refused
from edge_runtime.daemon.rollout import Trial
from edge_runtime.daemon.side_by_side import NoLane, SideBySide, agree, input_key
from edge_runtime.daemon.telling import ModelFacts
from edge_runtime.findings import Finding
from edge_runtime.mqtt.codec import FramePayload, SensorBlock
from edge_runtime.mqtt.image_header import ImageHeader

NEW = ModelFacts("tiny", "2", "b" * 64, "int8")
LIMITS = Rollout(shadow_inputs=100, canary_inputs=100, canary_share=1.0, max_disagreement=1.0, max_error_rate=1.0)
WAIT_S = 0.25
HEADER = ImageHeader("jpeg", 1, 1, 3)


def frame(number: int, *, part: str | None = None, seq: int | None = None, source: str = "cam") -> Item:
    payload = FramePayload(source, b"", HEADER, 1000.0 + number, 1000.0, from_source=True, part=part, seq=seq)
    return Item(number, source, payload, None, 0.0)


class ScriptedLane:
    """A lane that takes what it has room for, and says what a test lets it say."""

    alive = True
    pids = (1, 2)
    sources = frozenset({"cam"})
    pipelines = frozenset({"surface"})

    def __init__(self) -> None:
        self.offered: list[int] = []
        self.events: list[Event] = []
        self.room = 100
        self.closed = False

    def offer(self, item: Item) -> bool:
        if len(self.offered) < self.room:
            self.offered.append(item.id)
            return True
        return False

    def poll(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def filenos(self) -> list[int]:
        return []

    def close(self) -> None:
        self.closed = True


class Bench:
    """Two models on a table; the clock stands until it is moved."""

    def __init__(self, stage: str = "shadow", *, lane: Any = None, limits: Rollout = LIMITS) -> None:
        self.now = 0.0
        self.lane = lane or ScriptedLane()
        self.trial = Trial(limits, may_decide=True, stage="probation" if stage == "probation" else "shadow")
        if stage == "canary":
            self.trial.stage = "canary"
        self.counted: list[str] = []
        self.settled: list[tuple[int, Done, Mapping[str, ModelFacts]]] = []
        self.side = SideBySide(
            self.lane,
            self.trial,
            settle=lambda item, done, facts: self.settled.append((item.id, done, facts)),
            clock=lambda: self.now,
            wait_s=WAIT_S,
            lane_is_new=stage != "probation",
            facts={"surface": NEW},
            count=self.counted.append,
        )

    def finish(self, item: Item, *outcomes: Outcome) -> None:
        """Let the worker in use finish an input."""
        self.side.take(item, Done(item.id, outcomes or (ok(),), 1.0))

    def hear(self, *events: Event) -> bool:
        """Let the lane speak."""
        self.lane.events += list(events)
        return self.side.poll()

    @property
    def ids(self) -> list[int]:
        return [number for number, _, _ in self.settled]


def ok(**changes: Any) -> Outcome:
    return Outcome(**{"pipeline": "surface", "verdict": "ok", "at": 1000.0, "took_ms": 1.0, **changes})


def ng(**changes: Any) -> Outcome:
    return ok(verdict="ng", **changes)


def failed() -> Outcome:
    return Outcome("surface", reason="inference")


def test_input_is_settled_at_once_in_the_shadow() -> None:
    bench = Bench()
    bench.finish(frame(1))
    assert (bench.ids, bench.lane.offered, bench.settled[0][2]) == ([1], [1], {})


def test_input_of_another_source_is_not_offered() -> None:
    bench = Bench()
    bench.finish(frame(1, source="other"))
    assert (bench.ids, bench.lane.offered) == ([1], [])


def test_busy_lane_holds_nobody_up() -> None:
    bench = Bench()
    bench.lane.room = 1
    bench.finish(frame(1))
    bench.finish(frame(2))
    assert (bench.ids, bench.lane.offered, bench.trial.n_compared) == ([1, 2], [1], 0)


def test_both_words_are_compared() -> None:
    bench = Bench()
    for number, word in enumerate((ok(took_ms=3.0), ng(took_ms=4.0), failed())):
        bench.finish(frame(number))
        bench.hear(Done(number, (word,), 1.0))
    figures = bench.trial
    assert (figures.n_compared, figures.n_disagreed, figures.n_failed, figures.p95_ms) == (3, 1, 1, 4.0)


def test_picture_that_both_cannot_read_says_nothing_of_the_model() -> None:
    bench = Bench()
    bench.finish(frame(1), Outcome("surface", reason="image_decode"))
    assert (bench.ids, bench.lane.offered) == ([1], [])


def test_only_the_pipelines_of_the_lane_are_compared() -> None:
    bench = Bench()
    bench.finish(frame(1), ok(), ng(pipeline="other"))
    bench.hear(Done(1, (ok(),), 1.0))
    assert (bench.trial.n_compared, bench.trial.n_disagreed) == (1, 0)


def test_canary_input_waits_for_the_new_models_word() -> None:
    bench = Bench("canary")
    bench.finish(frame(1))
    before = bench.ids
    bench.hear(Done(1, (ng(),), 1.0))
    ((_, done, facts),) = bench.settled
    assert (before, done.outcomes[0].verdict, facts) == ([], "ng", {"surface": NEW})


def test_canary_leaves_other_pipelines_on_the_same_input_alone() -> None:
    bench = Bench("canary")
    bench.finish(frame(1), ok(), ng(pipeline="other"))
    bench.hear(Done(1, (ng(),), 1.0))
    ((_, done, facts),) = bench.settled
    assert ([each.pipeline for each in done.outcomes], list(facts)) == (["surface", "other"], ["surface"])


def test_canary_input_whose_new_model_fails_goes_as_the_old_one_judged_it() -> None:
    bench = Bench("canary")
    bench.finish(frame(1))
    bench.hear(Done(1, (failed(),), 1.0))
    ((_, done, facts),) = bench.settled
    assert (done.outcomes, facts, bench.trial.n_failed) == ((ok(),), {}, 1)


def test_late_canary_input_goes_as_the_old_model_judged_it_and_only_once() -> None:
    bench = Bench("canary")
    bench.finish(frame(1))
    bench.now = WAIT_S
    bench.hear()
    bench.hear(Done(1, (ng(),), 1.0))
    ((_, done, _),) = bench.settled
    assert (done.outcomes[0].verdict, bench.trial.n_compared) == ("ok", 1)


def test_lost_lane_lets_its_inputs_go() -> None:
    bench = Bench("canary")
    bench.hear(Ready(()))
    bench.finish(frame(1))
    bench.finish(frame(2))
    changed = bench.hear(Lost("crashed", 1, (2,)))
    assert (changed, bench.ids, bench.trial.stage) == (True, [1, 2], "rolled_back")


def test_inputs_of_a_source_keep_their_order_behind_one_that_waits() -> None:
    bench = Bench("canary")
    bench.finish(frame(1))
    bench.lane.room = 0
    bench.finish(frame(2))
    bench.finish(frame(3, source="other"))
    bench.hear(Done(1, (ok(),), 1.0))
    assert bench.ids == [3, 1, 2]


def test_end_lets_everything_go() -> None:
    bench = Bench("canary")
    bench.finish(frame(1))
    bench.side.close()
    assert (bench.ids, bench.lane.closed, bench.side.due_in(0.0)) == ([1], True, None)


def test_time_until_a_waiting_input_is_due_is_known() -> None:
    bench = Bench("canary")
    bench.now = 1.0
    bench.finish(frame(1))
    assert bench.side.due_in(1.1) == pytest.approx(0.15)


def test_input_outside_of_the_canarys_share_is_not_offered() -> None:
    bench = Bench("canary", limits=Rollout(canary_share=1e-9))
    bench.finish(frame(1))
    assert (bench.ids, bench.lane.offered) == ([1], [])


def test_failure_on_probation_counts_where_the_old_model_answers() -> None:
    bench = Bench("probation")
    bench.finish(frame(1), failed())
    before = bench.trial.n_failed
    bench.hear(Done(1, (ok(),), 1.0))
    assert (before, bench.trial.n_failed, bench.ids, bench.counted) == (0, 1, [1], ["failed"])


def test_failure_of_both_models_on_probation_is_the_inputs_fault() -> None:
    bench = Bench("probation")
    bench.finish(frame(1), failed())
    bench.hear(Done(1, (failed(),), 1.0))
    assert (bench.trial.n_failed, bench.lane.offered) == (0, [1])


def test_failure_on_probation_without_an_old_model_counts() -> None:
    bench = Bench("probation", lane=NoLane(frozenset({"cam"}), frozenset({"surface"})))
    bench.finish(frame(1), failed())
    assert (bench.trial.n_failed, bench.counted) == (1, ["failed"])


def test_what_waits_may_be_let_go_without_an_end_of_the_trial() -> None:
    bench = Bench("canary")
    bench.finish(frame(1))
    bench.side.let_go()
    assert (bench.ids, bench.lane.closed) == ([1], False)


def test_old_model_beside_a_probation_is_compared_and_decides_nothing() -> None:
    bench = Bench("probation")
    bench.finish(frame(1), ng(took_ms=9.0))
    bench.hear(Done(1, (ok(took_ms=2.0),), 1.0))
    figures = bench.trial
    assert (figures.n_disagreed, figures.p95_ms, figures.reference_p95_ms) == (1, 9.0, 2.0)
    assert bench.settled[0][1].outcomes[0].verdict == "ng"


def test_failure_of_the_old_model_is_no_fault_of_the_new_one() -> None:
    bench = Bench("probation")
    bench.finish(frame(1))
    bench.hear(Done(1, (failed(),), 1.0))
    assert (bench.trial.n_failed, bench.trial.n_compared) == (0, 1)


def test_lost_or_refused_old_model_is_no_fault_of_the_new_one() -> None:
    bench = Bench("probation")
    bench.hear(Ready(()), Lost("crashed", None, ()), Refused("surface", "why"))
    assert bench.trial.stage == "probation"


def test_probation_without_an_old_model_takes_times() -> None:
    bench = Bench("probation", lane=NoLane(frozenset({"cam"}), frozenset({"surface"})))
    bench.finish(frame(1), ok(took_ms=7.0))
    assert (bench.trial.n_compared, bench.trial.p95_ms, bench.ids) == (1, 7.0, [1])


def test_refused_model_is_rolled_back() -> None:
    bench = Bench()
    bench.hear(Refused("surface", "golden outputs differ"))
    assert bench.trial.reason == "refused: golden outputs differ"


def test_what_comes_of_an_input_is_counted() -> None:
    bench = Bench("canary")
    for number, word in enumerate((ok(), ng(), failed())):
        bench.finish(frame(number))
        bench.hear(Done(number, (word,), 1.0))
    bench.finish(frame(8))
    bench.now += WAIT_S
    bench.hear()
    bench.lane.room = 0
    bench.finish(frame(9))
    assert bench.counted == ["agreed", "disagreed", "failed", "late", "skipped"]


@pytest.mark.parametrize(
    ("left", "right", "alike"),
    [
        (ok(), ok(), True),
        (ok(), ng(), False),
        (ok(), ok(verdict="unsure"), False),
    ],
)
def test_pictures_agree_by_their_verdict(left: Outcome, right: Outcome, alike: bool) -> None:
    assert agree(left, right) == alike


def window(at: float, *abnormal: bool) -> Outcome:
    found = tuple(Finding("timeseries.failure", "life", 1.0, 0.0, 0.0, each, not each) for each in abnormal)
    return Outcome("life", found, at=at)


@pytest.mark.parametrize(
    ("left", "right", "alike"),
    [
        (window(1.0, True), window(1.0, False), False),
        (window(1.0, True), window(1.0, True), True),
        (window(1.0, True), window(2.0, False), True),
        (window(1.0, True), window(1.0), True),
    ],
)
def test_only_windows_that_end_together_are_compared(left: Outcome, right: Outcome, alike: bool) -> None:
    assert agree(left, right) == alike


def test_all_pictures_of_a_part_have_one_name() -> None:
    assert input_key(frame(1, part="p")) == input_key(frame(2, part="p", source="other"))


def test_pictures_without_a_part_are_named_by_number_or_time() -> None:
    assert (input_key(frame(1, seq=9)), input_key(frame(2))) == ("cam/9", "cam@1002000")


def test_blocks_are_named_by_number_or_arrival() -> None:
    values, times = np.zeros((1, 1), np.float32), np.zeros(1)
    block = SensorBlock("press", ("a",), values, times, 1.0, 3.0, from_source=False)
    assert input_key(Item(1, "press", block, None, 0.0)) == "press@3000"
