"""Read format and dimensions of a JPEG or PNG without decoding it: a small file can hold an enormous picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_runtime.errors import PayloadFormatError, PayloadSizeError

Format = Literal["jpeg", "png"]

#: A progressive JPEG of more scans than this costs far more to decode than its size tells.
MAX_JPEG_SCANS = 64
MAX_JPEG_SEGMENTS = 1024

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 33
_PNG_END = b"IEND\xaeB`\x82"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_JPEG_START = b"\xff\xd8\xff"
_JPEG_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC9, 0xCA})
_JPEG_OTHER_FRAMES = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF})
_JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD8)})
_JPEG_SCAN, _JPEG_END, _FILL = 0xDA, 0xD9, 0xFF


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an encoded picture says about itself.

    Attributes
    ----------
    format : {"jpeg", "png"}
        The encoding.
    width, height : int, px
        Dimensions, at least 1.
    n_channels : int
        Colour channels as stored.
    """

    format: Format
    width: int
    height: int
    n_channels: int


def read_image_header(data: bytes | memoryview, expected: Format, *, max_px: int) -> ImageHeader:
    """Read the header of a picture and hold it to a limit.

    Parameters
    ----------
    data : bytes
        The whole encoded picture.
    expected : {"jpeg", "png"}
        The declared format.
    max_px : int
        Width times height that is at most accepted.

    Returns
    -------
    header : ImageHeader
        Of a picture that is complete and small enough.

    Raises
    ------
    PayloadFormatError
        If it is empty (reason ``empty``), of another type (``wrong_type``), cut off (``truncated``) or damaged
        (``bad_header``).
    PayloadSizeError
        If it would decode into more than ``max_px`` pixels (``too_many_pixels``), or has too many scans
        (``too_many_scans``).
    """
    data = bytes(data)
    if not data:
        raise PayloadFormatError("the payload is empty; a picture was expected", reason="empty")
    header = _read_jpeg(data) if expected == "jpeg" else _read_png(data)
    if header.width < 1 or header.height < 1:
        raise PayloadFormatError(f"a picture of {header.width} x {header.height} pixels", reason="bad_header")
    if header.width * header.height > max_px:
        raise PayloadSizeError(
            f"{header.width} x {header.height} pixels, at most {max_px} are decoded; see worker.max_frame_px",
            reason="too_many_pixels",
        )
    return header


def _read_png(data: bytes) -> ImageHeader:
    """Read the IHDR chunk, which is always the first."""
    if not data.startswith(_PNG_SIGNATURE):
        if _PNG_SIGNATURE.startswith(data):
            raise PayloadFormatError("the PNG is cut off", reason="truncated")
        raise PayloadFormatError("not a PNG, which the camera's format declares", reason="wrong_type")
    if len(data) < _PNG_HEADER_BYTES:
        raise PayloadFormatError("the PNG is cut off", reason="truncated")
    if data[8:16] != b"\x00\x00\x00\rIHDR":
        raise PayloadFormatError("the PNG does not begin with its header", reason="bad_header")
    width, height = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    depth, colour, compression, filtering, interlace = data[24:29]
    if depth not in _PNG_DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise PayloadFormatError("the PNG's header is damaged", reason="bad_header")
    if data.rfind(_PNG_END) < 0:
        raise PayloadFormatError("the PNG is cut off", reason="truncated")
    return ImageHeader("png", width, height, _PNG_CHANNELS[colour])


def _read_jpeg(data: bytes) -> ImageHeader:
    """Walk the segments to the frame header and on to the first scan."""
    if not data.startswith(_JPEG_START):
        if _JPEG_START.startswith(data):
            raise PayloadFormatError("the JPEG is cut off", reason="truncated")
        raise PayloadFormatError("not a JPEG, which the camera's format declares", reason="wrong_type")
    header: ImageHeader | None = None
    position = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        marker, body, position = _next_segment(data, position)
        if marker in _JPEG_FRAMES:
            if header is not None:
                raise PayloadFormatError("the JPEG has two frame headers", reason="bad_header")
            header = _read_frame_header(body)
        elif marker == _JPEG_SCAN:
            if header is None:
                raise PayloadFormatError("the JPEG has no frame header before its data", reason="bad_header")
            _require_complete(data, position)
            return header
        elif marker in _JPEG_OTHER_FRAMES:
            raise PayloadFormatError("lossless and hierarchical JPEG are not decoded here", reason="bad_header")
    raise PayloadSizeError(f"more than {MAX_JPEG_SEGMENTS} JPEG segments", reason="bad_header")


def _next_segment(data: bytes, position: int) -> tuple[int, bytes, int]:
    """Read one marker segment: marker, a few bytes of its body, and the offset behind it."""
    if position + 4 > len(data):
        raise PayloadFormatError("the JPEG is cut off", reason="truncated")
    if data[position] != _FILL:
        raise PayloadFormatError("the JPEG's header is damaged", reason="bad_header")
    while data[position] == _FILL:
        position += 1
        if position + 3 > len(data):
            raise PayloadFormatError("the JPEG is cut off", reason="truncated")
    marker = data[position]
    if marker in _JPEG_BARE:
        return marker, b"", position + 1
    length = int.from_bytes(data[position + 1 : position + 3])
    if marker in {0x00, 0xD8, _JPEG_END} or length < 2:  # noqa: PLR2004 - the length counts its own two bytes
        raise PayloadFormatError("the JPEG's header is damaged", reason="bad_header")
    end = position + 1 + length
    if end > len(data):
        raise PayloadFormatError("the JPEG is cut off", reason="truncated")
    return marker, data[position + 3 : min(end, position + 16)], end


def _read_frame_header(body: bytes) -> ImageHeader:
    """Read precision, height, width and components of a start-of-frame segment."""
    if len(body) < 6:  # noqa: PLR2004 - the fixed part of the segment
        raise PayloadFormatError("the JPEG's frame header is damaged", reason="bad_header")
    precision, n_components = body[0], body[5]
    if precision != 8 or n_components not in {1, 3, 4}:  # noqa: PLR2004 - 8 bits per sample
        raise PayloadFormatError(
            f"a JPEG of {precision} bits and {n_components} components is not decoded here", reason="bad_header"
        )
    return ImageHeader("jpeg", int.from_bytes(body[3:5]), int.from_bytes(body[1:3]), n_components)


def _require_complete(data: bytes, scan: int) -> None:
    """Refuse a JPEG whose end is missing, and one that has very many scans."""
    if data.rfind(b"\xff\xd9", scan) < 0:
        raise PayloadFormatError("the JPEG is cut off", reason="truncated")
    n_scans = data.count(b"\xff\xda", scan) + 1
    if n_scans > MAX_JPEG_SCANS:
        raise PayloadSizeError(f"a JPEG of {n_scans} scans, at most {MAX_JPEG_SCANS}", reason="too_many_scans")
