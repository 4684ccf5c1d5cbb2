"""A bundle is read in a fixed order, within limits, and only when everything fits."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from edge_runtime.bundle.archive import ArchiveLimits, pack, unpack
from edge_runtime.bundle.manifest import canonical_json
from edge_runtime.bundle.reader import LIMITS, read_bundle, read_unverified
from edge_runtime.bundle.signature import sign
from edge_runtime.errors import BundleFormatError, BundleIntegrityError, BundleSignatureError
from tests.bundles import LABELS, SIGNER, STRANGER, TRUSTED, image_bundle, window_bundle


def members_of(data: bytes) -> dict[str, bytes]:
    return dict(unpack(data, LIMITS).members)


def signed(members: dict[str, bytes], tree: Any = None, *, text: bytes | None = None) -> bytes:
    """Sign whatever is given, also what the writer would refuse."""
    manifest = members["manifest.json"] if tree is None else canonical_json(tree)
    manifest = manifest if text is None else text
    return pack({**members, "manifest.json": manifest, "signature": sign(manifest, SIGNER)})


def tree_of(data: bytes) -> Any:
    return json.loads(members_of(data)["manifest.json"])


def test_bundle_comes_back_with_its_manifest_and_members() -> None:
    data = image_bundle()
    bundle = read_bundle(data, TRUSTED)
    assert bundle.verified
    assert bundle.manifest.labels == LABELS
    assert sorted(bundle.members) == ["golden.npz", "labels.txt", "model.tflite"]
    assert bundle.digest == hashlib.sha256(data).hexdigest()


def test_window_bundle_comes_back() -> None:
    assert read_bundle(window_bundle(), TRUSTED).manifest.task == "regression"


def test_model_is_given_by_format() -> None:
    bundle = read_bundle(image_bundle(), TRUSTED)
    found = bundle.model("tflite")
    assert found is not None
    assert found[1] == bundle.members["model.tflite"]
    assert bundle.model("onnx") is None


def test_golden_vectors_have_samples_on_the_first_axis() -> None:
    golden = read_bundle(image_bundle(), TRUSTED).golden()
    assert [array.shape for array in golden.inputs] == [(6, 8, 8, 3)]
    assert [array.shape for array in golden.references] == [(6, 3)]
    assert [array.shape for array in golden.outputs["recorded"]] == [(6, 3)]


def test_stranger_is_refused_before_digests_are_looked_at() -> None:
    members = members_of(image_bundle(key=STRANGER))
    with pytest.raises(BundleSignatureError, match="not trusted"):
        read_bundle(pack({**members, "model.tflite": b"changed"}), TRUSTED)


def test_signature_is_checked_before_the_manifest_is_decoded() -> None:
    members = members_of(image_bundle())
    with pytest.raises(BundleSignatureError, match="does not fit"):
        read_bundle(pack({**members, "manifest.json": b"not json"}), TRUSTED)


def test_digests_are_checked_before_the_manifest_is_judged() -> None:
    members, tree = members_of(image_bundle()), tree_of(image_bundle())
    tree["preprocessing"]["std"] = [0.0, 0.0, 0.0]
    with pytest.raises(BundleIntegrityError, match=r"model\.tflite"):
        read_bundle(signed({**members, "model.tflite": b"changed"}, tree), TRUSTED)


def test_missing_manifest_is_refused() -> None:
    with pytest.raises(BundleFormatError, match=r'no "manifest\.json"'):
        read_bundle(pack({"signature": b"x"}), TRUSTED)


def test_missing_signature_is_refused() -> None:
    members = members_of(image_bundle())
    del members["signature"]
    with pytest.raises(BundleSignatureError, match="not signed"):
        read_bundle(pack(members), TRUSTED)


@pytest.mark.parametrize("name", ["model.tflite", "golden.npz", "labels.txt"])
def test_changed_member_is_refused_by_name(name: str) -> None:
    members = members_of(image_bundle())
    with pytest.raises(BundleIntegrityError, match=name):
        read_bundle(pack({**members, name: members[name] + b" "}), TRUSTED)


def test_missing_member_is_refused_by_name() -> None:
    members = members_of(image_bundle())
    del members["model.tflite"]
    with pytest.raises(BundleIntegrityError, match=r"missing \['model\.tflite'\]"):
        read_bundle(pack(members), TRUSTED)


def test_surplus_member_is_refused_by_name() -> None:
    members = members_of(image_bundle())
    with pytest.raises(BundleIntegrityError, match=r"not listed \['aux/more'\]"):
        read_bundle(pack({**members, "aux/more": b""}), TRUSTED)


def test_unknown_keys_of_a_newer_manifest_are_kept_in_its_bytes() -> None:
    members, tree = members_of(image_bundle()), tree_of(image_bundle())
    tree["future"] = {"key": [1, 2]}
    bundle = read_bundle(signed(members, tree), TRUSTED)
    assert json.loads(bundle.manifest_bytes)["future"] == {"key": [1, 2]}


def test_manifest_that_is_not_canonical_is_refused() -> None:
    members = members_of(image_bundle())
    text = json.dumps(json.loads(members["manifest.json"]), indent=1).encode()
    with pytest.raises(BundleFormatError, match="canonical"):
        read_bundle(signed(members, text=text), TRUSTED)


def test_key_twice_in_the_manifest_is_refused() -> None:
    members = members_of(image_bundle())
    text = members["manifest.json"].replace(b'"release":1,', b'"release":1,"release":2,')
    with pytest.raises(BundleFormatError, match="canonical"):
        read_bundle(signed(members, text=text), TRUSTED)


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"a":' * 50_000, b'{"release":' + b"9" * 5000 + b"}"]
)
def test_manifest_that_cannot_be_decoded_is_refused(text: bytes) -> None:
    with pytest.raises(BundleFormatError, match="manifest"):
        read_bundle(signed(members_of(image_bundle()), text=text), TRUSTED)


def test_number_beyond_floats_in_the_manifest_is_refused() -> None:
    members = members_of(image_bundle())
    text = members["manifest.json"].replace(b'"value":0.95', b'"value":1e999')
    with pytest.raises(BundleFormatError, match="manifest"):
        read_bundle(signed(members, text=text), TRUSTED)


def test_newer_schema_is_told_from_a_broken_one() -> None:
    members, tree = members_of(image_bundle()), tree_of(image_bundle())
    tree["schema"] = "edge.bundle/2"
    with pytest.raises(BundleFormatError, match="update the runtime"):
        read_bundle(signed(members, tree), TRUSTED)


def test_wrong_type_in_the_manifest_is_named_with_its_path() -> None:
    members, tree = members_of(image_bundle()), tree_of(image_bundle())
    tree["release"] = "7"
    with pytest.raises(BundleFormatError, match=r"\$\.release"):
        read_bundle(signed(members, tree), TRUSTED)


def test_huge_manifest_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(BundleFormatError, match="1048576 are allowed"):
        read_bundle(signed(members_of(image_bundle()), text=b" " * ((1 << 20) + 1)), TRUSTED)


def test_huge_file_is_refused_before_it_is_read() -> None:
    with pytest.raises(BundleFormatError, match="16777216 are allowed"):
        read_bundle(bytes((16 << 20) + 1), TRUSTED)


def test_limits_can_be_narrower() -> None:
    with pytest.raises(BundleFormatError, match="100 are allowed"):
        read_bundle(image_bundle(), TRUSTED, limits=ArchiveLimits(archive_bytes=100))


def test_contradictions_are_listed_together() -> None:
    members, tree = members_of(image_bundle()), tree_of(image_bundle())
    tree["preprocessing"]["std"] = [0.0, 1.0]
    tree["decision"]["normal"] = ["perfect"]
    with pytest.raises(BundleFormatError) as caught:
        read_bundle(signed(members, tree), TRUSTED)
    assert "$.preprocessing.std" in str(caught.value)
    assert "$.decision.normal" in str(caught.value)


def test_labels_file_must_agree_with_the_manifest() -> None:
    members, tree = members_of(image_bundle()), tree_of(image_bundle())
    other = b"good\nstain\ncrack\n"
    tree["members"]["labels.txt"] = {"sha256": hashlib.sha256(other).hexdigest(), "size_bytes": len(other)}
    with pytest.raises(BundleFormatError, match=r"labels\.txt"):
        read_bundle(signed({**members, "labels.txt": other}, tree), TRUSTED)


def test_unverified_reading_says_so() -> None:
    bundle = read_unverified(image_bundle(key=STRANGER))
    assert not bundle.verified


def test_unverified_reading_still_checks_digests() -> None:
    members = members_of(image_bundle())
    with pytest.raises(BundleIntegrityError):
        read_unverified(pack({**members, "model.tflite": b""}))
