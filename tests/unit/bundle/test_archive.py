"""The archive has one byte sequence for given members, and the reader takes no other."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from edge_runtime.bundle.archive import ArchiveLimits, pack, unpack
from edge_runtime.errors import BundleFormatError

LIMITS = ArchiveLimits(archive_bytes=4096, member_bytes=1024, n_members=4)
MEMBERS = {"manifest.json": b"{}\n", "aux/table.npz": b"abc", "signature": b"s"}


def zip_by_others(members: dict[str, bytes], **arguments: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **arguments) as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def test_members_come_back() -> None:
    archive = unpack(pack(MEMBERS), LIMITS)
    archive.require_checksums()
    assert dict(archive.members) == MEMBERS


def test_order_of_members_does_not_matter() -> None:
    assert pack(MEMBERS) == pack(dict(reversed(MEMBERS.items())))


def test_any_unzip_tool_reads_it() -> None:
    with zipfile.ZipFile(io.BytesIO(pack(MEMBERS))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == MEMBERS


def test_members_are_readable_by_their_group_after_unzipping() -> None:
    with zipfile.ZipFile(io.BytesIO(pack(MEMBERS))) as archive:
        assert {info.external_attr >> 16 for info in archive.infolist()} == {0o100644}


@pytest.mark.parametrize(
    "name", ["", ".hidden", "/etc/passwd", "../up", "a//b", "a/b/c", "A", "ä", "a b", "a\n", "a" * 97]
)
def test_odd_name_is_not_written(name: str) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        pack({name: b""})


def test_file_beyond_the_limit_is_refused() -> None:
    with pytest.raises(BundleFormatError, match="4096 are allowed"):
        unpack(b"PK\x03\x04" + bytes(4093), LIMITS)


def test_member_beyond_the_limit_is_refused() -> None:
    with pytest.raises(BundleFormatError, match='"a" has 1025 bytes'):
        unpack(pack({"a": bytes(1025)}), LIMITS)


def test_too_many_members_are_refused() -> None:
    with pytest.raises(BundleFormatError, match="more than 4 members"):
        unpack(pack({f"m{index}": b"" for index in range(5)}), LIMITS)


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip at all", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(BundleFormatError):
        unpack(data, LIMITS)


@pytest.mark.parametrize("surplus", [b"\x00", b"PK\x03\x04", b"comment"])
def test_appended_bytes_are_refused(surplus: bytes) -> None:
    with pytest.raises(BundleFormatError):
        unpack(pack(MEMBERS) + surplus, LIMITS)


def test_prepended_bytes_are_refused() -> None:
    with pytest.raises(BundleFormatError, match="does not begin"):
        unpack(b"#!/bin/sh\n" + pack(MEMBERS), LIMITS)


def test_every_truncation_is_refused() -> None:
    data = pack(MEMBERS)
    for length in range(len(data)):
        with pytest.raises(BundleFormatError):
            unpack(data[:length], LIMITS)


def test_archive_of_another_tool_is_refused() -> None:
    with pytest.raises(BundleFormatError):
        unpack(zip_by_others({"a": b"1"}), LIMITS)


def test_compressed_member_is_refused() -> None:
    with pytest.raises(BundleFormatError):
        unpack(zip_by_others({"a": b"1" * 100}, compression=zipfile.ZIP_DEFLATED), LIMITS)


def test_member_twice_is_refused() -> None:
    one = pack({"a": b"1"})
    local = one[: one.index(b"PK\x01\x02")]
    with pytest.raises(BundleFormatError, match="twice or out of order"):
        unpack(local + one, LIMITS)


def test_unsorted_members_are_refused() -> None:
    one, two = pack({"a": b"1"}), pack({"b": b"1"})
    with pytest.raises(BundleFormatError, match="twice or out of order"):
        unpack(two[: two.index(b"PK\x01\x02")] + one, LIMITS)


def test_declared_size_beyond_the_file_is_refused_before_anything_is_copied() -> None:
    data = bytearray(pack({"a": b"1"}))
    struct.pack_into("<II", data, 18, 1000, 1000)
    with pytest.raises(BundleFormatError, match='ends inside member "a"'):
        unpack(bytes(data), LIMITS)


def test_wrong_checksum_is_refused() -> None:
    data = pack({"a": b"1"})
    archive = unpack(data.replace(struct.pack("<I", 0x83DCEFB7), struct.pack("<I", 1)), LIMITS)
    with pytest.raises(BundleFormatError, match='member "a": checksum'):
        archive.require_checksums()


@pytest.mark.parametrize("name", [b"..", b"A.", b"a\x00", b"\xff\xfe"])
def test_odd_name_is_refused(name: bytes) -> None:
    data = pack({"aa": b"1"})
    with pytest.raises(BundleFormatError, match="member name"):
        unpack(data.replace(b"aa", name), LIMITS)
