"""The daemon is killed while alarms are raised: no alarm that names evidence is without it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.integration.daemon_rig import Plant, running_plant, until
from tests.integration.factory_inputs import picture

pytestmark = pytest.mark.broker

#: One abnormal finding raises an alarm, one normal one clears it: alarms come and go all the time.
RULE = """
[[pipeline.rule]]
clear_after = 1
"""
N_KILLS, N_PICTURES = 2, 24


def stored(plant: Plant) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Alarms raised and evidence by topic, as the outbox has them."""
    path = plant.daemon.folder / "state" / "outbox.sqlite"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        alerts = [json.loads(row[0]) for row in database.execute("SELECT payload FROM event WHERE series = 'alert'")]
        evidence = dict(database.execute("SELECT topic, payload FROM event WHERE priority = 2").fetchall())
    return [alert for alert in alerts if alert["event_type"] == "raised"], evidence


def wait_for_alarm(plant: Plant, before: int) -> None:
    """Wait until there is one alarm more."""
    until(lambda: len(stored(plant)[0]) > before, "an alarm")


def surface_only() -> str:
    """One camera on the image model."""
    return (
        '[[camera]]\nid = "cam1"\ntopic = "plant/cam/cam1/frame"\nformat = "jpeg"\nqos = 1\n'
        '[[pipeline]]\nid = "surface"\nkind = "inspection"\nbundle = "tiny-surface"\ncameras = ["cam1"]\n' + RULE
    )


def test_every_alarm_has_the_evidence_that_it_names_though_the_daemon_is_killed(tmp_path: Path) -> None:
    with running_plant(tmp_path, surface_only()) as plant:
        for turn in range(N_KILLS):
            before = len(stored(plant)[0])
            for number in range(N_PICTURES):
                ts_ms = round(time.time() * 1000)
                plant.publisher.publish("plant/cam/cam1/frame", picture(number), part=f"{turn}-{number}", ts_ms=ts_ms)
            wait_for_alarm(plant, before)
            plant.daemon.kill()
            plant.daemon.start()
        until(lambda: len(plant.consumer.verdicts()) == N_KILLS * N_PICTURES, "all verdicts", within_s=30)
        alerts, evidence = stored(plant)
    assert len(alerts) > N_KILLS
    assert {alert["evidence_topic"] for alert in alerts} == evidence.keys()
    for alert in alerts:
        assert hashlib.sha256(evidence[alert["evidence_topic"]]).hexdigest() == alert["evidence_sha256"]
