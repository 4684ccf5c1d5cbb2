"""Pictures and sensor blocks for the tiny bundles, and what they must give without a daemon."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.reader import Bundle, read_bundle
from edge_runtime.findings import Finding, Frame
from edge_runtime.inference.opening import open_bundle
from edge_runtime.timeseries.monitor import Monitor
from edge_runtime.vision.inspector import Inspector, frame_verdict
from tests.bundles import TRUSTED, image_bundle, window_bundle

RATE_HZ = 16.0
ROWS = 16
#: What a result says about each finding.
_TOLD = ("kind", "label", "score", "threshold", "abnormal", "value", "value_low", "value_high", "unit")


def picture(number: int, *, ending: str = ".jpg", height: int = 120, width: int = 160) -> bytes:
    """Encode a picture of coloured squares; another number gives another one."""
    small = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
    pixels = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    return bytes(cv2.imencode(ending, pixels)[1])


def samples(number: int, *, rows: int = ROWS) -> npt.NDArray[np.float32]:
    """Give one block of a wandering signal, shape (rows, 4): sometimes normal, sometimes not."""
    random = np.random.default_rng(number)
    wander = random.normal(size=(rows, 4)) * 2 + 3 * np.sin(number / 3)
    return np.asarray(wander, np.float32)


def times_of(ts_ms: int, rows: int = ROWS, rate_hz: float = RATE_HZ) -> npt.NDArray[np.float64]:
    """Give the times of a block whose first sample was taken at ``ts_ms``."""
    return ts_ms / 1e3 + np.arange(rows) / rate_hz


def block_times_ms(count: int) -> list[int]:
    """Give the first sample's time of blocks that follow each other and end now."""
    now = round(time.time() * 1000)
    step = round(1000 * ROWS / RATE_HZ)
    return [now - (count - index) * step for index in range(count)]


class Offline:
    """The same models without a daemon."""

    def __init__(self, image: Bundle | None = None, window: Bundle | None = None) -> None:
        self._image = image or read_bundle(image_bundle(), TRUSTED)
        self._window = window or read_bundle(window_bundle(), TRUSTED)
        self._inspector = Inspector(self._image.manifest, open_bundle(self._image))

    def inspect(self, encoded: bytes) -> tuple[str, list[dict[str, Any]]]:
        """Decode and inspect a picture: verdict and findings."""
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        findings = self._inspector(Frame(np.asarray(pixels, np.uint8), "cam1", 0.0, None))
        return frame_verdict(findings, self._image.manifest.decision), told(findings)

    def watch(
        self, blocks: Iterable[tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]]
    ) -> list[list[dict[str, Any]]]:
        """Feed blocks to a fresh monitor: the findings after each."""
        monitor = Monitor(self._window.manifest, open_bundle(self._window))
        return [told(monitor.push(values, times)) for values, times in blocks]


def told(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Write findings as a result tells them."""
    return [{name: asdict(finding)[name] for name in _TOLD} for finding in findings]


def said(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the findings of a result."""
    return [{name: finding[name] for name in _TOLD} for finding in result["findings"]]


def as_json(values: npt.NDArray[np.float32], ts_ms: int, rate_hz: float = RATE_HZ) -> bytes:
    """Write a block as a JSON message."""
    return json.dumps({"t0_ms": ts_ms, "rate_hz": rate_hz, "values": values.tolist()}).encode()
