"""A dispatcher on real models, desk and outbox, whose worker says exactly what a test lets it say."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Camera, Config, Gateway, Mailbox, Pipeline, Worker
from edge_runtime.daemon import protocol
from edge_runtime.daemon.alarm_desk import Addresses
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.dispatch import Dispatcher
from edge_runtime.daemon.intake import Intake, Notice
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.keeper import Event, WorkerKeeper
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.models import load_models, trusted_pems
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.ring import Ring
from edge_runtime.daemon.setaside import SetAside
from edge_runtime.daemon.telling import Gateway as Run
from edge_runtime.messages import EventIds
from edge_runtime.mqtt.interface import Incoming
from tests.bundles import TRUSTED, image_bundle, trusting_store
from tests.unit.daemon.keepers import Scripted
from tests.unit.daemon.outboxes import Hands, open_outbox

CONFIG = Config(
    gateway=Gateway(id="gw1"),
    worker=Worker(ring_slots=4),
    cameras=(
        Camera(id="sure", topic="in/sure", format="jpeg", qos=1),
        Camera(id="fast", topic="in/fast", format="jpeg", mailbox=Mailbox(depth=8, overflow="drop_oldest")),
    ),
    pipelines=(
        Pipeline(id="surface", kind="inspection", bundle="tiny-surface", cameras=("sure", "fast")),
        Pipeline(id="twin", kind="inspection", bundle="tiny-surface", cameras=("fast",), verdict="none"),
    ),
)


class ScriptedFor(Scripted):
    """A scripted keeper that gives its worker the dispatcher's orders."""

    def __init__(self, hall: Hall, ring: Ring) -> None:
        self.hall = hall
        super().__init__(ring, start_s=10.0, hang_s=1.0, in_flight=2)

    def orders(self) -> protocol.Load:
        return self.hall.dispatcher.lineup.orders()

    def poll(self) -> list[Event]:
        """Poll once: asking for a worker is the dispatcher's turn."""
        return WorkerKeeper.poll(self)


class Hall:
    """Everything around a dispatcher; both clocks stand until they are moved."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.wall = Hands()
        self.clock = Clock(self.wall, lambda: self.wall.now_s - 1e9)
        self.store: BundleStore = trusting_store(folder / "bundles")
        self.store.install(read_bundle(image_bundle(), TRUSTED), activate=True)
        self.models, refused = load_models(CONFIG, self.store)
        assert not refused
        self.metrics, self.complaints = Metrics(), Complaints(lambda: 0.0)
        self.notices: list[Notice] = []
        self.acknowledged: list[object] = []
        self.statuses: list[tuple[str, str, str]] = []
        self.incidents: list[str] = []
        self.outbox: Outbox = changes.pop("outbox", None) or open_outbox(folder, clock=self.wall)
        self.journal: Journal[object] = Journal(
            self.outbox, self.acknowledged.append, checkpoint_s=0.2, max_tokens=8, **changes
        )
        self.intake = Intake(
            CONFIG, metrics=self.metrics, complaints=self.complaints, clock=self.clock, notify=self.notices.append
        )
        self.desk = Desk(
            CONFIG.pipelines,
            self.journal,
            Run("boot-1", "c" * 64),
            Addresses("alert/event", lambda key: f"alert/state/{key}", "part/verdict"),
            event_ids=EventIds(lambda: round(self.wall.now_s * 1000), randomness=bytes),
            clock=self.clock,
            metrics=self.metrics,
            stored={},
        )
        self.dispatcher = Dispatcher(
            CONFIG,
            self.models,
            trusted_pems(self.store),
            self.intake.mailboxes,
            desk=self.desk,
            journal=self.journal,
            set_aside=SetAside(folder / "set-aside"),
            metrics=self.metrics,
            complaints=self.complaints,
            clock=self.clock,
            on_outcome=lambda *_: None,
            on_status=lambda *words: self.statuses.append(words),
            on_incident=self.incidents.append,
        )
        self.keeper = ScriptedFor(self, self.dispatcher._ring)
        self.dispatcher.keeper = self.keeper

    def close(self) -> None:
        self.dispatcher.close()
        self.outbox.close()

    def launch(self) -> protocol.Load:
        """Let the launcher come up, and take what the first worker is told."""
        self.dispatcher.poll()
        self.keeper.launcher.send(b"up")
        self.dispatcher.poll()
        return self.keeper.take_request()

    def say(self, *messages: Any) -> None:
        """Let the worker speak and the dispatcher listen."""
        self.keeper.say(*messages)
        self.dispatcher.poll()

    def stand_up(self) -> None:
        """Let a worker get ready with both pipelines."""
        self.launch()
        for name in ("surface", "twin"):
            self.say(protocol.Building(name), protocol.Built(name, "e", None))
        self.say(protocol.Ready(()))

    def publish(
        self,
        source: str,
        part: str | None = None,
        *,
        token: tuple[int, int] | None = (1, 1),
        ts_ms: int | None = None,
        dup: bool = False,
    ) -> None:
        """Let a picture come from the broker."""
        told = {"part": part, "ts_ms": ts_ms}
        properties = tuple((name, str(value)) for name, value in told.items() if value is not None)
        self.intake.take(Incoming(f"in/{source}", picture(), 1, dup=dup, token=token, user_properties=properties))

    def finish(self, number: int, *outcomes: protocol.Outcome) -> None:
        """Let the worker answer an input."""
        self.say(protocol.Done(number, outcomes, 1.0))

    def dropped(self, source: str, reason: str) -> float:
        value = self.metrics.registry.get_sample_value("edge_dropped_total", {"source": source, "reason": reason})
        return value or 0.0


@functools.cache
def picture() -> bytes:
    """Encode a grey picture."""
    return bytes(cv2.imencode(".jpg", np.full((16, 16, 3), 99, np.uint8))[1])


def answers(number: int = 1) -> protocol.Answers:
    """Give answers of an engine that no bundle knows."""
    outputs = np.full((2, 3), number, np.int8)
    return protocol.Answers("litert", "99", "x86-64", (("int8", outputs.shape, outputs.tobytes()),))
