"""Whatever two models say and whenever: every input is settled once, in the order of its source, and nothing waits."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.config import Rollout
from edge_runtime.daemon.intake import Item
from edge_runtime.daemon.keeper import Event, Lost
from edge_runtime.daemon.protocol import Done, Outcome, Ready
from edge_runtime.daemon.rollout import Trial
from edge_runtime.daemon.side_by_side import SideBySide
from edge_runtime.daemon.telling import ModelFacts
from edge_runtime.mqtt.codec import FramePayload
from edge_runtime.mqtt.image_header import ImageHeader

HEADER = ImageHeader("jpeg", 1, 1, 3)
NEW = ModelFacts("tiny", "2", "b" * 64, "int8")
WAIT_S = 0.25
ROOM = 2

WORDS = st.sampled_from(["ok", "ng", "inference", "image_decode"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("finish"), st.sampled_from(["a", "b", "other"]), WORDS),
        st.tuples(st.just("answer"), st.integers(0, ROOM - 1), WORDS),
        st.tuples(st.just("wait"), st.floats(0, 0.4)),
        st.just(("lose",)),
    ),
    max_size=80,
)


def outcome(word: str) -> Outcome:
    if word in {"inference", "image_decode"}:
        return Outcome("surface", reason=word)
    return Outcome("surface", verdict="ng" if word == "ng" else "ok", took_ms=1.0)


class Lane:
    """A lane with room for two that answers in order."""

    alive = True
    pids: tuple[int, ...] = ()
    sources = frozenset({"a", "b"})
    pipelines = frozenset({"surface"})

    def __init__(self) -> None:
        self.held: list[int] = []
        self.events: list[Event] = [Ready(())]

    def offer(self, item: Item) -> bool:
        if len(self.held) >= ROOM:
            return False
        self.held.append(item.id)
        return True

    def poll(self) -> list[Event]:
        events, self.events = self.events, []
        return events

    def filenos(self) -> list[int]:
        return []

    def close(self) -> None:
        self.held.clear()


class Walk:
    """Takes steps and keeps account."""

    def __init__(self, stage: str) -> None:
        self.now, self.lane = 0.0, Lane()
        limits = Rollout(max_disagreement=1.0, max_error_rate=1.0, canary_share=0.5, canary_inputs=10_000)
        self.trial = Trial(limits, may_decide=True, stage="probation" if stage == "probation" else "shadow")
        if stage == "canary":
            self.trial.stage = "canary"
        self.finished: dict[str, list[int]] = defaultdict(list)
        self.settled: dict[str, list[int]] = defaultdict(list)
        self.decided: list[tuple[int, bool]] = []
        self.at: dict[int, float] = {}
        self.side = SideBySide(
            self.lane,
            self.trial,
            settle=self._settle,
            clock=lambda: self.now,
            wait_s=WAIT_S,
            lane_is_new=stage != "probation",
            facts={"surface": NEW},
        )

    def _settle(self, item: Item, _done: Done, facts: Any) -> None:
        self.settled[item.source].append(item.id)
        self.decided.append((item.id, bool(facts)))
        assert self.now - self.at[item.id] <= WAIT_S + 0.4 + 1e-9

    def take(self, number: int, step: tuple[Any, ...]) -> None:
        if step[0] == "finish":
            payload = FramePayload(step[1], b"", HEADER, 1.0, 1.0, from_source=True, part=f"p{number}")
            self.finished[step[1]].append(number)
            self.at[number] = self.now
            self.side.take(Item(number, step[1], payload, None, 0.0), Done(number, (outcome(step[2]),), 1.0))
        elif step[0] == "answer" and step[1] < len(self.lane.held):
            held = self.lane.held.pop(0)
            self.lane.events.append(Done(held, (outcome(step[2]),), 1.0))
        elif step[0] == "wait":
            self.now += step[1]
        elif step[0] == "lose":
            lost, self.lane.held = self.lane.held, []
            self.lane.events.append(Lost("crashed", next(iter(lost), None), tuple(lost[1:])))
        self.side.poll()


@given(st.sampled_from(["shadow", "canary", "probation"]), STEPS)
def test_every_input_is_settled_once_and_in_order(stage: str, steps: list[tuple[Any, ...]]) -> None:
    walk = Walk(stage)
    for number, step in enumerate(steps):
        walk.take(number, step)
    walk.side.close()
    assert walk.settled == walk.finished


@given(st.sampled_from(["shadow", "probation"]), STEPS)
def test_new_model_decides_single_inputs_only_in_the_canary(stage: str, steps: list[tuple[Any, ...]]) -> None:
    walk = Walk(stage)
    for number, step in enumerate(steps):
        walk.take(number, step)
    assert not any(by_new for _, by_new in walk.decided)


@given(STEPS)
def test_nothing_waits_longer_than_it_may(steps: list[tuple[Any, ...]]) -> None:
    walk = Walk("canary")
    for number, step in enumerate(steps):
        walk.take(number, step)
    walk.now += WAIT_S
    walk.side.poll()
    assert (walk.settled, walk.side.due_in(walk.now)) == (walk.finished, None)
