"""Events cannot leave for an hour's worth of alarms with evidence; then they drain at the configured rate."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.endurance.alarming import RESTLESS, Line
from tests.endurance.results import record
from tests.faultlab.proxy import FaultProxy
from tests.integration.daemon_rig import Daemon, Plant, until
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

DRAIN_PER_S = 400.0
MEMORY_MB = 12.0
COMMAND = "make test-long (tests/endurance/test_broker_away.py)"


def keep_events_back() -> Callable[[bytes], bytes]:
    """Let the inputs' session through and swallow everything of the other one, from its first packet on."""
    passes: list[bool] = []

    def rewrite(data: bytes) -> bytes:
        if not passes:
            passes.append(b"gw1-in" in data)
        return data if passes[0] else b""

    return rewrite


def memory_mb(daemon: Daemon) -> float:
    """Resident memory of the supervisor, which holds the queue's bookkeeping."""
    return float(psutil.Process(daemon.pid).memory_info().rss) / 1e6


def unsent(daemon: Daemon) -> int:
    """Messages of all kinds that the broker lacks, read beside the daemon."""
    path = daemon.folder / "state" / "outbox.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        return int(database.execute("SELECT count(*) FROM event WHERE acked_ms IS NULL").fetchone()[0])


@pytest.mark.parametrize(
    "n_alerts",
    [
        pytest.param(400, id="400 alerts"),
        pytest.param(18_000, id="an hour at 5 alerts a second", marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_everything_that_waited_leaves_at_the_configured_rate(n_alerts: int, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "mosquitto")
    broker.start()
    settings = f"[outbox]\ndrain_per_s = {DRAIN_PER_S}\nevidence_max_bytes = 1000000000\nmax_bytes = 1000000000"
    try:
        with FaultProxy(broker.port) as proxy:
            daemon = Daemon(tmp_path / "gateway", proxy.port, RESTLESS, settings=settings)
            with Plant(broker, daemon) as plant:
                _drain(plant, proxy, n_alerts)
    finally:
        broker.kill()


def _drain(plant: Plant, proxy: FaultProxy, n_alerts: int) -> None:
    """Hold events back, let alarms pile up, let them go, and count."""
    daemon = plant.daemon.start()
    line = Line(plant, ahead=10**9)
    proxy.rewrite("up", keep_events_back)
    until(lambda: daemon.page("ready")[0] != 200, "the link is gone")
    before_mb = memory_mb(daemon)
    line.ahead = 60  # by what the worker has done: the consumer hears nothing now
    line.verdicts = lambda: int(daemon.metric("edge_processed_total", source="cam1"))  # type: ignore[method-assign]
    line.begin()
    until(lambda: _count(daemon) >= n_alerts, "alarms", within_s=2000)
    line.end()
    until(lambda: daemon.metric("edge_processed_total", source="cam1") >= line.frames, "all is judged", within_s=60)
    full_mb = memory_mb(daemon)
    waiting = unsent(daemon)
    proxy.pass_on()
    until(daemon.ready, "the link is back", within_s=40)
    began = time.monotonic()
    until(lambda: unsent(daemon) == 0, "drained", within_s=900)
    took_s = time.monotonic() - began
    lost = plant.consumer.recover(daemon)
    heard = [event for event in plant.consumer.events.values() if event["schema"] == "edge.alert/1"]
    evidence = {topic for topic, _, _ in plant.consumer.messages if topic.startswith("evidence/")}
    raised = [event for event in heard if event["event_type"] == "raised"]
    assert lost == set()
    assert len(heard) >= n_alerts
    assert {event["snapshot_topic"].removeprefix("edge/gw1/") for event in raised} == evidence
    assert all(event["buffered"] for event in heard)
    rate = waiting / took_s
    assert rate <= DRAIN_PER_S * 1.2
    assert full_mb - before_mb <= MEMORY_MB
    if n_alerts > 10_000:
        record(
            "broker away for an hour's worth of alarms: 5 a second, with evidence",
            goal=f"0 lost, drained at {DRAIN_PER_S:g}/s, memory flat",
            measured=f"{len(lost)} lost of {len(heard):,} alerts with {len(evidence):,} pictures;"
            f" {waiting:,} messages drained in {took_s:.0f} s ({rate:.0f}/s);"
            f" supervisor {before_mb:.1f} MB before, {full_mb:.1f} MB with all of them waiting",
            command=COMMAND,
            alerts=len(heard), evidence=len(evidence), waiting=waiting, drained_s=took_s,
            before_mb=before_mb, full_mb=full_mb,
        )  # fmt: skip


def _count(daemon: Daemon) -> int:
    """Alert events so far, of all transitions."""
    return int(
        sum(daemon.metric("edge_alert_events_total", event_type=word) for word in ("raised", "cleared", "updated"))
    )
