"""Canonical JSON is one byte sequence per tree, and any manifest is decoded or refused with our error."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.bundle.manifest import canonical_json
from edge_runtime.bundle.reader import decode_manifest, read_bundle
from edge_runtime.bundle.signature import parse_signature, sign
from edge_runtime.errors import BundleFormatError, BundleSignatureError
from tests.bundles import SIGNER, TRUSTED, image_bundle

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
trees = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text("abc", max_size=3), inner))
)
SOUND = json.loads(read_bundle(image_bundle(), TRUSTED).manifest_bytes)


@given(trees)
def test_canonical_json_is_read_back(tree: Any) -> None:
    assert json.loads(canonical_json(tree)) == tree


@given(trees)
def test_canonical_json_is_a_fixed_point(tree: Any) -> None:
    text = canonical_json(tree)
    assert canonical_json(json.loads(text)) == text


@given(st.sampled_from(sorted(SOUND)), trees)
def test_manifest_with_any_field_replaced_is_decoded_or_refused_with_our_error(field: str, value: Any) -> None:
    with contextlib.suppress(BundleFormatError):
        decode_manifest(canonical_json({**SOUND, field: value}))


@given(st.binary(max_size=200))
def test_any_bytes_as_manifest_are_refused_with_our_error(data: bytes) -> None:
    with contextlib.suppress(BundleFormatError):
        decode_manifest(data)


@given(st.binary(max_size=200))
def test_any_bytes_as_signature_are_refused_with_our_error(data: bytes) -> None:
    with contextlib.suppress(BundleSignatureError):
        parse_signature(data)


@given(st.binary(max_size=200), st.integers(0, 8 * 64 - 1))
def test_signature_fits_its_message_only(message: bytes, bit: int) -> None:
    member = sign(message, SIGNER)
    assert TRUSTED.verify(message, member)
    start = member.index(b'"signature":"') + 13
    raw = bytearray.fromhex(member[start : start + 128].decode())
    raw[bit // 8] ^= 1 << bit % 8
    forged = member[:start] + raw.hex().encode() + member[start + 128 :]
    with contextlib.suppress(BundleSignatureError):
        TRUSTED.verify(message, forged)
        raise AssertionError("a forged signature was accepted")
