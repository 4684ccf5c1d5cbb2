"""Resampling: what it promises beyond agreeing with its twin."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.kernels.geometry import letterbox, linear_taps, nearest_positions, stretch
from edge_runtime.kernels.image import Resampler, resize

Pixels = npt.NDArray[np.uint8]
SIZES = [(64, 48, 17, 33), (33, 47, 66, 94), (90, 70, 45, 35), (90, 70, 45, 70), (5, 200, 31, 31), (1, 1, 7, 5)]


def noise(height: int, width: int, *channels: int) -> Pixels:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, *channels), dtype=np.uint8)


@pytest.mark.parametrize(("height", "width", "to_height", "to_width"), SIZES)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_linear_is_what_opencv_gives(
    height: int, width: int, to_height: int, to_width: int, channels: tuple[int, ...]
) -> None:
    pixels = noise(height, width, *channels)
    theirs = cv2.resize(pixels, (to_width, to_height), interpolation=cv2.INTER_LINEAR)
    # On other processors OpenCV has other arithmetic, within one grey level; ours is the same everywhere.
    tolerance = 0 if platform.machine() == "x86_64" else 1
    np.testing.assert_allclose(resize(pixels, to_height, to_width).astype(int), theirs.astype(int), atol=tolerance)


def test_linear_of_half_the_size_is_the_mean_of_four_rounded_half_up() -> None:
    pixels = noise(40, 60)
    corners = pixels.astype(int)
    mean = (corners[::2, ::2] + corners[::2, 1::2] + corners[1::2, ::2] + corners[1::2, 1::2] + 2) // 4
    np.testing.assert_array_equal(resize(pixels, 20, 30), mean)


@pytest.mark.parametrize(("height", "width", "to_height", "to_width"), [(64, 48, 17, 33), (90, 70, 45, 35)])
def test_area_is_within_one_grey_level_of_opencv(height: int, width: int, to_height: int, to_width: int) -> None:
    pixels = noise(height, width, 3)
    theirs = cv2.resize(pixels, (to_width, to_height), interpolation=cv2.INTER_AREA)
    assert np.abs(resize(pixels, to_height, to_width, "area").astype(int) - theirs).max() <= 1


def test_area_of_the_largest_side_is_exact() -> None:
    pixels = np.full((1, 16384), 255, np.uint8)
    pixels[0, ::2] = 254
    assert resize(pixels, 1, 1, "area").tolist() == [[255]]


@pytest.mark.parametrize("interpolation", ["linear", "area", "nearest"])
def test_same_size_gives_the_same_frame(interpolation: Literal["linear", "area", "nearest"]) -> None:
    pixels = noise(13, 9, 3)
    np.testing.assert_array_equal(resize(pixels, 13, 9, interpolation), pixels)


@pytest.mark.parametrize("interpolation", ["linear", "area", "nearest"])
@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_flat_frame_stays_flat(interpolation: Literal["linear", "area", "nearest"], value: int) -> None:
    resized = resize(np.full((31, 17, 3), value, np.uint8), 12, 40, interpolation)
    assert np.unique(resized).tolist() == [value]


def test_luma_is_what_opencv_gives() -> None:
    pixels = noise(50, 50, 3)
    out = np.empty((50, 50, 1), np.uint8)
    identity = np.arange(256, dtype=np.uint8)[None]
    Resampler(stretch(50, 50, 50, 50), 3, "linear", (0,)).fill(pixels, identity, 0, out)
    theirs = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY).astype(int)
    assert np.abs(out[..., 0].astype(int) - theirs).max() <= (0 if int(cv2.__version__.split(".")[0]) >= 5 else 1)


def test_luma_rounds_exact_halves_up() -> None:
    blue, green = np.ogrid[:256, :256]
    weighted = 3735 * blue + 19235 * green
    blue_of_half, green_of_half = np.argwhere(weighted % 32768 == 16384)[0]
    out = np.empty((1, 1, 1), np.uint8)
    pixel = np.array([[[blue_of_half, green_of_half, 0]]], np.uint8)
    identity = np.arange(256, dtype=np.uint8)[None]
    Resampler(stretch(1, 1, 1, 1), 3, "linear", (0,)).fill(pixel, identity, 0, out)
    assert out.item() == weighted[blue_of_half, green_of_half] // 32768 + 1


@pytest.mark.parametrize(
    ("interpolation", "digest"),
    [("linear", "3b95c178654c885d"), ("area", "ec051689c54724b3"), ("nearest", "d43f6a11e8d1413a")],
)
def test_definition_has_not_changed_since_models_were_trained_with_it(
    interpolation: Literal["linear", "area", "nearest"], digest: str
) -> None:
    rows, columns, channels = np.ogrid[:97, :131, :3]
    pixels = ((rows * 7 + columns * 13 + channels * 101 + rows * columns) % 256).astype(np.uint8)
    resized = resize(pixels, 41, 57, interpolation)
    assert hashlib.sha256(resized.tobytes()).hexdigest()[:16] == digest


GUARDED = """
import ctypes, mmap
import numpy as np
from edge_runtime.kernels.image import resize
page = mmap.PAGESIZE
memory = mmap.mmap(-1, 4 * page)
start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.mprotect(ctypes.c_void_p(start + 3 * page), ctypes.c_size_t(page), 0) == 0
for height, width, channels in [(33, 29, 3), (1, 1, 3), (2, 1, 3), (7, 5, 1), (1, 3, 1)]:
    size = height * width * channels
    frame = np.frombuffer(memory, np.uint8, size, 3 * page - size).reshape(height, width, channels)
    frame = frame if channels == 3 else frame[..., 0]
    for interpolation in ("linear", "area", "nearest"):
        for target in [(8, 8), (40, 40)]:
            resize(frame, *target, interpolation)
