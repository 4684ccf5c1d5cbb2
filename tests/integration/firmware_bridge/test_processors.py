"""Emitted C on Cortex-M0+ and Cortex-M4 with packages from PyPI alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.errors import FirmwareError
from firmware_bridge.conformance.graphs import random_model, variable_model
from firmware_bridge.directory import read_manifest
from firmware_bridge.emulator import PROCESSORS, link_image, missing_packages, run_commands, verify_processor
from firmware_bridge.reference import run_reference
from firmware_bridge.samples import make_samples
from firmware_bridge.source import read_source
from firmware_bridge.verify import require_agreement, verify_directory
from tests.integration.firmware_bridge.places import (
    MODELS,
    RELEASED,
    emitted,
    emitted_source,
    require,
    require_host,
)

pytestmark = [pytest.mark.compiler, pytest.mark.timeout(300)]

TARGET_OF = {"unicorn-m0plus": "cortex-m0plus", "unicorn-m4": "cortex-m4"}
#: Loads a word from an address that is no multiple of four, as a compiler would for a wrongly cast pointer.
_UNALIGNED = """
#include <stdint.h>
int give(const uint8_t *from, int32_t bytes);
int run(void);
static uint32_t words[2];
int run(void) {
  volatile uintptr_t at = (uintptr_t)words + OFFSET;
  const uint32_t word = *(volatile uint32_t *)at;
  return give((const uint8_t *)&word, 4);
}
"""


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_host()
    require(missing_packages())


@pytest.mark.parametrize("place", PROCESSORS)
@pytest.mark.parametrize("seed", range(100, 103))
def test_random_graph_is_exact(place: str, seed: int, tmp_path: Path) -> None:
    emitted(random_model(seed), tmp_path, target=TARGET_OF[place], ram_kb=8192)
    require_agreement(verify_directory(tmp_path, (place,), seeded=16, seed=seed, litert=False))


@pytest.mark.parametrize("place", PROCESSORS)
def test_resource_variables_are_kept_over_invocations(place: str, tmp_path: Path) -> None:
    emitted(variable_model(3, initialised=True), tmp_path, target=TARGET_OF[place])
    require_agreement(verify_directory(tmp_path, (place,), seeded=64, litert=False))


@pytest.mark.parametrize("place", PROCESSORS)
@pytest.mark.parametrize("name", RELEASED)
def test_released_bundle_is_exact(place: str, name: str, tmp_path: Path, project: Path) -> None:
    source = read_source(project / "models" / name / f"{name}.edgebundle", None)
    emitted_source(source, tmp_path, target=TARGET_OF[place], ram_kb=128)
    require_agreement(verify_directory(tmp_path, (place,), seeded=2, litert=False))


@pytest.mark.shared_data
@pytest.mark.parametrize("model", MODELS)
def test_public_model_is_exact(model: str, tmp_path: Path, shared_data: Path) -> None:
    emitted((shared_data / "models" / MODELS[model]).read_bytes(), tmp_path, target="cortex-m4")
    require_agreement(verify_directory(tmp_path, ("unicorn-m4",), seeded=2, litert=False))


def test_portable_path_gives_the_same(tmp_path: Path) -> None:
    data = random_model(101)
    emitted(data, tmp_path)
    manifest = read_manifest(tmp_path)
    records = make_samples(manifest.inputs, 8, 0)
    portable = verify_processor(PROCESSORS["unicorn-m4"], tmp_path, manifest, records, {0}, portable=True)
    expected = run_reference(data, records)
    assert all((a[0] == b[0].reshape(a[0].shape)).all() for a, b in zip(portable, expected, strict=True))


def _load_at(place: str, offset: int, work: Path) -> bytes:
    (work / "unaligned.c").write_text(_UNALIGNED.replace("OFFSET", str(offset)))
    image = link_image(PROCESSORS[place], [str(work / "unaligned.c")], [], work)
    return run_commands(PROCESSORS[place], image, b"", 4)


def test_unaligned_word_stops_the_emulated_cortex_m0(tmp_path: Path) -> None:
    assert _load_at("unicorn-m0plus", 4, tmp_path) == bytes(4)
    with pytest.raises(FirmwareError, match=r"Cortex-M0\+ stopped"):
        _load_at("unicorn-m0plus", 1, tmp_path)


def test_unaligned_word_is_loaded_by_the_emulated_cortex_m4(tmp_path: Path) -> None:
    assert _load_at("unicorn-m4", 1, tmp_path) == bytes(4)
