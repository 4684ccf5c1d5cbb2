"""Frames to input tensors."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.bundle.manifest import ImagePreprocessing, Quantization, Resize, TensorSpec
from edge_runtime.errors import BundleFormatError, PayloadFormatError
from edge_runtime.vision.preprocess import ImagePreprocessor

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
RGB = ImagePreprocessing(Resize("stretch", 8, 8), "rgb", MEAN, STD)


def tensor(dtype: Any, *shape: int, scale: float = 0.0187, zero_point: int = -4) -> TensorSpec:
    quantization = None if dtype == "float32" else Quantization((scale,), (zero_point,))
    return TensorSpec(name="image", dtype=dtype, shape=shape or (1, 8, 8, 3), quantization=quantization)


def frame(height: int = 30, width: int = 40) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def plain(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """What a plain script computes."""
    rgb = cv2.cvtColor(cv2.resize(pixels, (8, 8)), cv2.COLOR_BGR2RGB).astype(np.float32)
    return np.asarray((rgb - np.array(MEAN, np.float32)) / np.array(STD, np.float32), np.float32)


def test_float_tensor_holds_what_a_plain_script_computes() -> None:
    out = ImagePreprocessor(RGB, tensor("float32"))(frame())
    np.testing.assert_array_equal(out[0], plain(frame()))


@pytest.mark.parametrize(("dtype", "low", "high"), [("int8", -128, 127), ("uint8", 0, 255), ("int16", -32768, 32767)])
def test_integer_tensor_holds_the_codes_of_the_float_one(dtype: str, low: int, high: int) -> None:
    zero_point = 100 if dtype == "uint8" else -4
    out = ImagePreprocessor(RGB, tensor(dtype, zero_point=zero_point))(frame())
    codes = np.clip(np.round(plain(frame()) / np.float32(0.0187)) + zero_point, low, high)
    assert out.dtype == dtype
    np.testing.assert_array_equal(out[0], codes)


def test_exact_halves_go_away_from_zero() -> None:
    preprocessing = ImagePreprocessing(Resize("stretch", 1, 2), "gray", (100.0,), (1.0,))
    preprocess = ImagePreprocessor(preprocessing, tensor("int8", 1, 1, 2, 1, scale=2.0, zero_point=0))
    assert preprocess(np.array([[99, 101]], np.uint8)).ravel().tolist() == [-1, 1]


def test_letterbox_pads_with_the_grey_level_before_normalising() -> None:
    preprocessing = ImagePreprocessing(Resize("letterbox", 8, 8, pad=50), "bgr", (50.0,) * 3, (1.0,) * 3)
    out = ImagePreprocessor(preprocessing, tensor("float32"))(frame(4, 8))[0]
    assert not out[:2].any()
    assert not out[6:].any()
    np.testing.assert_array_equal(out[2:6] + 50, frame(4, 8))


def test_crop_cuts_the_centre() -> None:
    preprocessing = ImagePreprocessing(Resize("crop", 8, 8), "bgr", (0.0,) * 3, (1.0,) * 3)
    pixels = frame(8, 20)
    out = ImagePreprocessor(preprocessing, tensor("float32"))(pixels)
    np.testing.assert_array_equal(out[0], pixels[:, 6:14])


def test_grey_frame_is_repeated_for_a_colour_model() -> None:
    preprocessing = ImagePreprocessing(Resize("stretch", 8, 8), "rgb", (0.0,) * 3, (1.0,) * 3)
    grey = np.ascontiguousarray(frame()[..., 0])
    out = ImagePreprocessor(preprocessing, tensor("float32"))
    np.testing.assert_array_equal(out(grey), out(np.repeat(grey[..., None], 3, axis=2)))


def test_output_of_an_earlier_frame_stays_as_it_was() -> None:
    preprocess = ImagePreprocessor(RGB, tensor("int8"))
    first = preprocess(frame())
    kept = first.copy()
    preprocess(255 - frame())
    np.testing.assert_array_equal(first, kept)


def test_frames_of_changing_size_give_what_a_fresh_preprocessor_gives() -> None:
    preprocess = ImagePreprocessor(RGB, tensor("int8"))
    for size in [*range(5, 25), 5]:
        pixels = frame(size, size + 3)
        np.testing.assert_array_equal(preprocess(pixels), ImagePreprocessor(RGB, tensor("int8"))(pixels))


def test_view_of_a_larger_picture_is_taken_as_it_is() -> None:
    view = frame(30, 40)[3:20, 5:30]
    preprocess = ImagePreprocessor(RGB, tensor("int8"))
    np.testing.assert_array_equal(preprocess(view), preprocess(view.copy()))


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros(4, np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((1, 16385), np.uint8),
    ],
)
def test_what_is_no_frame_is_refused_with_a_reason(pixels: Any) -> None:
    with pytest.raises(PayloadFormatError) as refusal:
        ImagePreprocessor(RGB, tensor("int8"))(pixels)
    assert refusal.value.reason == "frame_shape"


def test_output_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an output of shape"):
        ImagePreprocessor(RGB, tensor("int8")).fill_into(frame(), np.empty((8, 8, 3), np.int8))


@pytest.mark.parametrize(
    ("preprocessing", "spec", "words"),
    [
        (RGB, tensor("int8", 1, 3, 8, 8), "resize and colour"),
        (RGB, tensor("int32"), "frames become"),
        (RGB, TensorSpec(name="image", dtype="int8", shape=(1, 8, 8, 3)), "one scale"),
        (RGB, tensor("int8", zero_point=300), "zero_point"),
        (ImagePreprocessing(Resize("stretch", 8, 8), "rgb", (0.0,), (1.0,)), tensor("int8"), "one per channel"),
        (ImagePreprocessing(Resize("stretch", 8, 8), "rgb", MEAN, (1.0, 0.0, 1.0)), tensor("int8"), "std"),
    ],
)
def test_preprocessing_that_does_not_fit_the_model_is_refused(
    preprocessing: ImagePreprocessing, spec: TensorSpec, words: str
) -> None:
    with pytest.raises(BundleFormatError, match=words):
        ImagePreprocessor(preprocessing, spec)
