"""Inputs come on a session of their own, and health says when only that one is away."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.daemon_rig import GATEWAY, Plant, Publisher, running_plant, until

pytestmark = pytest.mark.broker


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with running_plant(tmp_path) as plant:
        yield plant


def test_health_says_when_only_the_inputs_are_away(plant: Plant) -> None:
    plant.join(Publisher(plant.broker, f"{GATEWAY}-in"))  # the broker ends the older session of that name

    def reasons() -> list[list[str]]:
        return [health["reasons"] for health in plant.consumer.all_of("health")]

    until(lambda: ["inputs_disconnected"] in reasons(), "health names the inputs")
