"""A gateway burns down: its backup, made while it ran, goes on elsewhere under its name."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.integration.daemon_rig import COMMAND, SOURCES, Daemon, Plant, running_plant, until
from tests.integration.factory_inputs import picture

pytestmark = pytest.mark.broker


def edge_runtime(*arguments: str) -> dict[str, object]:
    done = subprocess.run([*COMMAND, *arguments, "--json"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def judge(plant: Plant, numbers: range) -> None:
    for number in numbers:
        plant.publisher.publish("plant/cam/cam1/frame", picture(number), part=f"p-{number}", seq=number)


def test_a_backup_made_while_the_daemon_runs_goes_on_elsewhere(tmp_path: Path) -> None:
    with running_plant(tmp_path / "plant") as plant:
        judge(plant, range(10))
        until(lambda: "p-9" in plant.consumer.verdicts(), "a verdict")
        backup = tmp_path / "gw1.tar"
        told = edge_runtime("backup", str(plant.daemon.config), "--out", str(backup))
        assert told["gateway"] == "gw1"
        judge(plant, range(10, 20))
        until(lambda: "p-19" in plant.consumer.verdicts(), "a verdict")
        first_boot = json.loads(plant.consumer.retained["birth"])["boot_id"]
        refused = subprocess.run(
            [*COMMAND, "restore", str(backup), "--to", str(plant.daemon.config), "--force"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert refused.returncode == 5
        assert "another edge-runtime uses this state folder" in refused.stderr
        committed = plant.daemon.committed()
        plant.daemon.kill()

        spare = tmp_path / "spare"
        spare.mkdir()
        edge_runtime("restore", str(backup), "--to", str(spare / "gateway.toml"))
        restored = plant.daemon
        plant.daemon = Daemon(spare, plant.broker.port, SOURCES)
        assert restored.folder != plant.daemon.folder
        plant.daemon.start()
        judge(plant, range(20, 30))
        until(lambda: "p-29" in plant.consumer.verdicts(), "a verdict")
        assert json.loads(plant.consumer.retained["birth"])["boot_id"] != first_boot
        kept = plant.daemon.committed()
        assert len(kept.keys() & committed.keys()) >= 10
        assert plant.consumer.gaps() == {}
