"""The instruction set is named by what changes the engines' kernels."""

from __future__ import annotations

import pytest

from edge_runtime.inference.instruction_set import current_instruction_set, instruction_set, parse_cpu_flags

AVX512 = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl", "avx2", "fma", "avx", "sse4_1"}


@pytest.mark.parametrize(
    ("machine", "flags", "name"),
    [
        ("x86_64", AVX512 | {"avx512_vnni", "amx_int8", "amx_tile"}, "x86-64-amx"),
        ("x86_64", AVX512 | {"avx512_vnni"}, "x86-64-avx512vnni"),
        ("x86_64", AVX512, "x86-64-avx512"),
        ("x86_64", {"avx_vnni", "avx2", "fma", "avx"}, "x86-64-avxvnni"),
        ("x86_64", {"avx2", "fma", "avx"}, "x86-64-avx2"),
        ("x86_64", {"avx2", "avx"}, "x86-64-avx"),
        ("x86_64", {"sse4_1"}, "x86-64-sse4.1"),
        ("x86_64", set(), "x86-64-baseline"),
        ("aarch64", {"asimd", "asimddp", "i8mm", "sme2"}, "aarch64-sme2"),
        ("aarch64", {"asimd", "asimddp", "i8mm"}, "aarch64-i8mm"),
        ("aarch64", {"asimd", "asimddp"}, "aarch64-dotprod"),
        ("aarch64", {"asimd"}, "aarch64-neon"),
        ("armv7l", {"neon", "vfpv4"}, "armv7l-neon"),
        ("riscv64", set(), "riscv64-baseline"),
    ],
)
def test_widest_level_is_named(machine: str, flags: set[str], name: str) -> None:
    assert instruction_set(machine, frozenset(flags)) == name


def test_flag_that_changes_no_kernel_changes_no_name() -> None:
    flags = frozenset({"avx2", "fma"})
    assert instruction_set("x86_64", flags | {"aes", "sha_ni", "rdseed"}) == instruction_set("x86_64", flags)


@pytest.mark.parametrize("text", ["", "processor: 0\n", "no colon at all"])
def test_file_without_flags_gives_none(text: str) -> None:
    assert parse_cpu_flags(text) == frozenset()


def test_this_machine_has_a_name() -> None:
    assert current_instruction_set() == current_instruction_set()
    assert "-" in current_instruction_set()
