"""Puts the parts of a rollout together."""

from __future__ import annotations

from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Config
from edge_runtime.daemon.arrivals import Arrivals
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.commands import audit
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.dispatch import Dispatcher
from edge_runtime.daemon.front import Front
from edge_runtime.daemon.installer import Installer
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.models import trusted_pems
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.release_book import RELEASE, ReleaseBook, Told
from edge_runtime.daemon.releases import Releases
from edge_runtime.daemon.trail import Trail
from edge_runtime.messages import COMMANDS, Command, EventIds, Reply
from edge_runtime.mqtt.topics import Topics


def make_releases(  # noqa: PLR0913 - the parts that meet here
    config: Config,
    store: BundleStore,
    *,
    outbox: Outbox,
    journal: Journal[object],
    front: Front,
    desk: Desk,
    dispatcher: Dispatcher,
    topics: Topics,
    event_ids: EventIds,
    trail: Trail,
    metrics: Metrics,
    clock: Clock,
) -> Releases:
    """Make the releases of a gateway, and have every finished input pass through them.

    Parameters
    ----------
    config : Config
        Pipelines, sources, limits.
    store : BundleStore
        The gateway's bundles.
    outbox, journal : Outbox, Journal
        What an earlier run kept; where changes are kept.
    front, desk : Front, Desk
        Whom changes are told.
    dispatcher : Dispatcher
        What runs.
    topics : Topics
        The gateway's topics.
    event_ids : EventIds
        Gives ULIDs.
    trail : Trail
        Keeps orders that the gateway gave itself.
    metrics : Metrics
        Counts.
    clock : Clock
        Both clocks.

    Raises
    ------
    HostEnvironmentError
        If the database or a key cannot be read.
    """

    def alarm(word: str, active: bool, text: str) -> None:
        desk.set_system(word, active=active, text=text)

    def stage(model: str, course: str) -> None:
        metrics.rollout_stages.labels(model, course).inc()

    def record(command: Command, text: str) -> None:
        now_ms = round(clock.wall() * 1000)
        name = next(name for name, kind in COMMANDS.items() if isinstance(command, kind))
        audit.info("command=%s issuer=%r id=%s ok=True text=%r", name, command.issuer, command.id, text)
        reply = Reply(id=command.id, command=name, ok=True, text=text[:2048], timestamp_ms=now_ms)
        trail.write(command, reply, received_ms=now_ms)

    book = ReleaseBook(
        outbox.load_state(RELEASE), journal, Told(front.say_candidate, front.say_rollout, alarm, stage), clock
    )
    arrivals = Arrivals(
        config, book, Installer(clock.monotonic), fleet_topic=topics.fleet_bundle, clock=clock.monotonic
    )
    releases = Releases(
        config,
        store,
        trusted_pems(store),
        book=book,
        running=dispatcher,
        settle=dispatcher.settle,
        arrivals=arrivals,
        clock=clock,
        metrics=metrics,
        record=record,
        new_id=lambda: event_ids.next().lower(),
        flush=lambda: journal.flush(clock.monotonic(), force=True),
    )
    dispatcher.on_finished = releases.take
    dispatcher.on_lost = releases.worker_lost
    dispatcher.beside = lambda: releases.pids
    return releases
