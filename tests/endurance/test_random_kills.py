"""Daemon, worker and broker are killed at random moments while alarms come and go: nothing committed is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.endurance.alarming import RESTLESS, Line
from tests.endurance.results import record
from tests.integration.daemon_rig import Plant, running_plant, settle, until

pytestmark = pytest.mark.broker

SEED = 20_261_122
COMMAND = "make test-long (tests/endurance/test_random_kills.py)"


def strike(plant: Plant, victim: str) -> None:
    """Kill one process without warning; whoever keeps it running starts it anew."""
    if victim == "daemon":
        plant.daemon.kill()
        plant.daemon.start(ready=False)
    elif victim == "broker":
        plant.broker.kill()
        plant.broker.start()
    elif (pid := plant.daemon.worker_pid()) is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def alerts(plant: Plant) -> int:
    """Alert events that the consumer heard of."""
    return sum(len(numbers) for (_, series), numbers in list(plant.consumer.order.items()) if series == "alert")


@pytest.mark.parametrize(
    ("n_alerts", "n_kills"),
    [
        pytest.param(300, 2, id="300 alerts, 2 kills each"),
        pytest.param(
            10_000, 50, id="10,000 alerts, 50 kills each", marks=[pytest.mark.long, pytest.mark.timeout(3600)]
        ),
    ],
)
def test_no_committed_alert_is_lost_however_processes_die(n_alerts: int, n_kills: int, tmp_path: Path) -> None:
    rng = random.Random(SEED)
    victims = ["daemon", "worker", "broker"] * n_kills
    rng.shuffle(victims)
    with running_plant(tmp_path, RESTLESS) as plant:
        line = Line(plant)
        line.begin()
        began = time.monotonic()
        for number, victim in enumerate(victims):
            due = n_alerts * (number + 1) // (len(victims) + 1)
            until(lambda due=due: alerts(plant) >= due, f"{due} alerts", within_s=120)  # type: ignore[misc]
            time.sleep(rng.uniform(0.0, 0.3))
            strike(plant, victim)
        until(lambda: alerts(plant) >= n_alerts, "all alerts", within_s=300)
        line.end()
        took_s = time.monotonic() - began
        until(plant.daemon.ready, "the daemon is ready", within_s=30)
        settle(lambda: plant.daemon.metric("edge_processed_total"), quiet_s=2.0, within_s=120)
        lost = plant.consumer.recover(plant.daemon)
        committed = plant.daemon.committed()
        disordered = [key for key, numbers in plant.consumer.order.items() if numbers != sorted(numbers)]
        twice = [part for part, given in plant.consumer.verdicts().items() if len(given) > 1]
        silent = [number for number in range(line.frames) if f"part-{number}" not in plant.consumer.verdicts()]
    n_committed = sum("edge.alert" in str(event["schema"]) for event in committed.values())
    assert (len(lost), disordered, twice) == (0, [], [])
    assert n_committed >= n_alerts
    if n_kills > 10:
        record(
            f"{n_committed:,} alerts while daemon, worker and broker are killed at random, {n_kills} times each",
            goal="0 lost, in order by seq",
            measured=f"{len(lost)} lost of {len(committed):,} events, {plant.consumer.duplicates} came twice, in order;"
            f" {len(silent)} of {line.frames:,} parts without a verdict; {took_s / 60:.1f} min",
            command=COMMAND,
            seed=SEED, alerts=n_committed, events=len(committed), lost=len(lost), silent=len(silent),
            frames=line.frames,
        )  # fmt: skip
