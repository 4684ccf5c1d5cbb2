"""Daemon, worker and broker are killed at random moments while alarms come and go: nothing committed is lost."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

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


def told_twice(events: Iterable[dict[str, Any]]) -> list[str]:
    """Find alarms that were raised while they stood, and findings of one part that were told as two alarms."""
    wrong: list[str] = []
    standing: set[str] = set()
    told: set[tuple[str, str, str]] = set()
    for event in sorted(events, key=lambda event: (event["boot_id"], event["seq"])):
        key, word, finding = event["key"], event["event_type"], (event["key"], event["event_type"], event["part"])
        if word not in {"raised", "cleared"}:
            continue
        if (word == "raised") == (key in standing):
            wrong.append(f"{key} {word} again by {event['part']}")
        if finding in told:
            wrong.append(f"{key} {word} by {event['part']} twice")
        told.add(finding)
        (standing.add if word == "raised" else standing.discard)(key)
    return wrong


def unheard(plant: Plant, line: Line) -> set[int]:
    """Parts that were published, or are just now, and of which the consumer heard no verdict."""
    heard = plant.consumer.verdicts().keys()
    return {number for number in range(line.frames + 1) if f"part-{number}" not in heard}


@pytest.mark.parametrize(
    ("story", "wrong"),
    [
        ("raised 1, cleared 2, raised 3", []),
        ("raised 1, raised 3", ["k raised again by 3"]),
        ("cleared 2", ["k cleared again by 2"]),
        ("raised 1, cleared 2, raised 1, cleared 2", ["k raised by 1 twice", "k cleared by 2 twice"]),
    ],
)
def test_an_alarm_that_is_told_twice_is_found(story: str, wrong: list[str]) -> None:
    steps = [step.split() for step in story.split(", ")]
    events = [
        {"boot_id": "a", "seq": number, "key": "k", "event_type": word, "part": part}
        for number, (word, part) in enumerate(steps)
    ]
    assert told_twice(reversed(events)) == wrong


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
        risked: set[int] = set()  # on their way when the broker was killed, which may forget what it took
        for number, victim in enumerate(victims):
            due = n_alerts * (number + 1) // (len(victims) + 1)
            until(lambda due=due: alerts(plant) >= due, f"{due} alerts", within_s=120)  # type: ignore[misc]
            time.sleep(rng.uniform(0.0, 0.3))
            before = unheard(plant, line) if victim == "broker" else set()
            strike(plant, victim)
            if victim == "broker":
                risked |= before | set(range(max(before, default=0), line.frames + 1))
        until(lambda: alerts(plant) >= n_alerts, "all alerts", within_s=300)
        line.end()
        took_s = time.monotonic() - began
        until(plant.daemon.ready, "the daemon is ready", within_s=30)
        settle(lambda: plant.daemon.metric("edge_processed_total"), quiet_s=2.0, within_s=120)
        lost = plant.consumer.recover(plant.daemon)
        committed = plant.daemon.committed()
        disordered = [key for key, numbers in plant.consumer.order.items() if numbers != sorted(numbers)]
        twice = [part for part, given in plant.consumer.verdicts().items() if len(given) > 1]
        silent = unheard(plant, line) - {line.frames}
    told = [event for event in committed.values() if "edge.alert" in str(event["schema"])]
    n_committed = len(told)
    assert (len(lost), disordered, twice) == (0, [], [])
    assert told_twice(event for event in told if event["pipeline"] != "system") == []
    assert silent <= risked
    assert n_committed >= n_alerts
    if n_kills > 10:
        record(
            f"{n_committed:,} alerts while daemon, worker and broker are killed at random, {n_kills} times each",
            goal="0 lost, in order by seq, none told twice; no verdict is missing but of what a killed broker forgot",
            measured=f"{len(lost)} lost of {len(committed):,} events, {plant.consumer.duplicates} came twice, in order;"
            f" {len(silent)} of {line.frames:,} parts without a verdict; {took_s / 60:.1f} min",
            command=COMMAND,
            seed=SEED, alerts=n_committed, events=len(committed), lost=len(lost), silent=len(silent),
            frames=line.frames,
        )  # fmt: skip
