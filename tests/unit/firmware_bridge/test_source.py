"""Where models come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.bundle.signature import public_pem
from edge_runtime.errors import BundleSignatureError, FirmwareError, HostEnvironmentError
from firmware_bridge.source import read_source
from tests.bundles import STRANGER, TRUSTED_PEM, image_bundle
from tests.unit.firmware_bridge.small_models import chain_model


def test_plain_file_has_no_golden_vectors(tmp_path: Path) -> None:
    path = tmp_path / "pump.tflite"
    path.write_bytes(chain_model())
    source = read_source(path, None)
    assert (source.name, source.golden, source.warning) == ("pump", (), "")


def test_missing_file_is_an_environment_error(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError):
        read_source(tmp_path / "none", None)
