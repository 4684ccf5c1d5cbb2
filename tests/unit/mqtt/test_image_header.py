"""Format and dimensions of pictures without decoding them."""

from __future__ import annotations

import struct
import zlib
from typing import Literal

import cv2
import numpy as np
import pytest

from edge_runtime.errors import MessageError
from edge_runtime.mqtt.image_header import MAX_JPEG_SCANS, ImageHeader, read_image_header

PIXELS = np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8)
JPEG = bytes(cv2.imencode(".jpg", PIXELS)[1])
PNG = bytes(cv2.imencode(".png", PIXELS)[1])


def reason_of(data: bytes, expected: Literal["jpeg", "png"]) -> str:
    with pytest.raises(MessageError) as caught:
        read_image_header(data, expected, max_px=10_000)
    return caught.value.reason


def png_header(width: int, height: int, depth: int = 8, colour: int = 2, rest: bytes = b"\0\0\0") -> bytes:
    body = b"IHDR" + struct.pack(">IIBB", width, height, depth, colour) + rest
    end = b"\0\0\0\0IEND\xaeB`\x82"
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + end


def jpeg(*segments: tuple[int, bytes], end: bytes = b"\xff\xd9") -> bytes:
    parts = (b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return b"\xff\xd8" + b"".join(parts) + b"data" + end


FRAME = (0xC0, struct.pack(">BHHB", 8, 24, 32, 3) + bytes(9))
SCAN = (0xDA, bytes(10))


@pytest.mark.parametrize(
    ("options", "pixels", "channels"),
    [
        ([], PIXELS, 3),
        ([cv2.IMWRITE_JPEG_PROGRESSIVE, 1], PIXELS, 3),
        ([cv2.IMWRITE_JPEG_RST_INTERVAL, 1], PIXELS, 3),
        ([], PIXELS[:, :, 0], 1),
    ],
)
def test_jpeg_of_every_common_kind_is_read(options: list[int], pixels: np.ndarray, channels: int) -> None:
    data = bytes(cv2.imencode(".jpg", pixels, options)[1])
    assert read_image_header(data, "jpeg", max_px=10_000) == ImageHeader("jpeg", 32, 24, channels)


@pytest.mark.parametrize(
    ("pixels", "channels"),
    [(PIXELS, 3), (PIXELS[:, :, 0], 1), (np.dstack([PIXELS, PIXELS[:, :, :1]]), 4), (PIXELS.astype(np.uint16), 3)],
)
def test_png_of_every_common_kind_is_read(pixels: np.ndarray, channels: int) -> None:
    data = bytes(cv2.imencode(".png", pixels)[1])
    assert read_image_header(data, "png", max_px=10_000) == ImageHeader("png", 32, 24, channels)


def test_bytes_behind_the_end_are_allowed() -> None:
    assert read_image_header(JPEG + bytes(100), "jpeg", max_px=10_000).width == 32


@pytest.mark.parametrize(("data", "kind"), [(JPEG, "jpeg"), (PNG, "png")])
def test_picture_cut_anywhere_is_truncated(data: bytes, kind: Literal["jpeg", "png"]) -> None:
    reasons = {reason_of(data[:length], kind) for length in range(1, len(data))}
    assert reasons == {"truncated"}


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_nothing_is_empty(kind: Literal["jpeg", "png"]) -> None:
    assert reason_of(b"", kind) == "empty"


def test_bomb_is_refused_by_what_its_header_says() -> None:
    assert reason_of(png_header(30_000, 30_000), "png") == "too_many_pixels"
    large = (0xC0, struct.pack(">BHHB", 8, 65_535, 65_535, 3) + bytes(9))
    assert reason_of(jpeg(large, SCAN), "jpeg") == "too_many_pixels"


@pytest.mark.parametrize(
    "data",
    [
        png_header(0, 5),
        png_header(5, 0),
        png_header(5, 5, depth=3),
        png_header(5, 5, colour=1),
        png_header(5, 5, depth=1, colour=2),
        png_header(5, 5, rest=b"\1\0\0"),
        png_header(5, 5, rest=b"\0\1\0"),
        png_header(5, 5, rest=b"\0\0\2"),
        png_header(5, 5).replace(b"IHDR", b"IDAT"),
    ],
)
def test_damaged_png_header_is_refused(data: bytes) -> None:
    assert reason_of(data, "png") == "bad_header"


@pytest.mark.parametrize(
    "data",
    [
        jpeg(SCAN),
        jpeg(FRAME, FRAME, SCAN),
        jpeg((0xC0, struct.pack(">BHHB", 8, 0, 32, 3)), SCAN),
        jpeg((0xC0, struct.pack(">BHHB", 12, 24, 32, 3)), SCAN),
        jpeg((0xC0, struct.pack(">BHHB", 8, 24, 32, 2)), SCAN),
        jpeg((0xC0, b"\x08\0"), SCAN),
        jpeg((0xC3, FRAME[1]), SCAN),
        b"\xff\xd8\xff\xe0\0\1rest",
        b"\xff\xd8\xff\xd9\0\0\0\0",
        b"\xff\xd8\xff\xe0\0\2xxxxxx",
        b"\xff\xd8" + b"\xff\xd0" * 2000 + bytes(8),
    ],
)
def test_damaged_jpeg_header_is_refused(data: bytes) -> None:
    assert reason_of(data, "jpeg") == "bad_header"


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF])
def test_jpeg_of_a_kind_that_is_not_decoded_is_refused(marker: int) -> None:
    assert reason_of(jpeg((marker, FRAME[1]), FRAME, SCAN), "jpeg") == "bad_header"


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC2])
def test_jpeg_of_a_kind_that_is_decoded_is_read(marker: int) -> None:
    assert read_image_header(jpeg((marker, FRAME[1]), SCAN), "jpeg", max_px=10_000).width == 32


@pytest.mark.parametrize(
    ("colour", "depths"),
    [(0, {1, 2, 4, 8, 16}), (2, {8, 16}), (3, {1, 2, 4, 8}), (4, {8, 16}), (6, {8, 16}), (1, set()), (5, set())],
)
def test_png_has_the_depths_that_its_colours_allow(colour: int, depths: set[int]) -> None:
    taken = set()
    for depth in range(20):
        try:
            taken.add(depth if read_image_header(png_header(5, 5, depth, colour), "png", max_px=25) else -1)
        except MessageError:
            continue
    assert taken == depths


def test_jpeg_of_very_many_scans_is_refused() -> None:
    assert reason_of(jpeg(FRAME, *[SCAN] * (MAX_JPEG_SCANS + 1)), "jpeg") == "too_many_scans"


def test_fill_bytes_before_a_marker_are_passed_over() -> None:
    data = jpeg(FRAME, SCAN).replace(b"\xff\xc0", b"\xff\xff\xff\xff\xc0")
    assert read_image_header(data, "jpeg", max_px=10_000).height == 24


def test_thumbnail_inside_a_segment_is_not_taken_for_the_picture() -> None:
    inner = jpeg((0xC0, struct.pack(">BHHB", 8, 2, 2, 3) + bytes(9)), SCAN)
    assert read_image_header(jpeg((0xE1, inner), FRAME, SCAN), "jpeg", max_px=10_000).width == 32


def test_thumbnail_s_end_is_not_taken_for_the_picture_s() -> None:
    inner = jpeg((0xC0, struct.pack(">BHHB", 8, 2, 2, 3) + bytes(9)), SCAN)
    assert reason_of(jpeg((0xE1, inner), FRAME, SCAN, end=b""), "jpeg") == "truncated"
