"""The edge-firmware command: exit codes and output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge_runtime.terminal import run_command
from firmware_bridge import build
from firmware_bridge.cli import group
from tests.unit.firmware_bridge.small_models import chain_model, unary_model


@pytest.fixture(autouse=True)
def _no_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unit tests start no process; golden vectors are tried in the integration tests."""
    monkeypatch.setattr(build, "reference_version", lambda: None)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "pump.tflite"
    path.write_bytes(chain_model())
    return path


def _run(*arguments: str) -> int:
    values: Sequence[str] = arguments
    return run_command(group, values)


def test_emit_writes_the_directory_and_tells_its_sizes(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run("emit", str(model), "--out", str(tmp_path / "c"), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["arena_bytes"]) == ("pump", 16)
    assert (tmp_path / "c" / "model.c").is_file()
    assert (tmp_path / "c" / "CMakeLists.txt").is_file()


def test_plan_shows_arena_and_bound(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("plan", str(model), "--target", "rv32") == 0
    assert "arena 16 bytes, lower bound 16" in capsys.readouterr().out


def test_unsupported_operator_ends_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd.tflite"
    path.write_bytes(unary_model("ELU"))
    assert _run("emit", str(path), "--out", str(tmp_path / "c")) == 4
    assert "operator 0 ELU" in capsys.readouterr().err


def test_damaged_file_ends_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd.tflite"
    path.write_bytes(chain_model()[:100])
    assert _run("plan", str(path)) == 4
    assert "error:" in capsys.readouterr().err


def test_keyword_as_name_ends_with_2(model: Path, tmp_path: Path) -> None:
    assert _run("emit", str(model), "--out", str(tmp_path / "c"), "--name", "int") == 2


def test_unknown_target_ends_with_2(model: Path, tmp_path: Path) -> None:
    assert _run("emit", str(model), "--out", str(tmp_path / "c"), "--target", "z80") == 2


def test_missing_model_ends_emit_with_5_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.tflite"
    assert _run("emit", str(path), "--out", str(tmp_path / "c")) == 5
    assert capsys.readouterr().err == f"error: {path}: No such file or directory\n"


def test_missing_model_ends_plan_with_5(tmp_path: Path) -> None:
    assert _run("plan", str(tmp_path / "none.tflite")) == 5


def test_directory_as_model_ends_with_5(tmp_path: Path) -> None:
    assert _run("plan", str(tmp_path)) == 5


def test_missing_key_ends_with_5(tmp_path: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = project / "models" / "machine-failure" / "machine-failure.edgebundle"
    assert _run("plan", str(bundle), "--trust", str(tmp_path / "none.pem")) == 5
    assert "none.pem: No such file" in capsys.readouterr().err


def test_missing_directory_ends_verify_with_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("verify", str(tmp_path / "none")) == 5
    assert "edge-firmware emit first" in capsys.readouterr().err


def test_file_in_place_of_the_directory_ends_with_5(model: Path) -> None:
    assert _run("verify", str(model)) == 5
    assert _run("emit", str(model), "--out", str(model)) == 5


def test_directory_that_was_not_emitted_ends_with_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("verify", str(tmp_path)) == 5
    assert "edge-firmware emit first" in capsys.readouterr().err


def test_unknown_place_ends_with_2(tmp_path: Path) -> None:
    assert _run("verify", str(tmp_path), "--on", "moon") == 2


def test_missing_golden_vectors_are_told(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("emit", str(model), "--out", str(tmp_path / "c")) == 0
    assert "no golden vectors" in capsys.readouterr().err


def test_model_that_exceeds_the_given_ram_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wide.tflite"
    path.write_bytes(unary_model("RELU", shape=(1, 2000)))
    assert _run("plan", str(path), "--target", "cortex-m4", "--ram-kb", "1") == 3
    assert "has 1024; biggest at the peak" in capsys.readouterr().err
