"""Findings from a device's serial line: COBS frames with a CRC-16, as ``docs/formats/firmware-packet.md`` specifies."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from edge_runtime.errors import LinkError

VERSION: Final = 1
FINDING: Final = 1
MAX_FRAME_BYTES: Final = 254
_PAYLOAD: Final = struct.Struct("<BBHBB8b")


@dataclass(frozen=True, slots=True)
class DeviceFinding:
    """One finding of a device.

    Attributes
    ----------
    sequence : int
        0..65535, one more per window, wraps.
    label : int
        Index of the class.
    score : float
        Its share, 0..1.
    features : tuple of int
        Codes that the model was given.
    """

    sequence: int
    label: int
    score: float
    features: tuple[int, ...]


def crc16(data: bytes) -> int:
    """CRC-16/CCITT-FALSE.

    Parameters
    ----------
    data : bytes
        Any.

    Examples
    --------
    >>> hex(crc16(b"123456789"))
    '0x29b1'
    """
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


def unstuff(frame: bytes) -> bytes:
    """Undo consistent overhead byte stuffing.

    Parameters
    ----------
    frame : bytes
        One frame without its closing zero.

    Raises
    ------
    LinkError
        When the frame is longer than 254 bytes, contains a zero or ends early.
    """
    if len(frame) > MAX_FRAME_BYTES or 0 in frame:
        raise LinkError("a frame from the device is too long or contains a zero; wait for the next one")
    data, at = bytearray(), 0
    while at < len(frame):
        length = frame[at]
        if at + length > len(frame):
            raise LinkError("a frame from the device is cut short; wait for the next one")
        data += frame[at + 1 : at + length]
        at += length
        if at < len(frame):
            data.append(0)
    return bytes(data)


def decode_finding(frame: bytes) -> DeviceFinding:
    """Decode one frame.

    Parameters
    ----------
    frame : bytes
        Without its closing zero.

    Raises
    ------
    LinkError
        When length, CRC, version or kind are not those of a finding.
    """
    data = unstuff(frame)
    if len(data) != _PAYLOAD.size + 2:
        raise LinkError(f"a packet of {len(data)} bytes instead of {_PAYLOAD.size + 2}; wait for the next one")
    payload, crc = data[:-2], int.from_bytes(data[-2:], "little")
    if crc16(payload) != crc:
        raise LinkError("a packet's CRC does not fit; wait for the next one")
    version, kind, sequence, label, score, *features = _PAYLOAD.unpack(payload)
    if (version, kind) != (VERSION, FINDING):
        raise LinkError(f"packet version {version}, kind {kind}; this program reads version 1, kind 1")
    return DeviceFinding(sequence, label, score / 255.0, tuple(features))


def split_frames(stream: bytes) -> list[bytes]:
    """Cut a stream at its zeros; what follows the last zero is not complete yet and left out."""
    return [frame for frame in stream.split(b"\0")[:-1] if frame]
