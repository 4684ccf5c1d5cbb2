"""Two models on the same inputs: what both say is compared, and during a canary the new one decides some of them.

Every input of the worker in use passes through here on its way to the desk, and leaves in the order of its source,
exactly once. One that the new model decides waits for its answer, which the old one's stands in for where it does not
come in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from edge_runtime.daemon.intake import Item
from edge_runtime.daemon.keeper import Event, Lost
from edge_runtime.daemon.protocol import Done, Outcome, Ready, Refused
from edge_runtime.daemon.rollout import Compared, Trial
from edge_runtime.daemon.telling import ModelFacts
from edge_runtime.mqtt.codec import FramePayload

#: Reasons of an outcome that are the model's doing and not the input's.
_FAILURES = frozenset({"inference", "internal"})
_WORDS = {"grew": "memory"}

#: Gives an input to the desk: the input, what the worker said, and which model decided a pipeline, where another did.
Settle = Callable[[Item, Done, Mapping[str, ModelFacts]], None]


class Lane(Protocol):
    """What is needed of a :class:`~edge_runtime.daemon.trial_lane.TrialLane`."""

    sources: frozenset[str]
    pipelines: frozenset[str]
    alive: bool

    def offer(self, item: Item) -> bool:
        """Hand a copy of an input over; False when it is not taken."""
        ...

    def poll(self) -> list[Event]:
        """Give what the lane's worker said."""
        ...

    def filenos(self) -> list[int]:
        """Descriptors that become readable when ``poll`` has something to do."""
        ...

    @property
    def pids(self) -> tuple[int, ...]:
        """Its processes."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class NoLane:
    """Stands for a lane where there is no other model: what fails and how long it takes still counts.

    Parameters
    ----------
    sources, pipelines : frozenset of str
        Those of the model in use.
    """

    alive = False

    def __init__(self, sources: frozenset[str], pipelines: frozenset[str]) -> None:
        self.sources = sources
        self.pipelines = pipelines

    def offer(self, _item: Item) -> bool:
        """Take nothing."""
        return False

    def poll(self) -> list[Event]:
        """Say nothing."""
        return []

    def filenos(self) -> list[int]:
        """Wait for nothing."""
        return []

    @property
    def pids(self) -> tuple[int, ...]:
        """Run nothing."""
        return ()

    def close(self) -> None:
        """Leave nothing behind."""


@dataclass(slots=True)
class _Passing:
    """An input between both models and the desk; ``due`` is when the old model's word counts, None where it does."""

    item: Item
    done: Done
    at: float
    due: float | None = None
    facts: dict[str, ModelFacts] = field(default_factory=dict)


