"""The database is destroyed under a daemon that stands or runs: it goes on by itself and says so."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.daemon_rig import Plant, running_plant, until
from tests.integration.factory_inputs import picture

pytestmark = pytest.mark.broker


def send_parts(plant: Plant, numbers: range) -> None:
    for number in numbers:
        plant.publisher.publish("plant/cam/cam1/frame", picture(number), part=f"p-{number}", seq=number)


def until_judged(plant: Plant, last: int) -> None:
    until(lambda: f"p-{last}" in plant.consumer.verdicts(), f"a verdict on part {last}", within_s=15.0)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with running_plant(tmp_path) as running:
        send_parts(running, range(20))
        until_judged(running, 19)
        yield running


def outbox_of(plant: Plant) -> Path:
    return plant.daemon.folder / "state" / "outbox.sqlite"


def destroy(path: Path, start: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(random.Random(3).randbytes(max(100, path.stat().st_size - start)))


def reasons(plant: Plant) -> list[str]:
    found: list[str] = json.loads(plant.consumer.retained["health"])["reasons"]
    return found


def test_a_daemon_whose_database_was_destroyed_starts_and_keeps_what_it_can_read(plant: Plant) -> None:
    plant.daemon.kill()
    with outbox_of(plant).open("r+b") as file:
        file.write(b"\xa5" * 100)
    wal = outbox_of(plant).with_name("outbox.sqlite-wal")
    with wal.open("r+b") as file:
        file.write(b"\xa5" * 32)
    plant.daemon.start()
    until(lambda: "outbox_corrupt_set_aside" in reasons(plant), "health tells it")
    send_parts(plant, range(20, 30))
    until_judged(plant, 29)
    assert len(list(outbox_of(plant).parent.glob("corrupt-*/outbox.sqlite"))) == 1
    assert "event=outbox_corrupt" in plant.daemon.log.read_text()
    assert len(plant.daemon.committed()) >= 30


def test_a_daemon_whose_database_is_destroyed_while_it_runs_goes_on(plant: Plant) -> None:
    destroy(outbox_of(plant), 0)
    destroy(outbox_of(plant).with_name("outbox.sqlite-wal"), 0)
    boot_id = json.loads(plant.consumer.retained["birth"])["boot_id"]
    send_parts(plant, range(20, 30))
    until(lambda: "outbox_corrupt_set_aside" in reasons(plant), "health tells it")
    send_parts(plant, range(5000, 5010))
    until_judged(plant, 5009)
    assert json.loads(plant.consumer.retained["birth"])["boot_id"] == boot_id
