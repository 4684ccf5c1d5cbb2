"""The kernels' shortened arithmetic against its definition, with each processor's instructions for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.emit import kernel_text
from firmware_bridge.emulator import PROCESSORS, link_image, missing_packages, run_commands
from tests.integration.firmware_bridge.places import require

pytestmark = [pytest.mark.compiler, pytest.mark.timeout(120)]


@pytest.mark.parametrize("place", PROCESSORS)
def test_arithmetic_is_the_written_out_one_on_the_processor(place: str, tmp_path: Path) -> None:
    require(missing_packages())
    (tmp_path / "edge_arithmetic.h").write_text(kernel_text("include", "edge_arithmetic.h"))
    (tmp_path / "arithmetic.c").write_text(kernel_text("tests", "arithmetic.c"))
    image = link_image(PROCESSORS[place], [str(tmp_path / "arithmetic.c")], ["-DCASES=100000"], tmp_path)
    assert run_commands(PROCESSORS[place], image, b"", 0) == b""
