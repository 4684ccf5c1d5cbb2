"""Results are samples: they are not shown while events that people were promised wait."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from edge_runtime.config import parse_config
from edge_runtime.daemon import lifecycle
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.reporter import Reporter
from edge_runtime.daemon.sender import Sender
from edge_runtime.daemon.telling import NO_MODEL, Gateway, Occasion
from edge_runtime.findings import Finding
from tests.unit.daemon.outboxes import event

CONFIG = b"""
[gateway]
id = "gw1"
[[camera]]
id = "cam1"
topic = "a"
format = "jpeg"
[[pipeline]]
id = "surface"
kind = "inspection"
bundle = "b"
cameras = ["cam1"]
"""
FINDING = Finding("vision.defect", "scratch", 0.9, 0.5, 0.3, abnormal=True, clearable=False)
OCCASION = Occasion("surface", "cam1", True, NO_MODEL, 1.8e9, 1.8e9, 0.01)


def test_results_wait_for_events_and_are_shown_again_after_them(tmp_path: Path) -> None:
    clock = Clock(wall=lambda: 1.8e9, monotonic=lambda: 100.0)
    outbox = Outbox(tmp_path / "outbox.sqlite", boot_id="b")
    tickets: list[int] = []

    def publish(*_: object) -> int:
        tickets.append(len(tickets))
        return tickets[-1]

    sender = Sender(outbox, publish, clock=clock, drain_per_s=100.0, in_flight=64)
    sender.connected()
    shown: list[Any] = []
    metrics, complaints = Metrics(), Complaints(clock.monotonic)
    journal: Journal[object] = Journal(outbox, lambda _: None, checkpoint_s=1.0, max_tokens=1)
    parts: Any = SimpleNamespace(
        front=SimpleNamespace(say_result=shown.append),
        journal=journal,
        outbox=outbox,
        sender=sender,
        metrics=metrics,
        complaints=complaints,
        hold_folder=lambda: None,
    )
    health = lifecycle.HealthReporter("b", tmp_path, clock)
    reporter = Reporter(parse_config(CONFIG), Gateway("b", "0" * 64), parts, health, clock)
    outcome: Any = SimpleNamespace(pipeline="surface", findings=(FINDING,))
    payload: Any = None
    reporter.show(outcome, OCCASION, payload)
    outbox.commit([event(1)], {})
    reporter.show(outcome, OCCASION, payload)
    reporter.show(outcome, OCCASION, payload)
    assert len(shown) == 1
    assert b"edge_results_held_back_total 2.0" in metrics.text()
    sender.pump()
    reporter.show(outcome, OCCASION, payload)
    assert len(shown) == 2
    outbox.close()
