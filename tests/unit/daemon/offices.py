"""A desk with its journal on a real outbox, findings to give it, and clocks to set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edge_runtime.config import Alarms, AlertRule, Pipeline
from edge_runtime.daemon.alarm_desk import USUAL, Addresses
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.desk import Desk
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.protocol import Outcome
from edge_runtime.daemon.telling import Gateway, ModelFacts, Occasion
from edge_runtime.findings import Finding
from edge_runtime.messages import Alert, EventIds, PartVerdict, decode
from tests.unit.daemon.outboxes import Hands

MODEL = ModelFacts("surface-defect", "1.0.0", "a" * 64, "int8", "litert 2.3 x86-64")
BAD = Finding("vision.defect", "Deep Scratch", 0.9, 0.6, 0.4, abnormal=True, clearable=False)
GOOD = replace(BAD, score=0.1, abnormal=False, clearable=True)
KEY = "surface.cam1.deep_scratch"


@dataclass
class Office:
    """A desk with its journal on a real outbox, and clocks to set."""

    outbox: Outbox
    wall: Hands
    pipeline: Pipeline
    stored: Mapping[str, bytes]
    is_gone: bool = False
    settings: Alarms = USUAL

    @property
    def pipelines(self) -> list[Pipeline]:
        return [] if self.is_gone else [self.pipeline]

    def __post_init__(self) -> None:
        clock = Clock(self.wall, lambda: self.wall.now_s - 1e9)
        self.journal: Journal[object] = Journal(self.outbox, lambda _: None, checkpoint_s=0.2, max_tokens=8)
        self.desk = Desk(
            self.pipelines,
            self.journal,
            Gateway("boot-1", "c" * 64),
            Addresses("alert/event", lambda key: f"alert/state/{key}", "part/verdict"),
            event_ids=EventIds(lambda: round(self.wall.now_s * 1000), randomness=bytes),
            clock=clock,
            metrics=Metrics(),
            stored=self.stored,
            settings=self.settings,
        )

    def see(self, *findings: Finding, part: str | None = None, camera: str = "cam1", **changes: Any) -> None:
        """Give an outcome a second later and commit what comes of it."""
        self.wall.now_s += 1.0
        occasion = Occasion("surface", camera, True, MODEL, self.wall.now_s, self.wall.now_s, 0.01, part, 7)
        self.desk.take(Outcome("surface", findings, **changes), occasion)
        self.journal.flush(0.0, force=True)

    def events(self, topic: str) -> list[bytes]:
        self.journal.flush(0.0, force=True)
        return [stored.payload for stored in self.outbox.unsent(1000) if stored.topic == topic]

    @property
    def alerts(self) -> list[Alert]:
        return [decode(payload, Alert) for payload in self.events("alert/event")]

    @property
    def verdicts(self) -> list[PartVerdict]:
        return [decode(payload, PartVerdict) for payload in self.events("part/verdict")]


def surface(**changes: Any) -> Pipeline:
    fields: dict[str, Any] = {"id": "surface", "kind": "inspection", "bundle": "b", "cameras": ("cam1", "cam2")}
    return Pipeline(**{**fields, "rules": (AlertRule(clear_after=1),), **changes})


def again(office: Office, **changes: Any) -> Office:
    """Start anew from what the outbox holds."""
    office.journal.flush(0.0, force=True)
    stored = office.outbox.load_state("")
    return Office(office.outbox, office.wall, surface(**changes), stored)
