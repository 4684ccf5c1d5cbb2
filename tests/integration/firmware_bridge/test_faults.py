"""The emulated processors fault where devices do, so that an unaligned access in emitted code cannot pass unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import FirmwareError
from firmware_bridge.boards import BOARDS, link_program, missing_tools, run_program
from tests.integration.firmware_bridge.places import require

pytestmark = pytest.mark.compiler

_MAIN = """#include <stdint.h>
int main(void);
static uint32_t words[4];
int main(void) {
  volatile uintptr_t at = (uintptr_t)words + OFFSET;
#ifdef PAIR
  uint32_t low, high;
  __asm volatile("ldrd %0, %1, [%2]" : "=r"(low), "=r"(high) : "r"(at) : "memory");
  return (int)(low | high);
#else
  return (int)*(volatile uint32_t *)at;
#endif
}
"""


def _load(board: str, offset: int, work: Path, *flags: str) -> None:
    require(missing_tools(BOARDS[board]))
    (work / "main.c").write_text(_MAIN)
    flags = (f"-DOFFSET={offset}", *flags)
    run_program(BOARDS[board], link_program(BOARDS[board], [str(work / "main.c")], work, flags=flags))


def test_unaligned_word_faults_on_cortex_m0(tmp_path: Path) -> None:
    _load("m0plus", 4, tmp_path)
    with pytest.raises(FirmwareError, match="ended with 125"):
        _load("m0plus", 1, tmp_path)


@pytest.mark.parametrize("board", ["m3", "m4", "m33", "m55"])
def test_unaligned_pair_of_words_faults(board: str, tmp_path: Path) -> None:
    _load(board, 4, tmp_path, "-DPAIR")
    with pytest.raises(FirmwareError, match="ended with 125"):
        _load(board, 2, tmp_path, "-DPAIR")
