"""Real pictures of tiles become the tensors that a plain OpenCV script would make."""

from __future__ import annotations

import platform
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.manifest import ImagePreprocessing, Quantization, Resize, TensorSpec
from edge_runtime.vision.preprocess import ImagePreprocessor

pytestmark = pytest.mark.shared_data


def test_real_tiles_become_the_codes_of_a_plain_script(shared_data: Path) -> None:
    tensor = TensorSpec("image", "int8", (1, 48, 48, 3), Quantization((0.0186,), (-12,)))
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    preprocess = ImagePreprocessor(ImagePreprocessing(Resize("stretch", 48, 48), "rgb", mean, std), tensor)
    tolerance = 0 if platform.machine() == "x86_64" else 2
    for path in sorted((shared_data / "magnetic-tile").glob("MT_*/*.jpg"))[::120]:
        pixels = cv2.imread(str(path))
        assert pixels is not None
        rgb = cv2.cvtColor(cv2.resize(pixels, (48, 48)), cv2.COLOR_BGR2RGB).astype(np.float32)
        normalised = (rgb - np.array(mean, np.float32)) / np.array(std, np.float32)
        codes = np.clip(np.round(normalised / np.float32(0.0186)) - 12, -128, 127)
        np.testing.assert_allclose(preprocess(pixels)[0].astype(float), codes, atol=tolerance)
