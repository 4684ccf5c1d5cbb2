"""Emitted C on QEMU's boards, and what it may cost there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from firmware_bridge.boards import BOARDS, BoardRun, missing_tools, run_board
from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.manifest import FirmwareManifest
from firmware_bridge.reference import run_reference
from firmware_bridge.samples import make_samples
from firmware_bridge.verify import require_agreement, verify_directory
from tests.integration.firmware_bridge.places import MODELS, emitted, require, require_host

pytestmark = [pytest.mark.compiler, pytest.mark.timeout(300)]

BUDGETS = json.loads((Path(__file__).parent / "budgets.json").read_text())
TOLERANCE = 1.01
#: tflite-micro with CMSIS-NN on the same emulator, instructions per inference.
PEER = {"resnet8": 31.12e6, "ds-cnn": 7.66e6, "mobilenet-vww": 24.15e6, "autoencoder": 0.627e6}
GOAL = {"resnet8": 0.72, "ds-cnn": 0.72, "mobilenet-vww": 0.72, "autoencoder": 0.97}


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_host()


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("seed", [200, 201, 202])
def test_random_graph_is_exact(board: str, seed: int, tmp_path: Path) -> None:
    require(missing_tools(BOARDS[board]))
    emitted(random_model(seed), tmp_path)
    require_agreement(verify_directory(tmp_path, (board,), seeded=16, seed=seed))


def _measured(
    model: str, directory: Path, shared_data: Path, board: str, *defines: str
) -> tuple[FirmwareManifest, BoardRun]:
    require(missing_tools(BOARDS[board]))
    data = (shared_data / "models" / MODELS[model]).read_bytes()
    target = {"m4": "cortex-m4", "m55": "cortex-m55"}[board]
    manifest = emitted(data, directory, target=target)
    records = make_samples(manifest.inputs, 2, 3)
    run = run_board(BOARDS[board], directory, manifest, records, {0}, defines=defines)
    expected = run_reference(data, records)
    assert all((a[0] == b[0].reshape(a[0].shape)).all() for a, b in zip(run.outputs, expected, strict=True))
    return manifest, run


@pytest.mark.shared_data
@pytest.mark.parametrize("model", MODELS)
def test_cost_on_cortex_m4_has_not_grown(model: str, tmp_path: Path, shared_data: Path) -> None:
    manifest, run = _measured(model, tmp_path, shared_data, "m4")
    budget = BUDGETS[model]
    found = {
        "instructions": max(count.instructions for count in run.counts),
        "flash_bytes": run.flash_bytes,
        "ram_bytes": manifest.arena_bytes + manifest.state_bytes,
        "stack_bytes": max(count.stack_bytes for count in run.counts),
    }
    grown = {key: (value, budget[key]) for key, value in found.items() if value > budget[key] * TOLERANCE}
    assert not grown, f"measured, budget: {grown}"


@pytest.mark.parametrize("model", PEER)
def test_budget_keeps_the_promised_ratio_to_the_peer(model: str) -> None:
    assert BUDGETS[model]["instructions"] <= GOAL[model] * PEER[model]


def test_budget_of_the_lstm_is_at_most_four_instructions_per_product() -> None:
    assert BUDGETS["lstm"]["instructions"] <= 4.0 * BUDGETS["lstm"]["macs"]


def test_budget_of_resnet8_stays_below_52_kb() -> None:
    assert BUDGETS["resnet8"]["ram_bytes"] <= 52_000


@pytest.mark.parametrize("model", PEER)
def test_model_and_kernels_take_no_more_flash_than_the_tflite_file(model: str) -> None:
    assert BUDGETS[model]["flash_bytes"] <= BUDGETS[model]["tflite_bytes"]


@pytest.mark.shared_data
@pytest.mark.parametrize("model", ["ds-cnn", "autoencoder"])
def test_helium_takes_at_most_half_of_the_portable_path(model: str, tmp_path: Path, shared_data: Path) -> None:
    _, helium = _measured(model, tmp_path / "helium", shared_data, "m55")
    _, portable = _measured(model, tmp_path / "portable", shared_data, "m55", "-DEDGE_PORTABLE")
    assert helium.counts[0].instructions <= 0.5 * portable.counts[0].instructions
