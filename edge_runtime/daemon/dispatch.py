"""Inputs to the worker and its answers to the desk: every input ends exactly once, whatever happens to the worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from edge_runtime.config import Config
from edge_runtime.daemon import protocol
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.intake import Item, PartSeen
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.keeper import Event, Lost, WorkerKeeper, WorkerLimits
from edge_runtime.daemon.lineup import Lineup, StatusListener, Swap
from edge_runtime.daemon.mailbox import Mailbox, Rotation
from edge_runtime.daemon.memory import resident_bytes
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.models import PipelineModel
from edge_runtime.daemon.repeats import FrameKey, FrameMemory, frame_key
from edge_runtime.daemon.ring import Ring
from edge_runtime.daemon.sample_times import as_told
from edge_runtime.daemon.setaside import SetAside
from edge_runtime.daemon.tasks import payload_bytes, write_task
from edge_runtime.daemon.telling import ModelFacts, Occasion
from edge_runtime.errors import PayloadSizeError
from edge_runtime.mqtt.codec import FramePayload, SensorBlock

_log = logging.getLogger(__name__)

#: Key prefix of window states in the outbox's state table.
WINDOW = "window/"
_TRIES = 2
_IN_FLIGHT = 2

#: Told of every outcome that is not refused: the outcome, the input behind it, and its payload.
Listener = Callable[[protocol.Outcome, Occasion, FramePayload | SensorBlock], None]


class Dispatcher:
    """Between mailboxes, worker and desk.

    Parameters
    ----------
    config : Config
        Worker limits and pipelines.
    models : mapping of str to PipelineModel
        By pipeline; those that were refused are absent.
    trusted : tuple of bytes
        Public keys, PEM.
    mailboxes : mapping of str to Mailbox
        By source.
    desk : Desk
        Takes findings.
    journal : Journal
        Takes window states and finished inputs.
    set_aside : SetAside
        Keeps inputs that killed workers.
    metrics, complaints : Metrics, Complaints
        Count and log.
    clock : Clock
        Both clocks.
    on_outcome, on_status, on_incident : callable
        Listeners; the last is told what a person should see in health.
    stopped : iterable of str
        Pipelines that a person stopped.
    """

    def __init__(  # noqa: PLR0913 - the place where the parts of an input's way meet
        self,
        config: Config,
        models: Mapping[str, PipelineModel],
        trusted: tuple[bytes, ...],
        mailboxes: Mapping[str, Mailbox[Item]],
        *,
        desk: Desk,
        journal: Journal[object],
        set_aside: SetAside,
        metrics: Metrics,
        complaints: Complaints,
        clock: Clock,
        on_outcome: Listener,
        on_status: StatusListener,
        on_incident: Callable[[str], None],
        stopped: Iterable[str] = (),
    ) -> None:
        self._config = config
        self._mailboxes = mailboxes
        self._desk = desk
        self._journal = journal
        self._set_aside = set_aside
        self._metrics = metrics
        self._complaints = complaints
        self._clock = clock
        self._on_outcome = on_outcome
        self._on_incident = on_incident
        self._rotation = Rotation(mailboxes.values())
        self._declare(config)
        self._states: dict[str, bytes] = {}
        self._with_worker: dict[int, tuple[Item, int]] = {}
        self._frames = FrameMemory(config.broker.receive_maximum + _IN_FLIGHT)
        self.lineup = Lineup(
            models,
            trusted,
            self._states,
            max_pixels=config.worker.max_frame_px,
            stopped=set(stopped),
            on_status=on_status,
        )
        self.on_finished: Callable[[Item, protocol.Done], None] = self.settle
        self.on_lost: Callable[[str, Item | None], None] = lambda _reason, _item: None
        self.beside: Callable[[], tuple[int, ...]] = tuple
        self._unsettled: dict[int, tuple[Item, Mapping[str, ModelFacts]]] = {}
        self._ring = Ring(config.worker.ring_slots, config.worker.slot_bytes)
        self.keeper = WorkerKeeper(
            self._ring,
            self.lineup.orders,
            formats=self.lineup.formats(),
            limits=WorkerLimits(
                start_s=config.worker.start_timeout_s,
                hang_s=config.worker.hang_timeout_s,
                memory_bytes=config.worker.memory_limit_mb << 20,
                in_flight=min(_IN_FLIGHT, config.worker.ring_slots),
            ),
            clock=clock.monotonic,
            cache_dir=Path(config.gateway.state_dir) / "kernels",
        )

    @property
    def facts(self) -> Mapping[str, ModelFacts]:
        """What runs in each pipeline."""
        return self.lineup.facts

    @property
    def idle(self) -> bool:
        """Whether no input is with the worker, or between it and the desk."""
        return not self._with_worker and not self._unsettled

    @property
    def pids(self) -> tuple[int, ...]:
        """All processes of the gateway but this one."""
        return (*self.keeper.pids, *self.beside())

    @property
    def worker_bytes(self) -> int:
        """Resident memory of the worker in use; 0 where there is none."""
        return sum(resident_bytes(pid) for pid in self.keeper.pids[1:2])

    def restore_windows(self, states: Mapping[str, bytes]) -> None:
        """Take over checkpointed window states, by ``<pipeline>/<source>``."""
        self._states.update(states)

    def remember_frames(self, frames: Iterable[FrameKey], stored: Mapping[str, bytes]) -> None:
        """Take over frames that an earlier run finished: those behind verdicts, and those that were checkpointed."""
        for key in frames:
            self._frames.add(key)
        self._frames.restore(stored)
        self._forget_frames()

    def _forget_frames(self) -> None:
        """Drop the checkpoints of cameras that are gone."""
        for key in self._frames.forget_others(self._cameras):
            self._journal.set_state(key, None, now=self._clock.monotonic())

    def swap(
        self,
        models: Mapping[str, PipelineModel],
        *,
        gone: Iterable[str] = (),
        ended: Callable[[str], None] | None = None,
    ) -> None:
        """Have pipelines run other models, without a gap: a new worker is built beside the present one.

        Parameters
        ----------
        models : mapping of str to PipelineModel
            By pipeline; the others stay.
        gone : iterable of str
            Pipelines that exist no longer.
        ended : callable, optional
            Told once: nothing when the new models run, else why everything stays as it was. The same is told of each
            pipeline by its status.
        """
        self.lineup.swap(Swap(models, frozenset(gone), ended=ended or (lambda _reason: None)))

    def reconfigure(self, config: Config, mailboxes: Mapping[str, Mailbox[Item]]) -> None:
        """Take over other sources and pipelines; the worker has nothing of those that leave."""
        self._config = config
        self._mailboxes = mailboxes
        self._rotation = Rotation(mailboxes.values())
        self._declare(config)
        now = self._clock.monotonic()
        kept = {f"{pipeline.id}/{sensor}" for pipeline in config.pipelines for sensor in pipeline.sensors}
        for key in self._states.keys() - kept:
            del self._states[key]
            self._journal.set_state(WINDOW + key, None, now=now)
        self._forget_frames()

    def _declare(self, config: Config) -> None:
        self._cameras = {camera.id for camera in config.cameras}
        self._columns = {sensor.id: [channel.name for channel in sensor.channels] for sensor in config.sensors}

    def holds(self, sources: Container[str]) -> bool:
        """Whether an input of these sources is with the worker or waits for it."""
        held = any(item.source in sources for item, _ in self._with_worker.values())
        return held or any(len(mailbox) > 0 for name, mailbox in self._mailboxes.items() if name in sources)

    def feed(self) -> None:
        """Hand inputs to the worker, each source in its turn, as long as it has room."""
        while self.keeper.has_room:
            taken = self._rotation.take(lambda _mailbox: True)
            if taken is None:
                return
            _, item = taken
            if not self._listeners(item.source):
                self.give_up(item, self._why_not(item.source))
            elif self._is_with_worker(item):
                self._metrics.drop(item.source, "repeated")
            elif self._frames.has(item):
                self._metrics.drop(item.source, "repeated")
                self._journal.finish(item.token, now=self._clock.monotonic())
            else:
                self._submit(item)

    def poll(self) -> None:
        """Take what the worker said, and replace it if it is lost."""
        for event in self.keeper.poll():
            self._handle(event)
        self.lineup.poll(self.keeper, self._clock.monotonic())
        if self.keeper.vacant:  # now that all is known that the next worker needs
            for event in self.keeper.poll():
                self._handle(event)

    def give_up(self, item: Item, reason: str, detail: str = "") -> None:
        """End an input without a result; its part is told."""
        self._metrics.drop(item.source, reason)
        self._complaints.say("processing", item.source, reason, detail)
        part = item.payload.part if isinstance(item.payload, FramePayload) else None
        self.tell_part(item.source, part, reason, item.payload.arrived_at)
        self._journal.finish(item.token, now=self._clock.monotonic())

    def tell_part(self, source: str, part: str | None, reason: str, received_at: float) -> None:
        """Answer for a part whose frame gave no result."""
        if part is None or source not in self._cameras:
            return
        for name in self._judges_of(source):
            occasion = self._occasion(name, source, received_at, received_at, 0.0, part=part)
            self._desk.take(protocol.Outcome(name, reason=reason), occasion)

    def expect_part(self, seen: PartSeen) -> None:
        """Open a part in every pipeline that judges parts of this camera."""
        received_at, captured_at = self._clock.correct(seen.received_at), self._clock.correct(seen.captured_at)
        for name in self._judges_of(seen.source):
            self._desk.expect_part(name, seen.part, received_at=received_at, at=captured_at, again=seen.again)

    def close(self) -> None:
        """End the worker and give memory back."""
        self.keeper.close()
        self._ring.close()

    def _submit(self, item: Item) -> None:
        """Put a payload into the ring and hand it over; one that does not fit is given up."""
        data = payload_bytes(item.payload)
        try:
            slot = self._ring.fill(data)
        except PayloadSizeError as error:
            self.give_up(item, error.reason, f"{error}; see worker.slot_bytes")
            return
        self._with_worker[item.id] = (item, slot)
        self.keeper.submit(write_task(item, slot, len(data), self._columns.get(item.source, ())))

    def _handle(self, event: Event) -> None:
        if isinstance(event, protocol.Done):
            self._finish(event)
        elif isinstance(event, Lost):
            self._lose(event)
        else:
            self.lineup.take(event, self.keeper, self._clock.monotonic())

    def _finish(self, done: protocol.Done) -> None:
        """Take an input back from the worker; ``on_finished`` settles it, now or after another model's word."""
        item, slot = self._with_worker.pop(done.id)
        self._ring.release(slot)
        self._metrics.busy.inc(done.busy_ms / 1e3)
        self._unsettled[item.id] = item, dict(self.lineup.facts)  # another model may be in use once it is settled
        for outcome in done.outcomes:
            if outcome.state is not None:  # another worker goes on from here, whenever this is settled
                self._states[f"{outcome.pipeline}/{item.source}"] = outcome.state
        self.on_finished(item, done)

    def settle(self, item: Item, done: protocol.Done, models: Mapping[str, ModelFacts] | None = None) -> None:
        """Give an input's outcomes to the desk, then let it be acknowledged with the next commit.

        Parameters
        ----------
        item : Item
            As ``on_finished`` had it; each is settled once.
        done : Done
            What was made of it.
        models : mapping of str to ModelFacts, optional
            Which model decided, by pipeline, where it was not the one in use.
        """
        facts = {**self._unsettled.pop(item.id)[1], **(models or {})}
        now = self._clock.monotonic()
        if isinstance(item.payload, FramePayload):
            kept = self._frames.finish(frame_key(item.source, item.payload))
            if kept is not None and item.token is not None:  # nothing else comes again after a restart
                self._journal.set_state(*kept, now=now)
        refused = ""
        for outcome in (as_told(each, item.shift_s) for each in done.outcomes):
            if outcome.pipeline in self.lineup.stopped:
                continue
            occasion = self._occasion_of(item, outcome, facts, now)
            self._desk.take(outcome, occasion)
            if outcome.state is not None:
                self._journal.set_state(f"{WINDOW}{outcome.pipeline}/{item.source}", outcome.state, now=now)
            for irregularity, count in outcome.irregular.items():
                self._metrics.irregular.labels(outcome.pipeline, item.source, irregularity).inc(count)
                self._complaints.say("processing", item.source, irregularity, f"pipeline={outcome.pipeline} n={count}")
            if outcome.reason:
                refused = outcome.reason
                self._complaints.say("processing", item.source, outcome.reason, outcome.detail)
                continue
            self._metrics.latency.labels(outcome.pipeline).observe(occasion.waited_s)
            self._on_outcome(outcome, occasion, item.payload)
        if refused:
            self._metrics.drop(item.source, refused)
        else:
            self._metrics.processed.labels(item.source).inc()
        self._journal.finish(item.token, now=now)

    def _lose(self, lost: Lost) -> None:
        """Give what the worker held back to its mailboxes; an input that killed two workers is set aside."""
        self._metrics.replaced.labels(lost.reason).inc()
        self.on_lost(lost.reason, None if lost.in_hand is None else self._with_worker[lost.in_hand][0])
        self._complaints.say("processing", "worker", lost.reason, "the worker is replaced")
        self.lineup.lost(lost.reason, self._clock.monotonic())
        if lost.in_hand is not None:
            item, _ = self._with_worker[lost.in_hand]
            item.tries += 1
            if item.tries >= _TRIES:
                del self._with_worker[lost.in_hand]
                path = self._set_aside.keep(item)
                self._on_incident(f"input_set_aside:{item.source}")
                self.give_up(item, "set_aside", f"workers died of it ({lost.reason}); kept as {path}")
        back = [self._with_worker[number][0] for number in (lost.in_hand, *lost.waiting) if number in self._with_worker]
        for item in reversed(back):
            if item.source in self._mailboxes:
                self._mailboxes[item.source].put_back([item])
            else:
                self.give_up(item, "source_gone")
        for _, slot in self._with_worker.values():
            self._ring.release(slot)
        self._with_worker.clear()

    def _pipelines_of(self, source: str) -> list[str]:
        """Every configured pipeline on a source, built or not."""
        return [
            pipeline.id
            for pipeline in self._config.pipelines
            if source in pipeline.cameras or source in pipeline.sensors
        ]

    def _listeners(self, source: str) -> list[str]:
        """Pipelines on a source that run."""
        return [name for name in self._pipelines_of(source) if self.lineup.runs(name)]

    def _judges_of(self, source: str) -> list[str]:
        """Pipelines that owe verdicts on the parts in a source's frames, also where they cannot run."""
        names = self._pipelines_of(source)
        return [name for name in names if self._desk.judges(name) and name not in self.lineup.stopped]

    def _why_not(self, source: str) -> str:
        """Say why nothing looks at a source."""
        stopped = self.lineup.stopped.intersection(self._pipelines_of(source))
        return "pipeline_stopped" if stopped else "pipeline_failed"

    def _is_with_worker(self, item: Item) -> bool:
        """Whether the worker has this very frame of an earlier link, which is then acknowledged by the copy's token."""
        if not isinstance(item.payload, FramePayload) or (item.payload.part is None and not item.again):
            return False
        key = frame_key(item.source, item.payload)
        others = [
            *(other for other, _ in self._with_worker.values()),
            *(other for other, _ in self._unsettled.values()),
        ]
        pictures = [(other, other.payload) for other in others if isinstance(other.payload, FramePayload)]
        same = [other for other, picture in pictures if key is not None and frame_key(other.source, picture) == key]
        for other in same:
            other.token = item.token
        return bool(same)

    def _occasion_of(
        self, item: Item, outcome: protocol.Outcome, facts: Mapping[str, ModelFacts], now: float
    ) -> Occasion:
        payload = item.payload
        at = outcome.at if outcome.at is not None else payload.arrived_at
        waited = now - item.arrived_at
        part = payload.part if isinstance(payload, FramePayload) else None
        occasion = self._occasion(outcome.pipeline, item.source, at, payload.arrived_at, waited, part=part)
        return replace(occasion, seq=payload.seq, payload=payload, model=facts.get(outcome.pipeline, occasion.model))

    def _occasion(
        self,
        pipeline: str,
        source: str,
        at: float,
        received_at: float,
        waited_s: float,
        *,
        part: str | None = None,
    ) -> Occasion:
        at, received_at = self._clock.correct(at), self._clock.correct(received_at)
        facts = self.lineup.facts.get(pipeline, ModelFacts("", "", "", "int8"))
        return Occasion(pipeline, source, source in self._cameras, facts, at, received_at, waited_s, part)


def listening(sources: Iterable[str], states: Mapping[str, bytes]) -> dict[str, bytes]:
    """Keep the window states whose source is still configured."""
    known = set(sources)
    return {key: value for key, value in states.items() if key.partition("/")[2] in known}
