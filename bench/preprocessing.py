"""A 1080p camera frame to the 224 x 224 RGB int8 input of a classifier, against OpenCV.

Three candidates do the same to the bit: the project's one pass; the plain script (OpenCV, then float32 NumPy); and
the best that OpenCV can do (its resize and colour conversion, then one table per channel). Hot takes the same frame
again and again; cold takes one of many, so that its bytes come from beyond the second-level cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from bench.harness import Candidate, Case, Goal, run_benchmark
from edge_runtime.bundle.manifest import ImagePreprocessing, Quantization, Resize, TensorSpec
from edge_runtime.vision.preprocess import ImagePreprocessor

SIZE = 224
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
SCALE, ZERO_POINT = 0.018658, -14
OURS, FLOAT, TABLE = "one pass", "cv2 + float numpy", "cv2 + table"


def camera_frames(count: int) -> list[npt.NDArray[np.uint8]]:
    """Frames with structure at every scale, as a camera gives."""
    random = np.random.default_rng(7)
    frames = []
    for _ in range(count):
        coarse = random.integers(0, 256, (68, 120, 3), dtype=np.uint8)
        smooth = cv2.resize(coarse, (1920, 1080), interpolation=cv2.INTER_CUBIC)
        noise = random.integers(0, 16, smooth.shape, dtype=np.uint8)
        frames.append(cv2.add(smooth, noise))
    return frames


def candidates(frames: Sequence[npt.NDArray[np.uint8]]) -> list[Candidate]:
    """Three ways to the same codes."""
    quantization = Quantization((SCALE,), (ZERO_POINT,))
    tensor = TensorSpec(name="image", dtype="int8", shape=(1, SIZE, SIZE, 3), quantization=quantization)
    preprocessing = ImagePreprocessing(Resize("stretch", SIZE, SIZE), "rgb", MEAN, STD)
    preprocessor = ImagePreprocessor(preprocessing, tensor)
    out = np.empty(tensor.shape, np.int8)
    mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)

    def one_pass(i: int) -> npt.NDArray[Any]:
        preprocessor.fill_into(frames[i], out)
        return np.asarray(out[0])

    def with_float(i: int) -> npt.NDArray[Any]:
        rgb = cv2.cvtColor(cv2.resize(frames[i], (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)
        normalised = (rgb.astype(np.float32) - mean) / std
        rounded = np.round(normalised / np.float32(SCALE)) + ZERO_POINT
        return np.asarray(np.clip(rounded, -128, 127).astype(np.int8))

    bytes_ = np.arange(256, dtype=np.float32)[:, None]
    codes = np.clip(np.round((bytes_ - mean) / std / np.float32(SCALE)) + ZERO_POINT, -128, 127).astype(np.int8)
    lut = codes.view(np.uint8).reshape(1, 256, 3)

    def with_table(i: int) -> npt.NDArray[Any]:
        rgb = cv2.cvtColor(cv2.resize(frames[i], (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), cv2.COLOR_BGR2RGB)
        return np.asarray(cv2.LUT(rgb, lut)).view(np.int8)

    return [Candidate(FLOAT, with_float), Candidate(TABLE, with_table), Candidate(OURS, one_pass)]


def cases(quick: bool) -> list[Case]:
    """Hot and cold."""
    cv2.setNumThreads(1)
    frames = camera_frames(8 if quick else 32)
    goals = (Goal(OURS, FLOAT, 1.0), Goal(OURS, TABLE, 1.5))
    rounds = 30 if quick else 300
    return [
        Case("1080p to 224x224 RGB int8, hot", candidates(frames[:1]), goals, rounds=rounds, calls=10),
        Case("1080p to 224x224 RGB int8, cold", candidates(frames), goals, len(frames), rounds, calls=8),
    ]


if __name__ == "__main__":
    run_benchmark("preprocessing", cases)
