"""Two models in one image: both keep their results, shared kernels are linked once, C and C++ may use them."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from edge_runtime.errors import FirmwareError
from firmware_bridge.boards import BOARDS, link_program, linker_script, missing_tools, run_program
from firmware_bridge.emit import kernel_text
from firmware_bridge.source import read_source
from firmware_bridge.toolchain import run_tool
from tests.integration.firmware_bridge.places import emitted_source, require, require_host

pytestmark = [pytest.mark.compiler, pytest.mark.timeout(300)]

PATH_OF = {"m0plus": "c", "m3": "c", "m4": "dsp", "m33": "dsp", "m55": "mve", "rv32": "c"}
#: Runs the golden vectors of both models in turn and ends with 0 when every output is as it should be. C99 and C++11.
_MAIN = """
#include <stdint.h>
#include <string.h>
#include "a/first.h"
#include "a/golden.h"
#include "b/second.h"
#include "b/golden.h"

static uint64_t arena_a[(FIRST_ARENA_BYTES + 7) / 8], state_a[FIRST_STATE_BYTES / 8 + 1];
static uint64_t arena_b[(SECOND_ARENA_BYTES + 7) / 8], state_b[SECOND_STATE_BYTES / 8 + 1];

static int first(int record) {
  memcpy(first_input0(arena_a), first_golden_input0[record], FIRST_INPUT0_BYTES);
  if (first_invoke(arena_a, state_a) != FIRST_OK) { return 1; }
  return memcmp(first_output0(arena_a), first_golden_output0[record], FIRST_OUTPUT0_BYTES) != 0 ? 2 : 0;
}

static int second(int record) {
  memcpy(second_input0(arena_b), second_golden_input0[record], SECOND_INPUT0_BYTES);
  if (second_invoke(arena_b, state_b) != SECOND_OK) { return 4; }
  return memcmp(second_output0(arena_b), second_golden_output0[record], SECOND_OUTPUT0_BYTES) != 0 ? 8 : 0;
}

