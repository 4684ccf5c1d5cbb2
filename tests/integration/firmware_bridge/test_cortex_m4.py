"""Emitted C on a Cortex-M4 with packages from PyPI alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_bridge.build import read_manifest
from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.emulator import missing_packages, verify_cortex_m4
from firmware_bridge.reference import run_reference
from firmware_bridge.samples import make_samples
from firmware_bridge.verify import require_agreement, verify_directory
from tests.integration.firmware_bridge.places import MODELS, emitted, require, require_host

pytestmark = [pytest.mark.compiler, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
def _tools() -> None:
    require_host()
    require(missing_packages())


@pytest.mark.parametrize("seed", range(100, 108))
def test_random_graph_is_exact(seed: int, tmp_path: Path) -> None:
    emitted(random_model(seed), tmp_path)
    require_agreement(verify_directory(tmp_path, ("unicorn-m4",), seeded=16, seed=seed))


@pytest.mark.shared_data
@pytest.mark.parametrize("model", MODELS)
def test_public_model_is_exact(model: str, tmp_path: Path, shared_data: Path) -> None:
    emitted((shared_data / "models" / MODELS[model]).read_bytes(), tmp_path, target="cortex-m4")
    require_agreement(verify_directory(tmp_path, ("unicorn-m4",), seeded=2))


def test_portable_path_gives_the_same(tmp_path: Path) -> None:
    data = random_model(101)
    emitted(data, tmp_path)
    manifest = read_manifest(tmp_path)
    records = make_samples(manifest.inputs, 8, 0)
    portable = verify_cortex_m4(tmp_path, manifest, records, {0}, portable=True)
    expected = run_reference(data, records)
    assert all((a[0] == b[0].reshape(a[0].shape)).all() for a, b in zip(portable, expected, strict=True))
