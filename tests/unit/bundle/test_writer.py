"""Writing a bundle is reproducible and refuses what no gateway would take."""

from __future__ import annotations

import hashlib
import json

import msgspec
import pytest

from edge_runtime.bundle.manifest import Manifest
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.signature import TrustedKeys
from edge_runtime.bundle.writer import sign_again, write_bundle
from edge_runtime.errors import BundleFormatError, BundleSignatureError
from tests.bundles import SIGNER, STRANGER, TRUSTED, image_bundle, image_model


def test_equal_input_gives_equal_bytes() -> None:
    assert image_bundle() == image_bundle()


def test_order_of_members_and_fields_does_not_matter() -> None:
    model = image_model()
    tree = dict(reversed(msgspec.to_builtins(model.manifest).items()))
    assert write_bundle(tree, dict(reversed(list(model.members.items()))), SIGNER) == image_bundle()


def test_fields_may_be_given_as_plain_values() -> None:
    model = image_model()
    assert write_bundle(msgspec.to_builtins(model.manifest), model.members, SIGNER) == image_bundle()


def test_digests_and_sizes_are_filled_in() -> None:
    members = read_bundle(image_bundle(), TRUSTED).manifest.members
    model = image_model().members["model.tflite"]
    assert members["model.tflite"].sha256 == hashlib.sha256(model).hexdigest()
    assert members["model.tflite"].size_bytes == len(model)


def test_labels_file_is_added() -> None:
    model = image_model()
    members = {name: content for name, content in model.members.items() if name != "labels.txt"}
    assert write_bundle(model.manifest, members, SIGNER) == image_bundle()


def test_unknown_keys_are_written_back() -> None:
    model = image_model()
    tree = msgspec.to_builtins(model.manifest) | {"future": 1}
    bundle = read_bundle(write_bundle(tree, model.members, SIGNER), TRUSTED)
    assert json.loads(bundle.manifest_bytes)["future"] == 1


def test_auxiliary_members_are_carried() -> None:
    model = image_model()
    data = write_bundle(model.manifest, {**model.members, "aux/bank.npz": b"memory"}, SIGNER)
    assert read_bundle(data, TRUSTED).members["aux/bank.npz"] == b"memory"


@pytest.mark.parametrize("name", ["manifest.json", "signature"])
def test_own_members_cannot_be_given(name: str) -> None:
    model = image_model()
    with pytest.raises(BundleFormatError, match="leave it out"):
        write_bundle(model.manifest, {**model.members, name: b""}, SIGNER)


@pytest.mark.parametrize("name", ["../x", "Model.tflite", "a/b/c"])
def test_odd_member_name_is_refused(name: str) -> None:
    model = image_model()
    with pytest.raises(BundleFormatError, match="name"):
        write_bundle(model.manifest, {**model.members, name: b""}, SIGNER)


def test_number_that_is_not_finite_is_refused_with_its_path() -> None:
    with pytest.raises(BundleFormatError, match=r"\$\.provenance\.loss: nan"):
        image_bundle(provenance={"loss": float("nan")})


def test_contradiction_is_refused_with_its_path() -> None:
    with pytest.raises(BundleFormatError, match=r"\$\.labels: 2 labels"):
        image_bundle(labels=("good", "crack"))


def test_missing_field_is_refused_with_its_path() -> None:
    model = image_model()
    tree = msgspec.to_builtins(model.manifest)
    del tree["task"]
    with pytest.raises(BundleFormatError, match="task"):
        write_bundle(tree, model.members, SIGNER)


def test_bundle_beyond_the_limit_is_refused() -> None:
    model = image_model()
    with pytest.raises(BundleFormatError, match="16777216 are allowed"):
        write_bundle(model.manifest, {**model.members, "aux/large": bytes(16 << 20)}, SIGNER)


def test_another_key_changes_the_signature_only() -> None:
    first, second = image_bundle(), image_bundle(key=STRANGER)
    trusting_both = TrustedKeys([SIGNER.public_key(), STRANGER.public_key()])
    assert read_bundle(first, trusting_both).manifest_bytes == read_bundle(second, trusting_both).manifest_bytes


def test_signing_again_equals_signing_with_the_new_key_at_once() -> None:
    assert sign_again(image_bundle(key=STRANGER), SIGNER) == image_bundle()


def test_what_has_no_signature_cannot_be_signed_again() -> None:
    data = image_bundle().replace(b"signature", b"signaturf")
    with pytest.raises((BundleSignatureError, BundleFormatError)):
        sign_again(data, SIGNER)


def test_written_manifest_equals_the_given_one_but_for_the_members() -> None:
    model = image_model()
    manifest: Manifest = read_bundle(image_bundle(), TRUSTED).manifest
    assert msgspec.structs.replace(manifest, members={}) == model.manifest