int main(void) {
  int status = first_reset(state_a) != FIRST_OK || second_reset(state_b) != SECOND_OK ? 16 : 0;
  for (int record = 0; record < FIRST_GOLDEN_RECORDS || record < SECOND_GOLDEN_RECORDS; ++record) {
    if (record < FIRST_GOLDEN_RECORDS) { status |= first(record); }
    if (record < SECOND_GOLDEN_RECORDS) { status |= second(record); }
  }
  return status;
}
"""
_CMAKE = """cmake_minimum_required(VERSION 3.18)
project(application C CXX)
set(CMAKE_CXX_STANDARD 11)
add_subdirectory(a)
add_subdirectory(b)
add_executable(application main.cpp ${EXTRA})
target_include_directories(application PRIVATE ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(application edge_model_first edge_model_second -Wl,-Map=application.map)
if(CMAKE_SYSTEM_NAME STREQUAL "Generic")
  set_target_properties(application PROPERTIES LINKER_LANGUAGE C) # the bare compiler comes without a C++ library
endif()
"""


@pytest.fixture
def directory(tmp_path: Path, project: Path) -> Path:
    """Two released models with state side by side, for any path, and the application in both languages."""
    require_host()
    for folder, name, bundle in (("a", "first", "machine-failure"), ("b", "second", "turbofan-rul")):
        source = read_source(project / "models" / bundle / f"{bundle}.edgebundle", None)
        emitted_source(source, tmp_path / folder, name=name)
    (tmp_path / "main.c").write_text(_MAIN.replace("int main(void) {", "int main(void);\nint main(void) {"))
    (tmp_path / "main.cpp").write_text(_MAIN)
    (tmp_path / "CMakeLists.txt").write_text(_CMAKE)
    return tmp_path


def _sources(directory: Path) -> list[str]:
    """The C files of both models."""
    return [str(path) for folder in ("a", "b") for path in sorted((directory / folder).rglob("*.c"))]


def _copies(nm: str, program: Path) -> Counter[str]:
    """How often each function lies in a program, those that only one file sees included."""
    lines = run_tool([nm, "--format=sysv", str(program)]).decode().splitlines()
    columns = ([column.strip() for column in line.split("|")] for line in lines if line.count("|") == 6)
    return Counter(name for name, _, _, kind, *_ in columns if kind == "FUNC")


def _require_once(copies: Counter[str], path: str) -> None:
    assert any(name.startswith(f"edge_k1_{path}_lstm") for name in copies)
    assert {name: count for name, count in copies.items() if count > 1} == {}


def _require_each_kernel_from_one_library(build: Path, directory: Path) -> None:
    text = (build / "application.map").read_text()
    taken = Counter(
        re.findall(r"^\S*libedge_model_\w+\.a\((\w+)\.c\.o(?:bj)?\)$", text.partition("Memory")[0], re.MULTILINE)
    )
    kernels = {path.stem for path in directory.glob("[ab]/kernels/*.c")}
    assert taken == Counter(dict.fromkeys(kernels, 1)) + Counter({"model": 2})


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("language", ["c", "cpp"])
def test_both_models_agree_with_their_golden_vectors_in_one_image(board: str, language: str, directory: Path) -> None:
    require(missing_tools(BOARDS[board]))
    work, gcc, flags = directory / "work", BOARDS[board].tools[0], BOARDS[board].flags
    work.mkdir()
    main = work / "main.o"
    if language == "cpp":
        compiler = gcc.replace("gcc", "g++")
        require([] if shutil.which(compiler) else [compiler])
        strict = ["-std=c++11", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    else:
        compiler, strict = gcc, ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    run_tool([compiler, *flags, *strict, "-O2", "-c", str(directory / f"main.{language}"), "-o", str(main)])
    program = link_program(BOARDS[board], [str(main), *_sources(directory)], work, flags=["-ffunction-sections"])
    run_program(BOARDS[board], program)
    _require_once(_copies(gcc.replace("gcc", "nm"), program), PATH_OF[board])


def test_wrong_result_of_one_model_is_seen_in_the_image(directory: Path) -> None:
    require(missing_tools(BOARDS["m4"]))
    golden = directory / "b" / "golden.h"
    text, mark = golden.read_text(), "= {\n  {"
    at = text.index(mark, text.index("second_golden_output0")) + len(mark)
    end = text.index("}", at)
    golden.write_text(text[:at] + ("1" if text[at:end] != "1" else "2") + text[end:])
    (directory / "work").mkdir()
    program = link_program(BOARDS["m4"], [str(directory / "main.c"), *_sources(directory)], directory / "work")
    with pytest.raises(FirmwareError, match="ended with 8"):
        run_program(BOARDS["m4"], program)


def test_cmake_links_shared_kernels_once_into_a_cpp_program(directory: Path) -> None:
    require([tool for tool in ("cmake", "g++") if shutil.which(tool) is None])
    build = directory / "build"
    run_tool(["cmake", "-S", str(directory), "-B", str(build)])
    run_tool(["cmake", "--build", str(build)])
    run_tool([str(build / "application")])
    _require_once(_copies("nm", build / "application"), "c")
    _require_each_kernel_from_one_library(build, directory)


def test_cmake_builds_a_cpp_program_for_the_board(directory: Path) -> None:
    board = BOARDS["m4"]
    require([*missing_tools(board), *(tool for tool in ("cmake", "arm-none-eabi-g++") if shutil.which(tool) is None)])
    for name in ("semihosting.h", "start.c"):
        (directory / name).write_text(kernel_text("board", name))
    (directory / "link.ld").write_text(linker_script(board))
    flags = " ".join(board.flags)
    options = [
        "-DCMAKE_SYSTEM_NAME=Generic",
        "-DCMAKE_SYSTEM_PROCESSOR=arm",
        "-DCMAKE_TRY_COMPILE_TARGET_TYPE=STATIC_LIBRARY",
        "-DCMAKE_C_COMPILER=arm-none-eabi-gcc",
        "-DCMAKE_CXX_COMPILER=arm-none-eabi-g++",
        f"-DCMAKE_C_FLAGS={flags} -O2",
        f"-DCMAKE_CXX_FLAGS={flags} -O2 -fno-exceptions -fno-rtti",
        f"-DCMAKE_EXE_LINKER_FLAGS=-nostartfiles -T{directory / 'link.ld'}",
        f"-DEXTRA={directory / 'start.c'}",
    ]
    build = directory / "build"
    run_tool(["cmake", "-S", str(directory), "-B", str(build), *options])
    run_tool(["cmake", "--build", str(build)])
    run_program(board, build / "application")
    _require_once(_copies("arm-none-eabi-nm", build / "application"), "dsp")
    _require_each_kernel_from_one_library(build, directory)
