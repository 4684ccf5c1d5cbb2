"""Whatever bytes come, the archive and its arrays are read exactly or refused with our error."""

from __future__ import annotations

import contextlib
import string

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from edge_runtime.bundle.archive import ArchiveLimits, pack, unpack
from edge_runtime.bundle.arrays import Array, pack_arrays, unpack_arrays
from edge_runtime.bundle.reader import read_bundle, read_unverified
from edge_runtime.errors import BundleError, BundleFormatError
from tests.bundles import TRUSTED, image_bundle

LIMITS = ArchiveLimits(archive_bytes=1 << 16, member_bytes=1 << 16, n_members=16)
SOUND = image_bundle()

words = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
names = st.one_of(words, st.tuples(words, words).map("/".join))
members = st.dictionaries(names, st.binary(max_size=200), min_size=1, max_size=8)
dtypes = st.sampled_from(["int8", "uint8", "int16", "int32", "int64", "float32", "bool"]).map(np.dtype)
shapes = arrays_of.array_shapes(min_dims=0, max_dims=4, max_side=4)
arrays = dtypes.flatmap(lambda dtype: arrays_of.arrays(dtype, shapes))


@st.composite
def edits(draw: st.DrawFn, original: bytes) -> bytes:
    """Replace, insert or remove a few bytes somewhere."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.integers(0, 6)))
        data[start:stop] = draw(st.binary(max_size=6))
    return bytes(data)


@given(members)
def test_members_come_back(content: dict[str, bytes]) -> None:
    archive = unpack(pack(content), LIMITS)
    archive.require_checksums()
    assert dict(archive.members) == content


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_with_our_error(data: bytes) -> None:
    with contextlib.suppress(BundleFormatError):
        unpack(b"PK\x03\x04" + data, LIMITS)


@given(members.flatmap(lambda content: edits(pack(content))))
def test_what_is_accepted_is_what_would_have_been_written(data: bytes) -> None:
    with contextlib.suppress(BundleFormatError):
        archive = unpack(data, LIMITS)
        archive.require_checksums()
        assert pack(archive.members) == data


def forms(content: dict[str, Array]) -> dict[str, tuple[object, ...]]:
    return {name: (each.dtype, each.shape, each.tobytes()) for name, each in content.items()}


@given(st.dictionaries(words, arrays, min_size=1, max_size=4))
def test_arrays_come_back(content: dict[str, Array]) -> None:
    assert forms(unpack_arrays(pack_arrays(content), LIMITS)) == forms(content)


@given(edits(pack_arrays({"x": np.arange(12, dtype=np.int16).reshape(3, 4)})))
def test_edited_arrays_are_read_or_refused_with_our_error(data: bytes) -> None:
    with contextlib.suppress(BundleFormatError):
        unpack_arrays(data, LIMITS)


@given(st.binary(max_size=300))
def test_any_array_header_is_refused_with_our_error(header: bytes) -> None:
    with contextlib.suppress(BundleFormatError):
        unpack_arrays(pack({"x.npy": b"\x93NUMPY\x01\x00" + header}), LIMITS)


@settings(max_examples=200)
@given(edits(SOUND))
def test_edited_bundle_is_refused_with_our_error(data: bytes) -> None:
    try:
        read_bundle(data, TRUSTED)
    except BundleError:
        return
    assert data == SOUND


@settings(max_examples=200)
@given(edits(SOUND))
def test_inspection_of_an_edited_bundle_ends_with_our_error_or_a_bundle(data: bytes) -> None:
    with contextlib.suppress(BundleError):
        assert not read_unverified(data).verified
