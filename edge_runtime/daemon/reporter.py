"""What is due to be told about the gateway: summary, health, figures, results, and all of it after a reconnection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.config import Config
from edge_runtime.daemon import lifecycle, protocol
from edge_runtime.daemon.bookkeeping import Bookkeeper
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.dispatch import Dispatcher
from edge_runtime.daemon.front import Front
from edge_runtime.daemon.intake import Intake
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.sender import Sender
from edge_runtime.daemon.telling import Gateway, Occasion, tell_result
from edge_runtime.errors import HostEnvironmentError
from edge_runtime.messages import ONLINE, encode
from edge_runtime.mqtt.codec import FramePayload, SensorBlock

_HEALTH_EVERY_S = 10.0
#: While something is wrong, so that its end is told soon.
_ILL_EVERY_S = 2.0
_GREET_AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the daemon that are reported on; ``troubles`` says why inputs or commands do not come."""

    front: Front
    intake: Intake
    desk: Desk
    dispatcher: Dispatcher
    journal: Journal[object]
    sender: Sender
    outbox: Outbox
    status: lifecycle.StatusBoard
    metrics: Metrics
    complaints: Complaints
    troubles: Callable[[], tuple[str, ...]]
    hold_folder: Callable[[], None] = lambda: None


class Reporter:
    """Publishes state when it changes, and health every ten seconds, or every two while something is wrong.

    Parameters
    ----------
    config : Config
        Names, and how often results are shown.
    gateway : Gateway
        The present run.
    parts : Parts
        What is reported on.
    health : HealthReporter
        Puts the report together.
    clock : Clock
        Both clocks.

    Attributes
    ----------
    latest : bytes
        The last health report, JSON; empty before the first.
    """

    def __init__(
        self,
        config: Config,
        gateway: Gateway,
        parts: Parts,
        health: lifecycle.HealthReporter,
        clock: Clock,
    ) -> None:
        self._config = config
        self._gateway = gateway
        self._parts = parts
        self._health = health
        self._clock = clock
        self._every = {pipeline.id: pipeline.result_every for pipeline in config.pipelines}
        self._sampled: dict[str, int] = {}
        self._told: tuple[object, ...] = ()
        self.latest = b""
        self._greet_at = float("inf")
        self._next_health = clock.monotonic() + _HEALTH_EVERY_S
        self._bookkeeper = Bookkeeper(
            parts.outbox,
            parts.journal.committed,
            health=health,
            metrics=parts.metrics,
            complaints=parts.complaints,
            clock=clock,
            hold_folder=parts.hold_folder,
        )

    def due_in(self, now: float) -> float:
        """Seconds until ``report`` has something to do by itself."""
        return max(0.0, self._next_health - now)

    def greet(self) -> None:
        """Say everything that is retained: the broker may have forgotten it."""
        parts = self._parts
        self._greet_at = float("inf")
        parts.front.say_available(ONLINE)
        self._say_birth()
        parts.status.publish_all()
        for name in parts.dispatcher.lineup.models:
            self.say_installed(name)
        parts.desk.changed = True
        self._next_health = 0.0

    def _say_birth(self) -> None:
        """Say what runs."""
        names = [pipeline.id for pipeline in self._config.pipelines]
        facts, wall = self._parts.dispatcher.facts, self._clock.wall()
        self._parts.front.say_birth(lifecycle.birth(self._config.gateway.id, self._gateway, facts, names, wall))

    def reconfigure(self, config: Config, gateway: Gateway) -> None:
        """Take over another configuration, and say it when there is a link; at a later one all is said anyway."""
        self._config, self._gateway = config, gateway
        self._every = {pipeline.id: pipeline.result_every for pipeline in config.pipelines}
        self._say_birth()

    def greet_later(self, now: float) -> None:
        """Say it all again in a moment: the broker refused some of it, and rights change while links stand."""
        self._greet_at = min(self._greet_at, now + _GREET_AGAIN_S)

    def say_installed(self, pipeline: str) -> None:
        """Say which model a pipeline runs."""
        facts = self._parts.dispatcher.facts[pipeline]
        release = self._parts.dispatcher.lineup.models[pipeline].bundle.manifest.release
        self._parts.front.say_installed(lifecycle.installed(facts, release, self._clock.wall()))

    def show(self, outcome: protocol.Outcome, occasion: Occasion, payload: FramePayload | SensorBlock) -> None:
        """Publish one result in so many, for dashboards."""
        pipeline = outcome.pipeline
        every = self._every.get(pipeline, 0)
        if not outcome.findings or not every:
            return
        self._sampled[pipeline] = self._sampled.get(pipeline, 0) + 1
        if self._sampled[pipeline] % every:
            return
        if self._parts.sender.n_waiting > 0:  # what people were promised goes first
            self._parts.metrics.results_held_back.inc()
            return
        digest = payload.sha256() if isinstance(payload, FramePayload) else None
        result = tell_result(outcome, occasion, now_s=self._clock.wall(), input_sha256=digest)
        self._parts.front.say_result(result)

    def report(self, now: float, *, connected: bool) -> None:
        """Publish what is due.

        Parameters
        ----------
        now : float, s
            Monotonic.
        connected : bool
            Whether the broker is there.
        """
        parts = self._parts
        if connected and now >= self._greet_at:
            self.greet()
        if parts.desk.changed and connected:
            parts.desk.changed = False
            parts.front.say_summary(parts.desk.summary())
        self._bookkeeper.look(now)
        fault = bool(parts.journal.fault or parts.sender.fault)
        condition = (
            connected,
            parts.dispatcher.keeper.ready,
            fault,
            parts.outbox.full,
            parts.sender.n_refused > 0,
            parts.journal.is_slow(now),
            parts.status.failed(),
            parts.troubles(),
            self._bookkeeper.n_incidents,
            self._health.incidents,
        )
        if now < self._next_health and condition == self._told:
            return
        self._told = condition
        well = self._say_health(self._vitals(connected=connected))
        self._next_health = now + (_HEALTH_EVERY_S if well else _ILL_EVERY_S)

    def status_line(self, *, connected: bool) -> str:
        """Say in one line how things are, for the service manager."""
        parts = self._parts
        running = len(self._config.pipelines) - len(parts.status.failed())
        link = "online" if connected else "broker away"
        worker = "" if parts.dispatcher.keeper.ready else "; worker starting"
        return f"{link}{worker}; {running} of {len(self._config.pipelines)} pipelines; {parts.outbox.depth} events wait"

    def _vitals(self, *, connected: bool) -> lifecycle.Vitals:
        parts = self._parts
        fault, oldest = parts.journal.fault or parts.sender.fault, 0.0
        try:
            oldest = parts.outbox.oldest_unsent_s()
        except HostEnvironmentError as error:
            fault = str(error)
        return lifecycle.Vitals(
            connected=connected,
            worker_ready=parts.dispatcher.keeper.ready,
            fault=fault,
            outbox_full=parts.outbox.full,
            disk_slow=parts.journal.is_slow(self._clock.monotonic()),
            outbox_depth=parts.outbox.depth,
            oldest_unsent_s=oldest,
            failed=parts.status.failed(),
            pids=parts.dispatcher.pids,
            last_alert_seq=parts.journal.last_seq("alert"),
            last_verdict_seq=parts.journal.last_seq("verdict"),
            n_refused=parts.sender.n_refused,
            troubles=parts.troubles(),
        )

    def _say_health(self, vitals: lifecycle.Vitals) -> bool:
        """Publish health and figures, and set the gauges to the same; gives whether all is well."""
        parts, metrics = self._parts, self._parts.metrics
        health = self._health.report(vitals)
        self.latest = encode(health)
        metrics.memory.set(health.rss_mb * 1e6)
        metrics.connected.set(vitals.connected)
        metrics.outbox_depth.set(vitals.outbox_depth)
        metrics.outbox_age.set(vitals.oldest_unsent_s)
        for name, mailbox in parts.intake.mailboxes.items():
            metrics.mailbox.labels(name).set(len(mailbox))
        figures = {
            "outbox_depth": (float(vitals.outbox_depth), ""),
            "memory": (health.rss_mb, "MB"),
            "worker_replacements": (float(parts.dispatcher.keeper.n_replaced), ""),
        }
        parts.front.say_health(health, lifecycle.figures(figures, self._clock.wall()))
        return health.ok
