"""Emitted C on QEMU's boards."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.boards import BOARDS, missing_tools
from firmware_bridge.conformance.graphs import random_model, variable_model
from firmware_bridge.verify import require_agreement, verify_directory
from tests.integration.firmware_bridge.places import emitted, require, require_host

pytestmark = [pytest.mark.compiler, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_host()


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("seed", [200])
def test_random_graph_is_exact(board: str, seed: int, tmp_path: Path) -> None:
    require(missing_tools(BOARDS[board]))
    emitted(random_model(seed), tmp_path)
    require_agreement(verify_directory(tmp_path, (board,), seeded=16, seed=seed, litert=False))


@pytest.mark.parametrize("board", BOARDS)
def test_resource_variables_are_kept_over_invocations(board: str, tmp_path: Path) -> None:
    require(missing_tools(BOARDS[board]))
    emitted(variable_model(4, initialised=True), tmp_path)
    require_agreement(verify_directory(tmp_path, (board,), seeded=16, litert=False))
