"""Every part of the daemon, put together: the one place that knows how they hang together.

What is done with them is the supervisor's, which gives the listeners.
"""

from __future__ import annotations

import abc
import logging
import os
from collections import deque
from dataclasses import replace
from pathlib import Path

from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Config, config_sha256
from edge_runtime.daemon import lifecycle, protocol
from edge_runtime.daemon.answer_recorder import AnswerRecorder
from edge_runtime.daemon.clock import Clock, clock_quality
from edge_runtime.daemon.commands import OrderQueue, Orders, acknowledging, shelving, unshelving
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.dispatch import WINDOW, Dispatcher, listening
from edge_runtime.daemon.front import Front, availability
from edge_runtime.daemon.http import HttpServer
from edge_runtime.daemon.inlet import Inlet
from edge_runtime.daemon.intake import Intake
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.lasting import LASTING, LastingClock, kernel_boot_id
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.models import PipelineModel, load_model, load_models, trusted_pems
from edge_runtime.daemon.notes import Disconnected, Note, Published
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.pages import pages
from edge_runtime.daemon.past import decided_part, finished_frame, stored_verdicts
from edge_runtime.daemon.references import References
from edge_runtime.daemon.release_book import RELEASE
from edge_runtime.daemon.release_orders import release_orders
from edge_runtime.daemon.release_parts import make_releases
from edge_runtime.daemon.reloading import Affected, Reloader
from edge_runtime.daemon.repeats import FRAMES
from edge_runtime.daemon.reporter import Parts, Reporter
from edge_runtime.daemon.resending import Resends
from edge_runtime.daemon.retained import RETAINED, empty_gone
from edge_runtime.daemon.sender import Sender
from edge_runtime.daemon.service import ServiceManager
from edge_runtime.daemon.setaside import SetAside
from edge_runtime.daemon.state import claim_finished
from edge_runtime.daemon.stopping import STOPPED_PIPELINE, Switchboard, restore_stopped
from edge_runtime.daemon.telling import Gateway, Occasion
from edge_runtime.daemon.timekeeping import HELD, TimeKeeper, Wall
from edge_runtime.daemon.trail import AUDIT, Trail
from edge_runtime.errors import BrokerError
from edge_runtime.messages import OFFLINE, EventIds
from edge_runtime.mqtt.codec import FramePayload, SensorBlock
from edge_runtime.mqtt.interface import Incoming, SessionCallbacks
from edge_runtime.mqtt.session import Session
from edge_runtime.mqtt.topics import Topics

_log = logging.getLogger(__name__)

_CHECKPOINT_S = 0.2
_DECIDED_KEPT = 20_000


class Assembly(abc.ABC):
    """The parts of the daemon of one configuration.

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
        self._connected = self._ready = self._stopping = False
        self._no_commands: tuple[str, ...] = ()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._lasting = LastingClock(real, kernel_boot_id())
        self._state = claim_finished(Path(config.gateway.state_dir))
        self._ids = EventIds(lambda: round(self._clock.wall() * 1000))
        self._gateway = Gateway(self._ids.next().lower(), config_sha256(config))
        self._metrics = Metrics()
        self._complaints = Complaints(self._clock.monotonic)
        self._store = BundleStore(Path(config.bundles.store), wait=False)  # the loop waits for nobody
        self._answers = AnswerRecorder(self._store, self._clock.monotonic)
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
        self._front = self._make_front()
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
        self._resends = Resends(self._outbox)
        self._orders = Orders(
            {
                "config/reload": self._reloader.obeying(),
                **self._make_switchboard().orders(),
                "alert/ack": acknowledging(self._desk.acknowledge),
                "alert/shelve": shelving(self._desk.shelve),
                "alert/unshelve": unshelving(self._desk.unshelve),
                "events/resend": self._resends.obeying(),
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
            self._pipeline_changed(name, "failed", reason)
        for name in stopped:
            self._pipeline_changed(name, "stopped", "")

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
        judged = (key for each in self._verdicts if (key := finished_frame(each)) is not None)
        dispatcher.remember_frames(judged, self._outbox.load_state(FRAMES))
        self._verdicts = []
        dispatcher.lineup.on_built = self._built
        return dispatcher

    def _make_front(self) -> Front:
        def is_input(topic: str) -> bool:  # the intake is made later
            return self._intake.listens_to(topic)

        return Front(self._session, self._topics, self._complaints, lambda: clock_quality(self._clock.wall()), is_input)

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
            on_mended=self._health.forget,
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

    # What the supervisor does -----------------------------------------------------------------------------------

    @abc.abstractmethod
    def _note(self, note: Note | None) -> None:
        """Hand a word of a network thread to the main loop, or only wake it."""

    @abc.abstractmethod
    def _receive(self, message: Incoming) -> None:
        """Take a command from the network thread."""

    @abc.abstractmethod
    def _overload(self) -> str:
        """Say why inputs that nobody holds back cannot be taken."""

    @abc.abstractmethod
    def _dropped(self, topic: str, reason: str) -> None:
        """Count a command that the session did not even look at."""

    @abc.abstractmethod
    def _arrived(self, present: bool) -> None:
        """Note that the session stands."""

    @abc.abstractmethod
    def _refused(self, topic_filter: str, error: BrokerError) -> None:
        """Note that no commands come."""

    @abc.abstractmethod
    def _granted(self, topic_filter: str) -> None:
        """Note that commands come again."""

    @abc.abstractmethod
    def _acknowledge(self, token: object) -> None:
        """Release an acknowledgement."""

    @abc.abstractmethod
    def _publish_event(self, topic: str, payload: bytes, retain: bool) -> int | None:
        """Hand an event to the broker."""

    @abc.abstractmethod
    def _built(self, model: PipelineModel, built: protocol.Built) -> str:
        """Say why a pipeline that is built may not run."""

    @abc.abstractmethod
    def _pipeline_changed(self, name: str, status: str, reason: str) -> None:
        """Tell a pipeline's status."""

    @abc.abstractmethod
    def _show(self, outcome: protocol.Outcome, occasion: Occasion, payload: FramePayload | SensorBlock) -> None:
        """Publish a result."""
