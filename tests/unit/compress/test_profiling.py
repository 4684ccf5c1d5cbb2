"""A profile is measured in a child process, and a bundle's only when its signer is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.signature import TrustedKeys
from edge_runtime.compress.profiling import profile_file
from edge_runtime.errors import BundleSignatureError
from tests.bundles import STRANGER, TRUSTED, image_bundle


def test_a_trusted_bundle_has_times_memory_and_operators(tmp_path: Path) -> None:
    path = tmp_path / "net.edgebundle"
    path.write_bytes(image_bundle())
    (found,) = profile_file(path, TRUSTED)
    assert 0 < found.footprint.p50_ms <= found.footprint.p95_ms
    assert found.as_json()["operators"]
    assert "integer" in found.as_text()


@pytest.mark.parametrize("trusted", [None, TrustedKeys([STRANGER.public_key()])])
def test_a_bundle_of_a_signer_that_nobody_trusts_is_not_run(tmp_path: Path, trusted: TrustedKeys | None) -> None:
    path = tmp_path / "net.edgebundle"
    path.write_bytes(image_bundle())
    with pytest.raises(BundleSignatureError):
        profile_file(path, trusted)


def test_a_bare_model_needs_no_key(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    model = read_bundle(image_bundle(), TRUSTED).model("tflite")
    assert model is not None
    path.write_bytes(model[1])
    (found,) = profile_file(path, None)
    assert (found.member, found.size_bytes) == ("net.tflite", len(model[1]))
