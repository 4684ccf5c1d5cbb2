"""The figures in the documentation are the gated ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.firmware_bridge.budgets import MODELS, read_budgets

#: Documentation takes the largest of more inputs than the gate, and rounds to thousands.
APART = 0.03
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


def test_every_documented_model_is_exact(project: Path) -> None:
    text = (project / "docs" / "firmware.md").read_text(encoding="utf-8")
    rows = re.search(r"^Instructions [^\n]*:\n\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    assert rows
    verdicts = [line.split("|")[2].strip() for line in rows[1].splitlines()[2:]]
    assert len(verdicts) >= len(MODELS)
    assert all(re.fullmatch(r"\d+ inputs", verdict) for verdict in verdicts)
