"""The bounded FlatBuffer reader."""

from __future__ import annotations

import struct

import pytest

from firmware_bridge.flatbuffer import ModelFormatError, Table, root_table


def _file(table: bytes, vtable: bytes) -> bytes:
    """A root offset, an identifier, a vtable and a table behind each other."""
    position = 8 + len(vtable)
    return struct.pack("<I", position) + b"TFL3" + vtable + struct.pack("<i", len(vtable)) + table


def _one_field(payload: bytes) -> Table:
    vtable = struct.pack("<HHH", 6, 4 + len(payload), 4)
    return root_table(_file(payload, vtable + b"\0\0"), b"TFL3")


def test_present_field_is_read() -> None:
    assert _one_field(struct.pack("<i", -5)).integer(0, "<i") == -5


def test_absent_field_gives_its_default() -> None:
    assert _one_field(struct.pack("<i", -5)).integer(3, "<i", 17) == 17


def test_absent_real_field_is_zero() -> None:
    assert _one_field(struct.pack("<i", -5)).real(2) == 0.0


def test_other_identifier_is_refused() -> None:
    with pytest.raises(ModelFormatError, match=r"not a \.tflite file"):
        root_table(b"\x08\0\0\0ABCD\0\0\0\0", b"TFL3")


def test_root_outside_the_file_is_refused() -> None:
    with pytest.raises(ModelFormatError, match="root"):
        root_table(b"\xff\0\0\0TFL3", b"TFL3")


def test_list_longer_than_its_limit_is_refused() -> None:
    table = _one_field(struct.pack("<IIii", 4, 2, 1, 2))
    with pytest.raises(ModelFormatError, match="at most 1"):
        table.array(0, "<i4", 1)


def test_list_past_the_end_is_refused() -> None:
    table = _one_field(struct.pack("<II", 4, 900))
    with pytest.raises(ModelFormatError, match="past the end"):
        table.array(0, "<i4", 1000)


def test_list_is_read_in_order() -> None:
    table = _one_field(struct.pack("<IIii", 4, 2, 7, -8))
    assert table.array(0, "<i4", 10).tolist() == [7, -8]


def test_reference_outside_the_file_is_refused() -> None:
    table = _one_field(struct.pack("<I", 1 << 30))
    with pytest.raises(ModelFormatError, match="reference"):
        table.table(0)


def test_undecodable_text_is_replaced_not_raised() -> None:
    table = _one_field(struct.pack("<II", 4, 2) + b"\xff\xfe")
    assert len(table.text(0)) == 2
