"""The public headers compile wherever an application may include them: C99, C++11, strict, and in one file together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from firmware_bridge.boards import BOARDS, missing_tools
from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.conformance.maker import GraphMaker
from firmware_bridge.model import Quantization
from firmware_bridge.toolchain import host_compiler, run_tool
from tests.integration.firmware_bridge.places import emitted, require, require_host
from tests.unit.firmware_bridge.small_models import maker, model_of

pytestmark = pytest.mark.compiler

_STRICT = ("-Wall", "-Wextra", "-Wconversion", "-pedantic-errors", "-Werror")


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_host()


def _float_model() -> bytes:
    """A model whose ends are float32, so that golden.h holds floats."""
    graph: GraphMaker = maker()
    first = graph.tensor((1, 3), "float32")
    code = graph.tensor((1, 3), "int8", Quantization((0.1,), (3,), 0))
    last = graph.tensor((1, 3), "float32")
    graph.operator("QUANTIZE", [first], [code])
    graph.operator("DEQUANTIZE", [code], [last])
    return model_of(graph, (first,), (last,))


def _application(directory: Path, suffix: str) -> Path:
    """A file that includes all public headers of two models, twice, and uses them."""
    emitted(random_model(0), directory / "a", name="one")
    emitted(_float_model(), directory / "b", name="two")
    source = directory / f"application{suffix}"
    source.write_text(
        '#include "a/one.h"\n#include "b/two.h"\n#include "a/golden.h"\n#include "b/golden.h"\n#include "a/one.h"\n'
        "float scale(void);\nfloat scale(void) { return ONE_INPUT0_SCALE + TWO_OUTPUT0_SCALE; }\n"
        "int32_t use(void *arena, void *state);\n"
        "int32_t use(void *arena, void *state) {\n"
        "  one_input0(arena)[0] = one_golden_input0[0][0];\n"
        "  two_input0(arena)[0] = two_golden_input0[0][0];\n"
        "  const float same = two_output0(arena)[0] - two_golden_output0[0][0];\n"
        "  return one_invoke(arena, state) + one_golden_output0[0][0] + (same > 0.5f ? 1 : 0);\n}\n"
    )
    return source


@pytest.mark.parametrize("standard", ["c99", "c11", "c17"])
def test_headers_compile_as_c(standard: str, tmp_path: Path) -> None:
    compiler = host_compiler()
    assert compiler is not None
    source = _application(tmp_path, ".c")
    run_tool([compiler, f"-std={standard}", *_STRICT, "-fsyntax-only", str(source)])


@pytest.mark.parametrize("standard", ["c++11", "c++14", "c++20"])
def test_headers_compile_as_cpp(standard: str, tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    require([] if compiler else ["a C++ compiler"])
    assert compiler is not None
    source = _application(tmp_path, ".cpp")
    run_tool([compiler, f"-std={standard}", *_STRICT, "-fsyntax-only", str(source)])


def test_headers_compile_with_the_device_compiler_as_c99_and_cpp11(tmp_path: Path) -> None:
    require(missing_tools(BOARDS["m4"]))
    gcc, flags = BOARDS["m4"].tools[0], BOARDS["m4"].flags
    run_tool([gcc, *flags, "-std=c99", *_STRICT, "-fsyntax-only", str(_application(tmp_path / "c", ".c"))])
    run_tool(
        [
            gcc,
            *flags,
            "-std=c++11",
            "-ffreestanding",
            *_STRICT,
            "-fsyntax-only",
            str(_application(tmp_path / "d", ".cpp")),
        ]
    )


def test_no_public_header_holds_a_hexadecimal_float(tmp_path: Path) -> None:
    _application(tmp_path, ".c")
    texts = [path.read_text() for path in tmp_path.glob("[ab]/*.h")]
    assert texts
    assert not any("0x1." in text or "0x0." in text for text in texts)
