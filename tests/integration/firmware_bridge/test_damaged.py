"""A damaged model that is not noticed to be one is still emitted as what the reference makes of it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from edge_runtime.errors import FirmwareError
from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.verify import require_agreement, verify_directory
from tests.integration.firmware_bridge.places import emitted, require_host
from tests.property.firmware_bridge.mutations import mutated

pytestmark = pytest.mark.compiler


def _exact(directory: Path, wanted: int, seed: int) -> None:
    """Emit damaged models until so many were taken; each compiles without a warning and agrees under sanitizers."""
    require_host()
    dice, taken = random.Random(seed), 0
    while taken < wanted:
        graph = dice.randrange(2000)
        try:
            emitted(mutated(random_model(graph), dice), directory / str(taken))
        except FirmwareError:
            continue
        require_agreement(verify_directory(directory / str(taken), ("host",), seeded=4, litert=False))
        taken += 1


def test_damaged_models_that_are_emitted_agree_with_the_reference(tmp_path: Path) -> None:
    _exact(tmp_path, 8, 1)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_damaged_models_that_are_emitted_agree_with_the_reference(tmp_path: Path) -> None:
    _exact(tmp_path, 150, 2)
