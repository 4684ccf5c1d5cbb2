"""Packets from a device."""

from __future__ import annotations

import pytest

from edge_runtime.errors import LinkError
from firmware_bridge.packet import crc16, decode_finding, split_frames, unstuff

PAYLOAD = bytes([1, 1, 5, 0, 1, 255, 1, 2, 3, 4, 5, 6, 7, 0xF8])


def _stuffed(data: bytes) -> bytes:
    """Consistent overhead byte stuffing, written apart from the reader."""
    frame = bytearray()
    for run in data.split(b"\0"):
        frame.append(len(run) + 1)
        frame += run
    return bytes(frame)


def _packet(payload: bytes = PAYLOAD) -> bytes:
    return _stuffed(payload + crc16(payload).to_bytes(2, "little"))


def test_finding_is_decoded() -> None:
    finding = decode_finding(_packet())
    assert (finding.sequence, finding.label, finding.score) == (5, 1, 1.0)
    assert finding.features == (1, 2, 3, 4, 5, 6, 7, -8)


def test_crc_is_ccitt_false() -> None:
    assert crc16(b"123456789") == 0x29B1


@pytest.mark.parametrize("data", [b"", b"\0", b"a\0b", b"\0\0", bytes(range(1, 200))])
def test_stuffing_is_undone(data: bytes) -> None:
    assert unstuff(_stuffed(data)) == data


@pytest.mark.parametrize("at", range(16))
def test_any_changed_byte_is_noticed(at: int) -> None:
    frame = bytearray(_packet())
    frame[at] ^= 0x10
    with pytest.raises(LinkError):
        decode_finding(bytes(frame))


def test_other_version_is_refused_by_number() -> None:
    with pytest.raises(LinkError, match="version 2"):
        decode_finding(_packet(bytes([2]) + PAYLOAD[1:]))


def test_frame_that_is_too_long_is_refused() -> None:
    with pytest.raises(LinkError, match="too long"):
        unstuff(bytes([1]) * 300)


def test_unfinished_frame_is_left_out() -> None:
    assert split_frames(b"ab\0cd\0ef") == [b"ab", b"cd"]
