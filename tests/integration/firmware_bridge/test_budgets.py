"""What emitted models may cost: instructions, flash, RAM and stack of every model on every board, and the goals."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from firmware_bridge.boards import BOARDS, missing_tools
from tests.integration.firmware_bridge.budgets import (
    FIGURES,
    MODELS,
    PROJECT,
    TOLERANCE,
    compiler_version,
    grown,
    measure,
    read_budgets,
)
from tests.integration.firmware_bridge.places import require, require_host

pytestmark = [pytest.mark.compiler, pytest.mark.timeout(300)]

BUDGETS = read_budgets()
#: tflite-micro with CMSIS-NN on the same emulator, instructions per inference.
PEER = {"resnet8": 31.12e6, "ds-cnn": 7.66e6, "mobilenet-vww": 24.15e6, "autoencoder": 0.627e6}
GOAL = {"resnet8": 0.72, "ds-cnn": 0.72, "mobilenet-vww": 0.72, "autoencoder": 0.97}


def _marked(models: Iterable[str]) -> list[ParameterSet]:
    """Models, with the mark of the development data where they come from there."""
    public = [pytest.mark.shared_data]
    return [pytest.param(model, marks=public if MODELS[model].startswith("..") else ()) for model in models]


def _require_model(model: str, board: str) -> None:
    require_host()
    require(missing_tools(BOARDS[board]))
    if not (PROJECT / MODELS[model]).is_file():
        pytest.skip(f"{Path(MODELS[model]).name} is not beside this checkout; this test needs it")


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("model", _marked(MODELS))
def test_cost_has_not_grown(model: str, board: str) -> None:
    _require_model(model, board)
    gcc = BOARDS[board].tools[0]
    version = compiler_version(gcc)
    found = measure(model, board)  # exact, with any compiler
    if version != BUDGETS["compilers"][gcc]:
        pytest.skip(f"figures are those of {gcc} {BUDGETS['compilers'][gcc]}, this is {version}")
    assert not grown(found, BUDGETS["models"][model]["boards"][board]), (
        "(measured, budget); if the growth is meant: python -m tests.integration.firmware_bridge.budgets " + model
    )


def test_every_model_has_a_budget_on_every_board() -> None:
    budgets = {model: set(entry["boards"]) for model, entry in BUDGETS["models"].items()}
    assert budgets == {model: set(BOARDS) for model in MODELS}


def test_figure_just_above_its_budget_is_told() -> None:
    budget = dict.fromkeys(FIGURES, 1000)
    allowed = dict.fromkeys(FIGURES, int(1000 * TOLERANCE))
    assert not grown(allowed, budget)
    assert grown(allowed | {"stack_bytes": 1011}, budget) == {"stack_bytes": (1011, 1000)}


@pytest.mark.parametrize("model", PEER)
def test_budget_keeps_the_promised_ratio_to_the_peer(model: str) -> None:
    assert BUDGETS["models"][model]["boards"]["m4"]["instructions"] <= GOAL[model] * PEER[model]


def test_budget_of_the_lstm_is_at_most_four_instructions_per_product() -> None:
    entry = BUDGETS["models"]["lstm"]
    assert entry["boards"]["m4"]["instructions"] <= 4.0 * entry["macs"]


@pytest.mark.parametrize("board", BOARDS)
def test_budget_of_resnet8_stays_below_52_kb(board: str) -> None:
    assert BUDGETS["models"]["resnet8"]["boards"][board]["ram_bytes"] <= 52_000


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("model", MODELS)
def test_model_takes_no_more_flash_than_the_tflite_file(model: str, board: str) -> None:
    entry = BUDGETS["models"][model]
    row = entry["boards"][board]
    assert row["flash_bytes"] - row["kernel_bytes"] <= entry["tflite_bytes"]


@pytest.mark.parametrize("model", PEER)
def test_model_and_kernels_take_no_more_flash_than_the_tflite_file(model: str) -> None:
    entry = BUDGETS["models"][model]
    assert max(row["flash_bytes"] for row in entry["boards"].values()) <= entry["tflite_bytes"]


@pytest.mark.parametrize("model", _marked(MODELS))
def test_helium_takes_at_most_half_of_the_portable_path(model: str) -> None:
    _require_model(model, "m55")
    portable = measure(model, "m55", "-DEDGE_PORTABLE")["instructions"]
    assert measure(model, "m55")["instructions"] <= 0.5 * portable
