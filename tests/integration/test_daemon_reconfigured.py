"""A daemon that comes back with another configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.daemon_rig import SOURCES, Daemon, running_plant, until

pytestmark = pytest.mark.broker


def test_the_status_of_a_pipeline_that_is_gone_is_emptied(tmp_path: Path) -> None:
    with running_plant(tmp_path) as plant:
        retained = plant.consumer.retained
        until(lambda: retained.get("pipe/life/status"), "a status")
        plant.daemon.stop()
        kept, _, _ = SOURCES.rpartition("[[pipeline]]")
        plant.daemon = Daemon(plant.daemon.folder, plant.broker.port, kept)
        plant.daemon.start()
        until(lambda: retained["pipe/life/status"] == b"", "an empty status")
        until(lambda: retained["model/tiny-life/installed"] == b"", "no model")
        assert retained["pipe/surface/status"]
