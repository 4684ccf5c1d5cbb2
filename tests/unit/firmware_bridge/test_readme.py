"""The README of an emitted directory says everything that an application needs."""

from __future__ import annotations

import re

import pytest

from edge_runtime.errors import FirmwareError
from firmware_bridge.build import prepare
from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.emit import emit_program
from firmware_bridge.footprint import deepest_stack
from firmware_bridge.readme import readme_text
from firmware_bridge.targets import Footprint, find_target

TARGET = find_target("cortex-m4")
PREPARED = prepare(random_model(0), TARGET)
EMISSION = emit_program(PREPARED.program, PREPARED.plan, TARGET, "net")


def test_every_function_of_the_header_is_listed_with_its_signature() -> None:
    header, readme = EMISSION.files["model.h"], EMISSION.files["README.md"]
    signatures = re.findall(r"^(?:static inline )?([a-z_0-9 ]+\*? ?net_\w+\([^)]*\))", header, re.MULTILINE)
    assert len(signatures) >= 5
    assert [signature for signature in signatures if f"`{signature}`" not in readme] == []


def test_every_constant_of_the_header_is_listed_with_its_value() -> None:
    header, readme = EMISSION.files["model.h"], EMISSION.files["README.md"]
    constants = dict(re.findall(r"^(?:#define|  )\s*(NET_(?!MODEL_H)\w+)(?: =)? \(?([-0-9.e]+)", header, re.MULTILINE))
    assert {"NET_OK", "NET_ERROR_NULL", "NET_ERROR_ALIGNMENT", "NET_ARENA_BYTES", "NET_OUTPUT0_SCALE"} <= set(constants)
    rows = dict(re.findall(r"^\| `(NET_\w+)` \| (\S+) \|", readme, re.MULTILINE))
    assert {name: float(value) for name, value in rows.items()} == {n: float(v) for n, v in constants.items()}


def test_without_a_compiler_it_says_how_flash_and_stack_are_measured() -> None:
    readme = readme_text(EMISSION.manifest, TARGET, PREPARED.plan)
    assert "edge-firmware verify DIR --on BOARD" in readme
    assert "-fstack-usage" in readme


def test_flash_with_kernels_and_stack_are_told_with_their_compiler() -> None:
    readme = readme_text(EMISSION.manifest, TARGET, PREPARED.plan, Footprint("some-gcc 1.2 -O2", 3000, 500, 321))
    assert "| flash: model | 3000 |" in readme
    assert "| flash: kernels (shared by several models) | 500 |" in readme
    assert "| 3500 |" in readme
    assert "| stack of one invocation, without the C library | 321 |" in readme
    assert "`some-gcc 1.2 -O2`" in readme


_GRAPHS = (
    (
        'node: { title: "go" label: "go\\nm.c:1:1\\n24 bytes (static)" }\n'
        'node: { title: "weak" label: "weak\\nk.h:1:1" shape : ellipse }\n'
        'edge: { sourcename: "go" targetname: "weak" label: "m.c:3:1" }\n'
        'edge: { sourcename: "go" targetname: "memcpy" }\n'
    ),
    (
        'node: { title: "/k.c:leaf" label: "leaf\\nk.c:1:1\\n100 bytes (static)" }\n'
        'node: { title: "/k.c:weak" label: "weak\\nk.c:9:1\\n8 bytes (static)" }\n'
        'edge: { sourcename: "/k.c:weak" targetname: "/k.c:leaf" }\n'
    ),
)


def test_frames_are_added_along_the_deepest_chain_of_calls() -> None:
    assert deepest_stack(_GRAPHS, "go") == 132


def test_calls_in_a_circle_have_no_depth() -> None:
    circle = 'edge: { sourcename: "/k.c:leaf" targetname: "/k.c:weak" }\n'
    with pytest.raises(FirmwareError, match="in a circle"):
        deepest_stack([*_GRAPHS, circle], "go")


def test_missing_entry_is_an_error() -> None:
    with pytest.raises(FirmwareError, match="not in the compiler's call graph"):
        deepest_stack(_GRAPHS, "other")
