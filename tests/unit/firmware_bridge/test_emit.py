"""Names, C text and the emitted files."""

from __future__ import annotations

import re

import numpy as np
import pytest

from edge_runtime.errors import UsageError
from firmware_bridge.build import prepare
from firmware_bridge.ctext import array_text, comment, float_text
from firmware_bridge.emit import Emission, emit_program, kernel_text
from firmware_bridge.naming import check_name, name_from
from firmware_bridge.program import Constant
from firmware_bridge.targets import TARGETS, find_target
from tests.unit.firmware_bridge.small_models import chain_model


def _emitted(target: str = "generic", name: str = "net") -> Emission:
    device = find_target(target)
    prepared = prepare(chain_model(), device)
    return emit_program(prepared.program, prepared.plan, device, name)


@pytest.mark.parametrize("name", ["int", "while", "class", "typename", "co_await", "typeof", "arena", "main", "golden"])
def test_keyword_as_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="keyword"):
        check_name(name)


@pytest.mark.parametrize("name", ["stdint", "string", "stddef", "math", "limits", "arm_mve"])
def test_name_that_would_hide_a_standard_header_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="standard header"):
        check_name(name)


@pytest.mark.parametrize("name", ["Net", "1st", "a b", "a__b", "net_", "a\n", "", "x" * 41, "net;system", "über"])
def test_name_that_is_no_identifier_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="lower case letter"):
        check_name(name)


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("Net-v2", "net_v2"),
        ("int", "model_int"),
        ("String", "model_string"),
        ("golden", "model_golden"),
        ("3d", "model_3d"),
        ("***", "net"),
        ("a" * 33, "a" * 33),
        ("net_", "net"),
        ("_a..b-_c", "a_b_c"),
    ],
)
def test_name_is_made_from_any_file_name(stem: str, name: str) -> None:
    assert check_name(name_from(stem)) == name


def test_long_file_names_that_begin_alike_give_different_names() -> None:
    stems = [f"defect_detector_line_three_camera_{side}" for side in ("left", "right")]
    assert len({check_name(name_from(stem)) for stem in stems}) == 2


@pytest.mark.parametrize("stem", ["a" * n + "-" + "b" * 40 for n in range(1, 40)])
def test_name_cut_at_any_place_may_prefix_symbols(stem: str) -> None:
    assert check_name(name_from(stem)).startswith(stem[:20].rstrip("-").replace("-", "_"))


@pytest.mark.parametrize("stem", ["7" * 80, "\udcff" + "x" * 80, "_" * 80])
def test_long_file_name_of_odd_characters_gives_a_name(stem: str) -> None:
    assert check_name(name_from(stem))


def test_comment_cannot_be_ended_by_a_tensor_name() -> None:
    assert "*/" not in comment("evil */ int x; /* \n")


@pytest.mark.parametrize("value", [0.1, 1.0, 1e-5, 1 / 3, 2.0**-149, 3.4028234663852886e38, -0.0, 1e10])
def test_float_text_is_exact(value: float) -> None:
    assert np.float32(float_text(value).removesuffix("f")) == np.float32(value)


@pytest.mark.parametrize(("value", "text"), [(1.0, "1.0f"), (0.0625, "0.0625f"), (1e-5, "9.99999975e-06f")])
def test_float_text_is_a_literal_of_c_and_of_older_cpp(value: float, text: str) -> None:
    assert float_text(value) == text


def test_smallest_int32_is_written_without_overflow() -> None:
    text = array_text(Constant("k", np.array([-(2**31), 5], np.int32), "two"))
    assert "(-2147483647 - 1), 5" in text


def test_only_needed_kernels_are_emitted() -> None:
    files = _emitted().files
    assert sorted(name for name in files if name.endswith(".c")) == ["kernels/fully_connected_s8.c", "model.c"]


def test_all_public_symbols_carry_the_name() -> None:
    header = _emitted(name="pump").files["model.h"]
    assert "int32_t pump_invoke(void *arena, void *state);" in header
    assert "#define PUMP_ARENA_BYTES" in header
    assert "int32_t pump_reset(void *state);" in header


@pytest.mark.parametrize("target", [target.name for target in TARGETS.values() if not target.smlad])
def test_target_without_scratch_for_smlad_guards_itself(target: str) -> None:
    assert f'#if defined(EDGE_USE_DSP)\n#error "emitted for {target};' in _emitted(target).files["model.c"]


def test_target_with_scratch_for_smlad_needs_no_guard() -> None:
    assert "#error" not in _emitted("cortex-m4").files["model.c"]


def test_every_kernel_has_a_symbol_of_its_path() -> None:
    text = kernel_text("include", "edge_kernels.h")
    declared = re.findall(r"^void edge_k1_(\w+)\(", text, re.MULTILINE)
    assert re.findall(r"^#define edge_k1_(\w+) EDGE_SYMBOL\((\w+)\)", text, re.MULTILINE) == [
        (kernel, kernel) for kernel in declared
    ]


def test_emission_is_the_same_every_time() -> None:
    assert _emitted().files == _emitted().files


def test_unknown_target_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="cortex-m4"):
        find_target("z80")
