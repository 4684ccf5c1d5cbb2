"""The emitted C in the documentation is what the emitter writes today, byte for byte.

``python -m tests.golden.firmware_bridge.test_example`` writes it again.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.build import prepare
from firmware_bridge.conformance.example import example_model
from firmware_bridge.emit import emit_program
from firmware_bridge.targets import find_target

FILES = ("model.c", "model.h", "README.md", "CMakeLists.txt", "firmware.json")
_FOLDER = Path("docs/firmware/example")


def _emitted(name: str) -> str:
    target = find_target("cortex-m4")
    prepared = prepare(example_model(), target)
    return emit_program(prepared.program, prepared.plan, target, "bearing").files[name]


@pytest.mark.parametrize("name", FILES)
def test_example_in_the_documentation_is_current(name: str, project: Path) -> None:
    written = (project / _FOLDER / name).read_text(encoding="utf-8")
    assert written == _emitted(name), "python -m tests.golden.firmware_bridge.test_example writes it again"


def test_example_holds_nothing_else(project: Path) -> None:
    assert {path.name for path in (project / _FOLDER).iterdir()} == set(FILES)


if __name__ == "__main__":
    for _name in FILES:
        (Path(__file__).resolve().parents[3] / _FOLDER / _name).write_text(_emitted(_name), encoding="utf-8")
