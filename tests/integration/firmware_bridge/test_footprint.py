"""Flash and stack in the README are what a board shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.boards import BOARDS, missing_tools, run_board
from firmware_bridge.build import emit_source
from firmware_bridge.directory import write_directory
from firmware_bridge.samples import make_samples
from firmware_bridge.source import read_source
from firmware_bridge.targets import find_target
from tests.integration.firmware_bridge.budgets import TARGET_OF
from tests.integration.firmware_bridge.places import RELEASED, require, require_host

pytestmark = pytest.mark.compiler

#: Frames of the program around the model, calls of the C library included.
_AROUND = 200
#: Code of the marks at which a board counts.
_MARKS = 400


@pytest.mark.parametrize("board", sorted(set(BOARDS) - {"m3"}))
@pytest.mark.parametrize("name", RELEASED)
def test_stack_and_flash_of_the_readme_are_those_of_the_board(
    name: str, board: str, tmp_path: Path, project: Path
) -> None:
    require_host()
    require(missing_tools(BOARDS[board]))
    source = read_source(project / "models" / name / f"{name}.edgebundle", None)
    emission, _ = emit_source(source, find_target(TARGET_OF[board], 4096), "net")
    write_directory(tmp_path, source, emission, ())
    manifest, footprint = emission.manifest, emission.footprint
    assert footprint is not None
    run = run_board(BOARDS[board], tmp_path, manifest, make_samples(manifest.inputs, 1, 0)[:1], {0})
    assert footprint.stack_bytes <= run.counts[0].stack_bytes <= footprint.stack_bytes + _AROUND
    assert footprint.flash_bytes <= run.flash_bytes <= footprint.flash_bytes + _MARKS
    assert f"| {footprint.flash_bytes} |" in (tmp_path / "README.md").read_text()
