"""How far LiteRT is from the contract is measured for every model that LiteRT runs, with state or without."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from firmware_bridge.conformance.graphs import variable_model
from firmware_bridge.litert import KERNELS, measure_differences
from firmware_bridge.reference import run_reference
from firmware_bridge.samples import make_samples
from firmware_bridge.verify import Verification, verify_directory
from tests.integration.firmware_bridge.places import emitted, require, require_host

pytestmark = pytest.mark.compiler

N_RECORDS = 32


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_host()
    require([] if importlib.util.find_spec("ai_edge_litert") else ["ai-edge-litert"])


def _verified(path: Path, directory: Path) -> Verification:
    emitted(path.read_bytes(), directory)
    return verify_directory(directory, ("host",), seeded=N_RECORDS)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("model", "n_outputs"),
    [("mnist_lstm_trained_lstm_int8", 10), ("keyword_scrambled", 2), ("dtln_dtln_noise_suppression", 257)],
)
def test_difference_of_a_model_with_state_is_measured(
    model: str, n_outputs: int, tmp_path: Path, shared_data: Path
) -> None:
    found = _verified(shared_data / "models" / "tflite-micro" / f"{model}.tflite", tmp_path)
    assert found.manifest.state_bytes > 0
    assert [(d.kernels, d.problem, d.n_values) for d in found.differences] == [
        (kernels, "", N_RECORDS * n_outputs) for kernels in KERNELS
    ]


def _compared(model: bytes, directory: Path, resets: tuple[int, ...]) -> list[int]:
    """Differing values per kernel set when LiteRT is reset at ``resets`` and the reference before 0 and 6."""
    records = make_samples(emitted(model, directory).inputs, 8, 0)
    outputs = run_reference(model, records, resets=(0, 6))
    return [difference.n_different for difference in measure_differences(model, records, outputs, resets)]


def test_resource_variables_begin_anew_at_every_reset(tmp_path: Path) -> None:
    model = variable_model(3, initialised=True)
    assert _compared(model, tmp_path / "same", (0, 6))[KERNELS.index("reference")] == 0
    assert _compared(model, tmp_path / "other", (0,))[KERNELS.index("reference")] > 0


@pytest.mark.shared_data
def test_state_of_an_lstm_is_kept_and_begins_anew_as_in_the_reference(tmp_path: Path, shared_data: Path) -> None:
    model = (shared_data / "models" / "tflite-micro" / "dtln_dtln_noise_suppression.tflite").read_bytes()
    same, once, always = (
        _compared(model, tmp_path / str(len(resets)), resets) for resets in ((0, 6), (0,), tuple(range(12)))
    )
    assert max(same) < min(once)
    assert max(same) < min(always)


@pytest.mark.shared_data
def test_model_that_litert_aborts_on_is_told(tmp_path: Path, shared_data: Path) -> None:
    found = _verified(shared_data / "models" / "tflite-micro" / "keyword_scrambled_8bit.tflite", tmp_path)
    assert all("LiteRT does not run this model" in difference.problem for difference in found.differences)
