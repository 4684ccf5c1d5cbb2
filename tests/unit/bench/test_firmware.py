"""How the benchmark of emitted models ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import firmware
from edge_runtime.errors import (
    ArenaOverflowError,
    EdgeRuntimeError,
    FirmwareError,
    HostEnvironmentError,
    UnsupportedOperatorError,
)

GOOD, OTHER = Path("good.tflite"), Path("other.tflite")


def _row(path: Path, *, exact: bool = True) -> firmware.Row:
    return firmware.Row(path.stem, "m4", exact, 4, 100, 1.0, 100, 8, 8, 8, 8, 8, 8, None, None, ())


def _end(
    monkeypatch: pytest.MonkeyPatch, folder: Path, measure: Callable[[Path], firmware.Row], *paths: Path
) -> tuple[int, dict[str, object]]:
    """Exit code of a quick run over these models, and what it wrote."""
    monkeypatch.setattr(firmware, "RESULTS", folder)
    monkeypatch.setattr(firmware, "missing_tools", lambda _board: ())
    monkeypatch.setattr(firmware, "sources", lambda: iter(paths))
    monkeypatch.setattr(firmware, "measure", lambda path, _board, _inputs: measure(path))
    ended = CliRunner().invoke(firmware.main, ["--quick"])
    return ended.exit_code, json.loads((folder / "firmware.json").read_text(encoding="utf-8"))


def _fails_on_other(error: EdgeRuntimeError) -> Callable[[Path], firmware.Row]:
    def measure(path: Path) -> firmware.Row:
        if path == OTHER:
            raise error
        return _row(path)

    return measure


def test_exact_models_end_with_0(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _end(monkeypatch, tmp_path, _row, GOOD, OTHER)[0] == 0


def test_model_that_differs_ends_with_3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _end(monkeypatch, tmp_path, lambda path: _row(path, exact=path == GOOD), GOOD, OTHER)[0] == 3


@pytest.mark.parametrize(
    "error",
    [
        FirmwareError("the program ended with 7"),
        ArenaOverflowError("needs more than there is"),
        HostEnvironmentError("the file is gone"),
    ],
)
def test_failure_that_is_no_refusal_ends_with_3(
    error: EdgeRuntimeError, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code, written = _end(monkeypatch, tmp_path, _fails_on_other(error), GOOD, OTHER)
    assert (code, written["left_out"]) == (3, [])
    assert written["failed"] == [{"model": "other", "board": "m4", "reason": str(error)}]


def test_refused_operator_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refusal = UnsupportedOperatorError("operator 3 (WHERE)")
    code, written = _end(monkeypatch, tmp_path, _fails_on_other(refusal), GOOD, OTHER)
    assert (code, written["failed"]) == (0, [])
    assert written["left_out"] == [{"model": "other", "board": "m4", "reason": str(refusal)}]


def test_nothing_but_refusals_ends_with_3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _end(monkeypatch, tmp_path, _fails_on_other(UnsupportedOperatorError("WHERE")), OTHER)[0] == 3


def test_no_models_end_with_3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _end(monkeypatch, tmp_path, _row)[0] == 3
