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


def test_bundle_gives_its_model_name_and_recorded_outputs(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(TRUSTED_PEM)
    (tmp_path / "tiny.edgebundle").write_bytes(image_bundle())
    source = read_source(tmp_path / "tiny.edgebundle", tmp_path / "key.pem")
    assert (source.name, source.warning) == ("tiny-surface", "")
    assert source.golden[0].source.startswith("litert")
    assert source.golden[0].inputs[0][0].shape == (1, 8, 8, 3)


def test_bundle_by_a_stranger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(public_pem(STRANGER))
    (tmp_path / "tiny.edgebundle").write_bytes(image_bundle())
    with pytest.raises(BundleSignatureError):
        read_source(tmp_path / "tiny.edgebundle", tmp_path / "key.pem")


def test_bundle_without_a_key_is_read_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "tiny.edgebundle").write_bytes(image_bundle())
    assert "not checked" in read_source(tmp_path / "tiny.edgebundle", None).warning


def test_file_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.tflite"
    with path.open("wb") as stream:
        stream.truncate((64 << 20) + 1)
    with pytest.raises(FirmwareError, match="more than"):
        read_source(path, None)
