"""The supervisor: the process that speaks to the broker, decides alarms and keeps on disk what it promised.

It loads no engine, no model and no compiled kernel. One loop on one thread owns all state; the session's network
thread only fills mailboxes and a queue of notices.

The straight line: message -> intake (codec, mailbox) -> ring -> worker -> desk (alarms, verdicts) -> journal (one
transaction) -> acknowledgement -> sender -> broker.
"""

from __future__ import annotations

import logging
import os
import select
import signal
from collections import deque
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Config, config_sha256, load_config
from edge_runtime.daemon import lifecycle, protocol
from edge_runtime.daemon.clock import Clock, clock_quality
from edge_runtime.daemon.commands import OrderQueue, Orders, acknowledging, resending, shelving, unshelving
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.dispatch import WINDOW, Dispatcher, listening
from edge_runtime.daemon.front import Front, availability
from edge_runtime.daemon.http import HttpServer
from edge_runtime.daemon.inlet import Inlet
from edge_runtime.daemon.intake import GivenUp, Intake, PartSeen
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.lasting import LASTING, LastingClock, kernel_boot_id
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.models import PipelineModel, load_model, load_models, record_answers, trusted_pems
from edge_runtime.daemon.notes import Connected, Disconnected, Note, OrderToken, Published
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.pages import pages
from edge_runtime.daemon.past import decided_part, finished_frame, stored_verdicts
from edge_runtime.daemon.references import References
from edge_runtime.daemon.release_book import RELEASE
from edge_runtime.daemon.release_orders import release_orders
from edge_runtime.daemon.release_parts import make_releases
from edge_runtime.daemon.reloading import Affected, Reloader
from edge_runtime.daemon.reporter import Parts, Reporter
from edge_runtime.daemon.retained import RETAINED, empty_gone
from edge_runtime.daemon.sender import Sender
from edge_runtime.daemon.service import ServiceManager, find_service_manager, forget_service_manager
from edge_runtime.daemon.setaside import SetAside
from edge_runtime.daemon.state import claim_state_dir
from edge_runtime.daemon.stopping import STOPPED_PIPELINE, Switchboard, restore_stopped
from edge_runtime.daemon.telling import Gateway, Occasion
from edge_runtime.daemon.timekeeping import HELD, TimeKeeper, Wall
from edge_runtime.daemon.trail import AUDIT, Trail
from edge_runtime.errors import BrokerError, BundleError, HostEnvironmentError
from edge_runtime.messages import OFFLINE, STOPPED, EventIds, Reply
from edge_runtime.mqtt.codec import FramePayload, SensorBlock
from edge_runtime.mqtt.interface import Incoming, Outgoing, SessionCallbacks
from edge_runtime.mqtt.session import Session
from edge_runtime.mqtt.topics import Topics

_log = logging.getLogger(__name__)

_CHECKPOINT_S = 0.2
_LONGEST_WAIT_S = 0.25
_STOP_S = 4.0
_GOODBYE_S = 1.0
_DECIDED_KEPT = 20_000
_NOTES = 10_000
#: A closed terminal, a log rotation or a slip of the hand must not end a gateway: these would, by default.
_NOISE = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


