"""The emitted C in the documentation is what the emitter writes today, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.build import prepare
from firmware_bridge.conformance.example import example_model
from firmware_bridge.emit import emit_program
from firmware_bridge.targets import find_target

FILES = ("model.c", "model.h", "README.md", "CMakeLists.txt", "firmware.json")


@pytest.mark.parametrize("name", FILES)
def test_example_in_the_documentation_is_current(name: str, project: Path) -> None:
    target = find_target("cortex-m4")
    prepared = prepare(example_model(), target)
    emitted = emit_program(prepared.program, prepared.plan, target, "bearing").files[name]
    assert (project / "docs" / "firmware" / "example" / name).read_text(encoding="utf-8") == emitted