print("alive")
"""


def test_nothing_is_read_past_the_last_row() -> None:
    done = subprocess.run([sys.executable, "-c", GUARDED], capture_output=True, text=True, check=False, timeout=120)
    assert (done.stdout, done.returncode) == ("alive\n", 0), done.stderr


def test_every_element_of_the_output_is_written() -> None:
    out = np.full((20, 20, 3), 99, np.int16)
    codes = np.zeros((3, 256), np.int16)
    Resampler(letterbox(30, 11, 20, 20), 3, "linear", (2, 1, 0)).fill(noise(30, 11, 3), codes, 5, out)
    assert not out.any()


def test_frame_that_cannot_be_written_to_gives_the_same() -> None:
    pixels = noise(20, 30, 3)
    wanted = resize(pixels, 8, 9)
    pixels.flags.writeable = False
    np.testing.assert_array_equal(resize(pixels, 8, 9), wanted)


def _fill(**changes: Any) -> None:
    given: dict[str, Any] = {
        "pixels": np.zeros((4, 4, 3), np.uint8),
        "tables": np.zeros((3, 256), np.int8),
        "pad": 0,
        "out": np.zeros((2, 2, 3), np.int8),
    }
    Resampler(stretch(4, 4, 2, 2), 3, "linear", (2, 1, 0)).fill(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"pixels": np.zeros((4, 4, 3), np.int8)}, TypeError),
        ({"tables": np.zeros((3, 256), np.uint8)}, TypeError),
        ({"tables": np.zeros((3, 256)), "out": np.zeros((2, 2, 3))}, TypeError),
        ({"pixels": np.zeros((4, 3, 3), np.uint8)}, ValueError),
        ({"pixels": np.zeros((4, 4), np.uint8)}, ValueError),
        ({"pixels": np.zeros((2, 4, 4, 3), np.uint8)}, ValueError),
        ({"pixels": np.zeros((4, 8, 3), np.uint8)[:, ::2]}, ValueError),
        ({"tables": np.zeros((3, 255), np.int8)}, ValueError),
        ({"out": np.zeros((2, 3, 3), np.int8)}, ValueError),
        ({"pad": 256}, ValueError),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        _fill(**changes)


@pytest.mark.parametrize("size", [0, 16385])
def test_size_outside_the_limits_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="heights and widths must be in"):
        stretch(4, size, 2, 2)


@pytest.mark.parametrize(("channels", "order"), [(2, (0, 1)), (3, (0, 1)), (3, (0, 1, 3)), (1, (1,))])
def test_unknown_channels_are_refused(channels: int, order: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 or 3 channels"):
        Resampler(stretch(4, 4, 2, 2), channels, "linear", order)


def test_unknown_interpolation_is_refused() -> None:
    with pytest.raises(ValueError, match="interpolation must be"):
        Resampler(stretch(4, 4, 2, 2), 3, "cubic", (0, 1, 2))  # type: ignore[arg-type]


@pytest.mark.parametrize("n_target", [1, 3, 224, 1000])
def test_weights_of_every_tap_add_up_to_2048(n_target: int) -> None:
    for clamp in (False, True):
        taps = linear_taps(997, n_target, clamp_weights=clamp)
        assert np.unique(taps.first_weight + taps.second_weight).tolist() == [2048]


def test_nearest_positions_do_not_round() -> None:
    assert nearest_positions(3000, 49)[48] == 2938