class Supervisor:
    """The daemon of one configuration.

    Parameters
    ----------
    config : Config
        Validated.
    clock : Clock
        Both clocks.
    service : ServiceManager
        Who started it and watches it; a silent one by default.
    path : Path
        The file that the configuration came from, for reading it again.

    Raises
    ------
    HostEnvironmentError
        If the state folder, its database, or the HTTP port cannot be used, or another daemon uses them.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        service: ServiceManager | None = None,
        path: Path | None = None,
    ) -> None:
        self._config = config
        self._service = service or ServiceManager()
        real = clock or Clock()
        self._wall = Wall(real)
        self._clock = replace(real, wall=self._wall, correct=self._wall.correct)
        self._notes: deque[Note] = deque()
        self._order_queue = OrderQueue()
        self._disk_trouble = ""
        self._connected = self._ready = False
        self._no_commands: tuple[str, ...] = ()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stopping = False
        self._lasting = LastingClock(real, kernel_boot_id())
        self._state = claim_state_dir(Path(config.gateway.state_dir))
        self._ids = EventIds(lambda: round(self._clock.wall() * 1000))
        self._gateway = Gateway(self._ids.next().lower(), config_sha256(config))
        self._metrics = Metrics()
        self._complaints = Complaints(self._clock.monotonic)
        self._store = BundleStore(Path(config.bundles.store))
        self._models, refused = load_models(config, self._store)
        self._outbox = Outbox(
            self._state.folder / "outbox.sqlite",
            boot_id=self._gateway.boot_id,
            clock=self._lasting.now,
            max_bytes=config.outbox.max_bytes,
            retention_s=config.outbox.retention_s,
            evidence_max_bytes=config.outbox.evidence_max_bytes,
            evidence_max_age_s=config.outbox.evidence_max_age_s,
        )
        self._lasting.resume(self._outbox.load_state(LASTING).get(LASTING))
        self._topics = Topics(config.gateway.root, config.gateway.id)
        self._session = self._make_session()
        self._front = Front(self._session, self._topics, self._complaints, lambda: clock_quality(self._clock.wall()))
        self._intake = Intake(
            config,
            metrics=self._metrics,
            complaints=self._complaints,
            clock=self._clock,
            notify=self._note,
            overload=self._overload,
            lasting=self._lasting.now,
        )
        self._inlet = Inlet(
            config.broker, self._intake, notify=self._note, metrics=self._metrics, complaints=self._complaints
        )
        self._journal: Journal[object] = Journal(
            self._outbox,
            self._acknowledge,
            checkpoint_s=_CHECKPOINT_S,
            max_tokens=max(1, config.broker.receive_maximum // 2),
        )
        self._health = lifecycle.HealthReporter(self._gateway.boot_id, self._state.folder, self._clock)
        self._time = self._make_timekeeper(real)
        self._verdicts = list(stored_verdicts(self._outbox.latest("verdict", _DECIDED_KEPT)))
        self._desk = self._make_desk()
        self._status = lifecycle.StatusBoard(self._front.say_status, self._clock)
        self._dispatcher = self._make_dispatcher()
        self._sender = Sender(
            self._outbox,
            self._publish_event,
            clock=self._clock,
            drain_per_s=config.outbox.drain_per_s,
            in_flight=config.broker.inflight_maximum,
        )
        trail = self._make_trail()
        self._releases = make_releases(
            config,
            self._store,
            outbox=self._outbox,
            journal=self._journal,
            front=self._front,
            desk=self._desk,
            dispatcher=self._dispatcher,
            topics=self._topics,
            event_ids=self._ids,
            trail=trail,
            metrics=self._metrics,
            clock=self._clock,
        )
        self._references = References(self._desk, self._metrics, self._complaints, self._health.hold)
        self._references.retire(config.pipelines)
        self._reporter = self._make_reporter()
        self._reloader = self._make_reloader(path)
        self._reload_wanted = False
        switchboard = self._make_switchboard()
        self._orders = Orders(
            {
                "config/reload": self._reloader.obeying(),
                **switchboard.orders(),
                "alert/ack": acknowledging(self._desk.acknowledge),
                "alert/shelve": shelving(self._desk.shelve),
                "alert/unshelve": unshelving(self._desk.unshelve),
                "events/resend": resending(self._outbox.resend),
                **release_orders(self._releases, self._store),
            },
            self._clock,
            trail,
        )
        self._http = self._make_http()
        stopped = self._dispatcher.lineup.stopped
        for name in self._models.keys() - stopped:
            self._status.set(name, "degraded", "the worker is starting", self._models[name].facts)
        for name, reason in refused.items():
            _log.error("event=pipeline_failed pipeline=%s reason=%r", name, reason)
            self._status.set(name, "failed", reason)
        for name in stopped:
            self._pipeline_changed(name, "stopped", "")

    # The loop ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until ``stop`` is called, then leave everything in order."""
        if self._http is not None:
            self._http.start()
        self._session.subscribe([self._front.commands])
        self._session.start()
        self._inlet.start()
        self._service.ready()
        try:
            while not self._stopping:
                self._turn(self._wait_s())
        finally:
            self._leave()

    def stop(self) -> None:
        """Ask the loop to end; may be called from a signal handler or another thread."""
        self._stopping = True
        os.eventfd_write(self._wake_fd, 1)

    def reload(self) -> None:
        """Ask for the configuration to be read again; may be called from a signal handler or another thread."""
        self._reload_wanted = True
        os.eventfd_write(self._wake_fd, 1)

    def _turn(self, wait_s: float) -> None:
        """One round of the loop."""
        self._wait([self._wake_fd, *self._dispatcher.keeper.filenos(), *self._releases.filenos()], wait_s)
        self._require_network()
        if self._time.tick(self._desk.shift_times) and self._connected:
            self._reporter.greet()
        while self._notes:
            self._take(self._notes.popleft())
        while not self._journal.fault and (order := self._order_queue.take()) is not None:
            self._obey(order)
        if self._reload_wanted and not self._reloader.busy:
            self._reload_wanted = False
            self._reloader.reload()
        self._dispatcher.poll()
        self._releases.poll()
        self._desk.decide_overdue(self._dispatcher.facts)
        self._desk.tick()
        self._disk_trouble = "disk_stuck" if self._journal.fault else "outbox_full" if self._outbox.full else ""
        if not self._disk_trouble:
            self._dispatcher.feed()
        self._inlet.hold_or_resume()
        now = self._clock.monotonic()
        self._journal.flush(now)
        if self._connected:
            self._front.flush()
        self._sender.pump()
        self._ready = self._connected and self._inlet.connected and self._dispatcher.keeper.ready
        self._reporter.report(now, connected=self._connected)
        self._service.alive(now, self._reporter.status_line(connected=self._connected))

    def _require_network(self) -> None:
        """End the daemon when a network thread has died of a bug: whoever keeps it running starts it anew."""
        failure = self._session.failure or self._inlet.failure
        if failure is not None:
            raise RuntimeError("a network thread ended; the daemon cannot go on without it") from failure

    def _wait(self, descriptors: list[int], wait_s: float) -> None:
        """Wait until one of the descriptors has something, then clear the wake-up."""
        poll = select.poll()
        for descriptor in descriptors:
            poll.register(descriptor, select.POLLIN)
        poll.poll(wait_s * 1000)
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)

    def _wait_s(self) -> float:
        """Time until something is due by itself."""
        now = self._clock.monotonic()
        deadline = self._desk.next_deadline()
        due = [
            self._reporter.due_in(now),
            self._service.due_in(now),
            self._journal.due_in(now),
            self._sender.due_in(now) if self._connected else None,
            self._releases.due_in(now),
            None if deadline is None else deadline - now,
        ]
        return min(_LONGEST_WAIT_S, *(max(0.0, each) for each in due if each is not None))

    def _take(self, note: Note) -> None:
        """Take one word of the network thread."""
        if isinstance(note, PartSeen):
            self._dispatcher.expect_part(note.source, note.part, note.received_at, note.captured_at)
        elif isinstance(note, GivenUp):
            self._dispatcher.tell_part(note.source, note.part, note.reason, note.received_at)
            self._journal.finish(note.token, now=self._clock.monotonic())
        elif isinstance(note, Published):
            if note.outcome == "done":
                self._sender.acknowledged(note.ticket)
                self._metrics.published.inc()
            elif note.outcome == "lost":
                self._sender.lost(note.ticket)
            else:
                if not self._sender.failed(note.ticket):
                    self._reporter.greet_later(self._clock.monotonic())
                self._complaints.say("sending", "broker", "publish_refused", note.text)
        elif isinstance(note, Connected):
            self._greet()
        elif isinstance(note, Disconnected):
            self._connected = False
            self._sender.disconnected()
            if note.error is not None:
                self._complaints.say("sending", "broker", "disconnected", str(note.error))

    # The network thread's side ----------------------------------------------------------------------------------

    def _note(self, note: Note | None) -> None:
        """Hand a word to the main loop, or only wake it; called from network threads."""
        if note is not None:
            self._notes.append(note)
        os.eventfd_write(self._wake_fd, 1)

    def _receive(self, message: Incoming) -> None:
        """Take a command; called from the network thread. What comes during the goodbye the broker delivers again."""
        if self._stopping:
            return
        if self._order_queue.put(message):
            self._note(None)
        else:
            self._inlet.count_dropped(message.topic, "too_many_commands")

    def _overload(self) -> str:
        """Say why inputs that nobody holds back cannot be taken; called from the network thread."""
        return self._disk_trouble or ("loop_behind" if len(self._notes) > _NOTES else "")

    def _dropped(self, topic: str, reason: str) -> None:
        """Count a command that the session did not even look at; called from the network thread."""
        self._inlet.count_dropped(topic, reason)

    def _arrived(self, present: bool) -> None:
        """Greet; called from the network thread. A broker that forgot the session is asked for commands anew."""
        if not present:
            self._no_commands = ()
        self._note(Connected())

    def _refused(self, topic_filter: str, error: BrokerError) -> None:
        """Note that no commands come; called from the network thread."""
        self._complaints.say("receiving", topic_filter, "not_subscribed", str(error))
        self._no_commands = ("not_subscribed:commands",)
        self._note(None)

    def _granted(self, _topic_filter: str) -> None:
        """Note that commands come after all; called from the network thread."""
        self._no_commands = ()
        self._note(None)

    def _make_session(self) -> Session:
        callbacks = SessionCallbacks(
            on_message=self._receive,
            on_connected=self._arrived,
            on_disconnected=lambda error: self._note(Disconnected(error)),
            on_published=lambda ticket, outcome, text: self._note(Published(ticket, outcome, text)),
            on_refused=self._refused,
            on_granted=self._granted,
            on_dropped=self._dropped,
        )
        return Session(self._config.broker, callbacks, will=availability(self._topics, OFFLINE))

    # Parts ------------------------------------------------------------------------------------------------------

    def _make_timekeeper(self, real: Clock) -> TimeKeeper:
        keeper = TimeKeeper(
            real,
            self._wall,
            self._lasting,
            outbox=self._outbox,
            journal=self._journal,
            hold_s=self._config.gateway.hold_events_s,
            remember=self._health.remember,
            metrics=self._metrics,
            complaints=self._complaints,
        )
        keeper.resume(self._outbox.load_state(HELD).get(HELD))
        return keeper

    def _make_desk(self) -> Desk:
        stored: dict[str, bytes] = {}
        for prefix in ("alarm/", "alarms/", "alert/", "part/"):
            stored |= self._outbox.load_state(prefix)
        desk = Desk(
            self._config.pipelines,
            self._journal,
            self._gateway,
            self._front.addresses(self._config.broker.max_payload_bytes),
            event_ids=self._ids,
            clock=self._clock,
            metrics=self._metrics,
            stored=stored,
            settings=self._config.alarms,
            lasting=self._lasting.now,
        )
        desk.remember_parts(decided_part(verdict) for verdict in self._verdicts)
        desk.retire_gone()
        models = [key.removeprefix(RELEASE) for key in self._outbox.load_state(RELEASE)]
        kept = [*self._front.kept_topics(self._config.pipelines), *self._front.release_topics(models)]
        empty_gone(self._outbox.load_state(RETAINED), kept, self._journal, self._ids, now=self._clock.monotonic())
        return desk

    def _make_dispatcher(self) -> Dispatcher:
        dispatcher = Dispatcher(
            self._config,
            self._models,
            trusted_pems(self._store),
            self._intake.mailboxes,
            desk=self._desk,
            journal=self._journal,
            set_aside=SetAside(self._state.folder / "set-aside"),
            metrics=self._metrics,
            complaints=self._complaints,
            clock=self._clock,
            on_outcome=self._show,
            on_status=self._pipeline_changed,
            on_incident=self._health.remember,
            stopped=restore_stopped(
                self._outbox.load_state(STOPPED_PIPELINE),
                self._config.pipelines,
                self._journal,
                now=self._clock.monotonic(),
            ),
        )
        windows = {key.removeprefix(WINDOW): value for key, value in self._outbox.load_state(WINDOW).items()}
        dispatcher.restore_windows(listening((sensor.id for sensor in self._config.sensors), windows))
        dispatcher.remember_frames(key for each in self._verdicts if (key := finished_frame(each)) is not None)
        self._verdicts = []
        dispatcher.lineup.on_built = self._built
        return dispatcher

    def _make_trail(self) -> Trail:
        stored = self._outbox.load_state(AUDIT)
        return Trail(stored, self._journal, boot_id=self._gateway.boot_id, clock=self._clock)

    def _make_reporter(self) -> Reporter:
        parts = Parts(
            self._front,
            self._intake,
            self._desk,
            self._dispatcher,
            self._journal,
            self._sender,
            self._outbox,
            self._status,
            self._metrics,
            self._complaints,
            lambda: self._inlet.troubles + self._no_commands + self._releases.book.troubles + self._time.troubles,
            self._state.hold_again,
        )
        return Reporter(self._config, self._gateway, parts, self._health, self._clock)

    def _make_reloader(self, path: Path | None) -> Reloader:
        affected = Affected(
            self._intake,
            self._inlet,
            self._desk,
            self._dispatcher,
            self._journal,
            self._outbox,
            self._sender,
            self._front,
            self._status,
            self._reporter,
            self._releases,
            self._references,
            self._ids,
        )
        return Reloader(
            path,
            self._config,
            self._gateway,
            self._store,
            affected,
            now=self._clock.monotonic,
            on_incident=self._health.remember,
        )

    def _make_switchboard(self) -> Switchboard:
        return Switchboard(
            self._dispatcher.lineup,
            self._journal,
            lambda: self._reloader.config,
            lambda config, pipeline: load_model(config, pipeline, self._store),
            now=self._clock.monotonic,
        )

    def _make_http(self) -> HttpServer | None:
        settings = self._config.http
        if not settings.enabled:
            return None
        return HttpServer(
            settings.listen, settings.port, pages(self._metrics, lambda: self._ready, lambda: self._reporter.latest)
        )

    # Towards the broker -----------------------------------------------------------------------------------------

    def _acknowledge(self, token: object) -> None:
        """Release an acknowledgement on the session that the message came on."""
        if isinstance(token, OrderToken):
            self._front.answer(token.order, token.reply)
            self._session.acknowledge(token.order.token)
        else:
            self._inlet.acknowledge(token)  # type: ignore[arg-type] # intake passes tokens through unread

    def _publish_event(self, topic: str, payload: bytes, retain: bool) -> int | None:
        return self._session.publish(Outgoing(topic, payload, 1, retain)) if self._connected else None

    def _greet(self) -> None:
        """Say everything that is retained, then let the outbox flow."""
        self._connected = True
        self._sender.connected()
        self._front.begin()
        self._reporter.greet()
        self._releases.book.say_all()
        _log.info("event=online boot_id=%s", self._gateway.boot_id)

    def _built(self, model: PipelineModel, built: protocol.Built) -> str:
        """Record the golden answers of a pipeline where nobody did; says why it may not run, where it may not."""
        self._references.built(built.pipeline, built.reference)
        if built.answers is not None:
            try:
                self._dispatcher.lineup.bind(model.bundle.digest, built.answers)
                record_answers(self._store, model.bundle, built.answers)
            except BundleError as error:
                return str(error)
            except HostEnvironmentError as error:
                self._complaints.say("processing", built.pipeline, "answers_not_recorded", str(error))
                self._health.hold(f"answers_not_recorded:{built.pipeline}")
        return ""

    def _pipeline_changed(self, name: str, status: str, reason: str) -> None:
        self._status.set(name, status, reason, self._dispatcher.facts.get(name))
        if status == "running" and self._connected:
            self._reporter.say_installed(name)
        self._releases.pipeline_changed(name, status, reason)

    def _show(self, outcome: protocol.Outcome, occasion: Occasion, payload: FramePayload | SensorBlock) -> None:
        """Publish one result in so many, for dashboards, and count what the float reference said."""
        if outcome.compared:
            pipeline = self._dispatcher.lineup.models[outcome.pipeline].pipeline
            self._references.take(pipeline, occasion.model.sha256, outcome.compared)
        if self._connected:
            self._reporter.show(outcome, occasion, payload)

    def _obey(self, message: Incoming) -> None:
        """Carry out a command; it is answered and acknowledged after the commit."""

        def answer(reply: Reply) -> None:
            known = "unknown" if reply.reason == "unknown_command" else reply.command
            self._metrics.commands.labels(known, "ok" if reply.ok else reply.reason).inc()
            self._journal.finish(OrderToken(message, reply), now=self._clock.monotonic())

        self._orders.take(self._front.command_name(message.topic) or "", message.payload, answer)

    # The end ----------------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        """Stop within five seconds: finish what the worker holds, commit, send what goes, say goodbye."""
        until = self._clock.monotonic() + _STOP_S
        self._service.stopping()
        self._inlet.shut()
        self._releases.close()
        while not self._dispatcher.idle and self._clock.monotonic() < until - _STOP_S / 2:
            self._dispatcher.keeper.wait(0.05)
            while self._notes:  # a part must be open before its answer comes
                self._take(self._notes.popleft())
            self._dispatcher.poll()
        self._dispatcher.close()
        self._journal.flush(self._clock.monotonic(), force=True)
        while self._connected and self._outbox.ready and self._clock.monotonic() < until - _GOODBYE_S:
            self._turn_sending()
            self._sender.pump()
        self._sender.finish()
        self._front.say_available(STOPPED if self._stopping else OFFLINE)
        while self._connected and not self._front.flush() and self._clock.monotonic() < until:
            self._turn_sending()
        self._inlet.stop()
        self._session.stop(flush_s=max(0.2, until - self._clock.monotonic()))
        if self._http is not None:
            self._http.close()
        self._outbox.close()
        self._state.release()
        _log.info("event=stopped boot_id=%s", self._gateway.boot_id)

    def _turn_sending(self) -> None:
        """Only send and take what the broker says."""
        self._wait([self._wake_fd], 0.05)
        while self._notes:
            note = self._notes.popleft()
            if isinstance(note, Published | Connected | Disconnected):
                self._take(note)
        self._sender.finish()


def run_daemon(path: Path) -> None:
    """Run the daemon of a configuration file until SIGTERM or SIGINT; SIGHUP has it read the file again.

    Parameters
    ----------
    path : Path
        TOML.

    Raises
    ------
    ConfigError
        If the configuration has faults.
    HostEnvironmentError
        If state folder, database or port cannot be used.
    """
    for noise in _NOISE:
        signal.signal(noise, signal.SIG_IGN)
    service = find_service_manager(os.environ, os.getpid())
    forget_service_manager()
    supervisor = Supervisor(load_config(path), service=service, path=path)

    def leave(_number: int, _frame: object) -> None:
        supervisor.stop()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGHUP, lambda _number, _frame: supervisor.reload())
    supervisor.run()
