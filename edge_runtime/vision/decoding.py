"""Encoded pictures to pixels: the one decoder of the gateway and of the toolchain."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.errors import PayloadFormatError, PayloadSizeError


def decode_picture(payload: memoryview, *, max_pixels: int) -> npt.NDArray[np.uint8]:
    """Decode a JPEG or PNG picture whose header was checked before.

    Parameters
    ----------
    payload : memoryview
        The encoded picture.
    max_pixels : int
        The largest picture that is kept.

    Returns
    -------
    pixels : uint8, shape (height, width, 3)
        Blue, green, red. A rotation wish in the file is ignored: the model was trained on the sensor's orientation.

    Raises
    ------
    PayloadFormatError
        If it does not decode.
    PayloadSizeError
        If it is larger than ``max_pixels``.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise PayloadFormatError(f"the picture does not decode: {error}", reason="image_decode") from error
    if pixels is None:
        raise PayloadFormatError("the picture does not decode: it is truncated or damaged", reason="image_decode")
    if pixels.shape[0] * pixels.shape[1] > max_pixels:
        raise PayloadSizeError(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} exceeds {max_pixels} pixels")
    return np.ascontiguousarray(pixels, np.uint8)
