"""The bundle format, byte for byte: a committed bundle is read and written again, and checked without our code."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.writer import write_bundle
from tests.bundles import SIGNER, TRUSTED

BUNDLE = Path(__file__).parent / "tiny-surface.edgebundle"
SHA256 = "c9f112b3ee70b9d0e5583bbb89b2bc14cbd11dfbacb9d600539a6d7a3ecc2432"


def test_committed_bundle_is_the_one_of_the_first_release() -> None:
    assert hashlib.sha256(BUNDLE.read_bytes()).hexdigest() == SHA256


def test_committed_bundle_is_read() -> None:
    bundle = read_bundle(BUNDLE.read_bytes(), TRUSTED)
    assert (bundle.manifest.name, bundle.digest) == ("tiny-surface", SHA256)


def test_bundle_is_written_again_to_the_same_bytes() -> None:
    bundle = read_bundle(BUNDLE.read_bytes(), TRUSTED)
    assert write_bundle(json.loads(bundle.manifest_bytes), bundle.members, SIGNER) == BUNDLE.read_bytes()


def test_bundle_is_checked_with_public_tools_alone() -> None:
    with zipfile.ZipFile(BUNDLE) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest, signature = members.pop("manifest.json"), json.loads(members.pop("signature"))
    raw = SIGNER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert signature["key_id"] == hashlib.sha256(raw).hexdigest()[:16]
    Ed25519PublicKey.from_public_bytes(raw).verify(bytes.fromhex(signature["signature"]), manifest)
    stated = json.loads(manifest)["members"]
    assert {name: (hashlib.sha256(content).hexdigest(), len(content)) for name, content in members.items()} == {
        name: (entry["sha256"], entry["size_bytes"]) for name, entry in stated.items()
    }


def test_golden_vectors_are_read_with_numpy_alone() -> None:
    with zipfile.ZipFile(BUNDLE) as archive, np.load(io.BytesIO(archive.read("golden.npz"))) as arrays:
        assert {name: arrays[name].shape for name in arrays} == {
            "float_0": (6, 3),
            "input_0": (6, 8, 8, 3),
            "recorded_output_0": (6, 3),
        }


def test_members_of_the_archive_are_in_order_and_without_time() -> None:
    with zipfile.ZipFile(BUNDLE) as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
