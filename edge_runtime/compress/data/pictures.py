"""Picture files at the model's input, decoded and resized by the device's own code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import ImagePreprocessing, Quantization, Resize, TensorSpec
from edge_runtime.compress.data.content import require_size
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.data.spool import Spool
from edge_runtime.errors import CalibrationError, MessageError
from edge_runtime.mqtt.image_header import read_image_header
from edge_runtime.vision.decoding import decode_picture
from edge_runtime.vision.preprocess import ImagePreprocessor

Pixels = npt.NDArray[np.uint8]

SUFFIXES: Final = (".jpg", ".jpeg", ".png")
MAX_PICTURE_BYTES: Final = 64 << 20
MAX_PIXELS: Final = 64_000_000


def read_picture(path: Path) -> Pixels:
    """Decode one picture file as the gateway does.

    Parameters
    ----------
    path : Path
        JPEG or PNG.

    Returns
    -------
    pixels : uint8, shape (height, width, 3)
        Blue, green, red.

    Raises
    ------
    CalibrationError
        If it is missing, too large, damaged, or of a format that no gateway decodes.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise CalibrationError(f"{path}: gateways decode JPEG and PNG; convert it to PNG, which loses nothing")
    try:
        require_size(path, MAX_PICTURE_BYTES)
        data = path.read_bytes()
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        read_image_header(data, "png" if suffix == ".png" else "jpeg", max_px=MAX_PIXELS)
        return decode_picture(memoryview(data), max_pixels=MAX_PIXELS)
    except MessageError as error:
        raise CalibrationError(f"{path}: {error}") from error


class Sizer:
    """Resize frames to the model's input as the device does, and leave everything after that to the device.

    What it gives, preprocessed again by the same recipe, is what the device makes of the original to the bit: resizing
    to the size that is there changes nothing, and colour and normalisation come after it.

    Parameters
    ----------
    resize : Resize
        The manifest's.
    colour : {"rgb", "bgr"}
        Order of the channels to give.
    """

    def __init__(self, resize: Resize, colour: Literal["rgb", "bgr"]) -> None:
        plain = ImagePreprocessing(resize=resize, colour=colour, mean=(0.0,) * 3, std=(1.0,) * 3)
        tensor = TensorSpec(
            name="picture",
            dtype="uint8",
            shape=(1, resize.height, resize.width, 3),
            quantization=Quantization(scale=(1.0,), zero_point=(0,)),
        )
        self._preprocessor = ImagePreprocessor(plain, tensor)

    def __call__(self, pixels: Pixels) -> Pixels:
        """Give one frame, blue, green, red, at the model's size; uint8 (1, height, width, 3)."""
        sized: npt.NDArray[Any] = self._preprocessor(pixels)
        return sized


def load_pictures(paths: Sequence[Path], reading: Reading, *, what: str) -> tuple[Pixels, npt.NDArray[np.int32]]:
    """Decode and resize picture files one after the other.

    Parameters
    ----------
    paths : sequence of Path
        In the order to give.
    reading : Reading
        With the preprocessing of pictures.
    what : str
        Named in errors.

    Returns
    -------
    x : uint8, shape (n, height, width, 3)
        In the reading's order of colours.
    sizes : int32, shape (n, 2)
        Height and width of each file's picture.
    """
    steps = reading.image
    if steps is None:
        raise CalibrationError(
            f"{what}: pictures for a model that takes none; the model's input or the recipe's [preprocessing] must be a"
            " picture's"
        )
    if not paths:
        raise CalibrationError(f"{what}: no pictures ({', '.join(SUFFIXES)})")
    sizer = Sizer(steps.resize, reading.colour)
    sizes = np.empty((len(paths), 2), np.int32)
    with Spool((steps.resize.height, steps.resize.width, 3), np.uint8, what=what) as spool:
        for index, path in enumerate(paths):
            pixels = read_picture(path)
            sizes[index] = pixels.shape[:2]
            spool.append(sizer(pixels))
        return spool.finish(), sizes
