"""Puts the parts of a rollout together."""

from __future__ import annotations

from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Config
from edge_runtime.daemon.arrivals import Arrivals
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.dispatch import Dispatcher
from edge_runtime.daemon.front import Front
from edge_runtime.daemon.installer import Installer
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.models import trusted_pems
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.release_book import RELEASE, ReleaseBook, Told
from edge_runtime.daemon.releases import Releases
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
    clock : Clock
        Both clocks.

    Raises
    ------
    HostEnvironmentError
        If the database or a key cannot be read.
    """

    def alarm(word: str, active: bool, text: str) -> None:
        desk.set_system(word, active=active, text=text)

    book = ReleaseBook(outbox.load_state(RELEASE), journal, Told(front.say_candidate, front.say_rollout, alarm), clock)
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
        flush=lambda: journal.flush(clock.monotonic(), force=True),
    )
    dispatcher.on_finished = releases.take
    dispatcher.on_lost = releases.worker_lost
    return releases
