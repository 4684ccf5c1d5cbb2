"""The figures in the documentation are the gated ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.firmware_bridge.budgets import MODELS, read_budgets
from tests.integration.firmware_bridge.test_budgets import PEER

#: Documentation takes the largest of more inputs than the gate, and rounds to thousands.
APART = 0.03
#: A ratio with two digits, of the largest of more inputs.
NEAR = 0.006
ROUNDING = {"Instructions": 1000}
FIGURE = {"Instructions": "instructions", "RAM": "ram_bytes", "Flash": "flash_bytes", "Stack": "stack_bytes"}


def _table(project: Path, title: str) -> dict[tuple[str, str], int]:
    """Cells of one table, by model and board; sums are added up."""
    text = (project / "docs" / "firmware.md").read_text(encoding="utf-8")
    found = re.search(rf"^{title} [^\n]*:\n\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    assert found, f"no table of {title}"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]
    cells = {}
    for row in rows[2:]:
        for board, cell in zip(rows[0][2:], row[2:], strict=True):
            value = sum(int(part.replace(",", "")) for part in cell.split(" + "))
            cells[row[0], board] = value * ROUNDING.get(title, 1)
    return cells


@pytest.mark.parametrize("title", FIGURE)
def test_documented_figure_is_the_gated_one(title: str, project: Path) -> None:
    cells = _table(project, title)
    far = {}
    for name, entry in read_budgets()["models"].items():
        for board, row in entry["boards"].items():
            written, gated = cells[Path(MODELS[name]).stem, board], row[FIGURE[title]]
            if abs(written - gated) > max(APART * gated, ROUNDING.get(title, 1)):
                far[name, board] = (written, gated)
    assert not far, "(documented, gated); python -m bench.firmware --docs writes them again"


def _named_after(project: Path, words: str) -> set[str]:
    """Models that a sentence of the documentation names."""
    text = (project / "docs" / "firmware.md").read_text(encoding="utf-8")
    found = re.search(rf"{words}:([^.]*)\.", text)
    assert found, f"no sentence with {words!r}"
    return set(re.findall(r"`([^`]+)`", found[1]))


def test_models_that_are_not_gated_are_named(project: Path) -> None:
    documented = {model for model, _ in _table(project, "Instructions")}
    gated = {Path(path).stem for path in MODELS.values()}
    assert _named_after(project, "Measured but not gated") == documented - gated


def test_models_that_take_more_flash_than_the_file_with_kernels_are_named(project: Path) -> None:
    named = _named_after(project, "it takes more, on every board, where the object\nsaves less than they need")
    models = read_budgets()["models"]
    larger = {
        Path(MODELS[name]).stem: {row["flash_bytes"] > entry["tflite_bytes"] for row in entry["boards"].values()}
        for name, entry in models.items()
    }
    gated = {Path(path).stem for path in MODELS.values()}
    assert {name: {name in named} for name in gated} == larger


def test_ratios_of_the_readme_are_the_gated_ones(project: Path) -> None:
    line = re.search(
        r"^\| emitted C on Cortex-M4[^\n]*", (project / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert line
    written = [float(ratio) for ratio in re.findall(r"(\d\.\d\d)x", line[0])]
    models = read_budgets()["models"]
    gated = [models[name]["boards"]["m4"]["instructions"] / peer for name, peer in PEER.items()]
    assert written == pytest.approx(gated, abs=NEAR)


def test_ratios_of_the_documentation_are_the_gated_ones(project: Path) -> None:
    text = (project / "docs" / "firmware.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| [\d,]+ \| (\d\.\d\d) \| [\d.]+ \|$", text, re.MULTILINE)
    models = read_budgets()["models"]
    gated = {
        Path(MODELS[name]).stem: models[name]["boards"]["m4"]["instructions"] / peer for name, peer in PEER.items()
    }
    assert {model: float(ratio) for model, ratio in rows} == pytest.approx(gated, abs=NEAR)