class SideBySide:
    """Compares the worker in use with a lane.

    Parameters
    ----------
    lane : Lane
        The other models.
    trial : Trial
        Counts, and says in which stage it is.
    settle : callable
        Takes every input once.
    clock : callable
        Monotonic, s.
    wait_s : float
        How long an input waits for the new model's answer.
    lane_is_new : bool
        Whether the lane runs the new model (shadow, canary) or the old one (probation).
    facts : mapping of str to ModelFacts
        What the lane runs, by pipeline.
    count : callable
        Takes what came of an input: ``agreed``, ``disagreed``, ``failed``, ``late``, or ``skipped`` where the lane had
        no room.
    """

    def __init__(
        self,
        lane: Lane,
        trial: Trial,
        *,
        settle: Settle,
        clock: Callable[[], float],
        wait_s: float,
        lane_is_new: bool,
        facts: Mapping[str, ModelFacts],
        count: Callable[[str], None] = lambda _result: None,
    ) -> None:
        self._lane = lane
        self._trial = trial
        self._settle = settle
        self._clock = clock
        self._wait_s = wait_s
        self._lane_is_new = lane_is_new
        self._facts = facts
        self._count = count
        self._offered: dict[int, _Passing] = {}
        self._queues: dict[str, deque[_Passing]] = {}
        self._was_ready = False

    def take(self, item: Item, done: Done) -> None:
        """Take an input that the worker in use has finished."""
        passing = _Passing(item, done, self._clock())
        if item.source in self._lane.sources:
            self._compare_or_offer(passing)
        queue = self._queues.get(item.source)
        if queue is None and passing.due is None:
            self._settle(item, done, {})
        else:
            self._queues.setdefault(item.source, deque()).append(passing)

    def filenos(self) -> list[int]:
        """Descriptors that become readable when ``poll`` has something to do."""
        return self._lane.filenos()

    @property
    def pids(self) -> tuple[int, ...]:
        """Processes beside the worker in use."""
        return self._lane.pids

    def due_in(self, now: float) -> float | None:
        """Seconds until an input has waited long enough; None where none waits."""
        waits = [each.due - now for queue in self._queues.values() for each in queue if each.due is not None]
        return max(0.0, min(waits)) if waits else None

    def poll(self) -> bool:
        """Take what the lane says, and let go what has waited long enough; gives whether the stage changed."""
        changed = False
        for event in self._lane.poll():
            changed = self._handle(event) or changed
        now = self._clock()
        for queue in self._queues.values():
            for each in queue:
                if each.due is not None and now >= each.due:
                    each.due = None
                    self._count("late")
        self._release()
        return changed

    def let_go(self) -> None:
        """Let everything go that waits, as the worker in use has judged it."""
        for queue in self._queues.values():
            for each in queue:
                each.due = None
        self._release()

    def close(self) -> None:
        """Let everything go that waits, and end the lane."""
        self.let_go()
        self._offered.clear()
        self._lane.close()

    def _compare_or_offer(self, passing: _Passing) -> None:
        """Give the lane a copy, where there is something to compare."""
        mine = self._mine(passing.done)
        failed = not self._lane_is_new and any(outcome.reason in _FAILURES for outcome in mine.values())
        if not mine or (not failed and all(outcome.reason for outcome in mine.values())):
            return
        decides = self._trial.decides(input_key(passing.item))
        if self._trial.stage == "canary" and not decides:
            return
        if not self._lane.alive:
            if failed:
                self._count("failed")
            self._trial.compare(Compared(failed=failed, took_ms=sum(outcome.took_ms for outcome in mine.values())))
        elif self._lane.offer(passing.item):
            self._offered[passing.item.id] = passing
            passing.due = passing.at + self._wait_s if decides else None
        else:
            self._count("skipped")

    def _handle(self, event: Event) -> bool:
        if isinstance(event, Done):
            return self._answer(event)
        if isinstance(event, Ready):
            self._was_ready = True
        elif isinstance(event, Lost):
            for each in self._offered.values():
                each.due = None
            self._offered.clear()
            ready, self._was_ready = self._was_ready, False
            if self._lane_is_new:
                return self._trial.lose(_WORDS.get(event.reason, event.reason), ready=ready)
        elif isinstance(event, Refused) and self._lane_is_new:
            return self._trial.roll_back(f"refused: {event.reason}")
        return False

    def _answer(self, theirs: Done) -> bool:
        """Compare the lane's word with that of the worker in use, and let it count where it decides."""
        passing = self._offered.pop(theirs.id, None)
        if passing is None:
            return False
        said = self._mine(theirs)
        compared = self._compare(self._mine(passing.done), said)
        self._count("failed" if compared.failed else "agreed" if compared.agrees else "disagreed")
        if passing.due is not None:
            passing.due = None
            if not compared.failed:
                self._let_decide(passing, said)
        return self._trial.compare(compared)

    def _compare(self, mine: Mapping[str, Outcome], theirs: Mapping[str, Outcome]) -> Compared:
        """Hold what both said of the pipelines that both have judged against each other."""
        new, old = (theirs, mine) if self._lane_is_new else (mine, theirs)
        both = [(new[name], old[name]) for name in new.keys() & old.keys() if not old[name].reason]
        return Compared(
            agrees=all(agree(left, right) for left, right in both),
            failed=any(left.reason in _FAILURES for left, _ in both),
            took_ms=sum(left.took_ms for left, _ in both),
            reference_ms=sum(right.took_ms for _, right in both),
        )

    def _let_decide(self, passing: _Passing, said: Mapping[str, Outcome]) -> None:
        """Put the lane's outcomes in the place of those of the worker in use."""
        sound = {name: outcome for name, outcome in said.items() if not outcome.reason}
        outcomes = tuple(sound.get(outcome.pipeline, outcome) for outcome in passing.done.outcomes)
        passing.done = Done(passing.done.id, outcomes, passing.done.busy_ms)
        passing.facts = {name: self._facts[name] for name in sound}

    def _mine(self, done: Done) -> dict[str, Outcome]:
        """Outcomes of the pipelines that are compared."""
        return {outcome.pipeline: outcome for outcome in done.outcomes if outcome.pipeline in self._lane.pipelines}

    def _release(self) -> None:
        """Let go, per source in order, what waits for nothing."""
        for source, queue in list(self._queues.items()):
            while queue and queue[0].due is None:
                passing = queue.popleft()
                self._settle(passing.item, passing.done, passing.facts)
            if not queue:
                del self._queues[source]


def agree(left: Outcome, right: Outcome) -> bool:
    """Whether two outcomes lead to the same deeds: the same verdict, and something abnormal in both or in neither.

    Windows of a monitor that do not end at the same time, or of which only one is complete, are not held against it.
    """
    is_window = left.verdict is None and right.verdict is None
    if is_window and (left.at != right.at or not (left.findings and right.findings)):
        return True
    abnormal = [any(finding.abnormal for finding in each.findings) for each in (left, right)]
    return left.verdict == right.verdict and abnormal[0] == abnormal[1]


def input_key(item: Item) -> str:
    """Name an input, so that all pictures of a part have one name, whichever camera took them."""
    payload = item.payload
    if isinstance(payload, FramePayload) and payload.part is not None:
        return f"part/{payload.part}"
    if payload.seq is not None:
        return f"{item.source}/{payload.seq}"
    at = payload.captured_at if isinstance(payload, FramePayload) else payload.arrived_at
    return f"{item.source}@{round(at * 1000)}"
