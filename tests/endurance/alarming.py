"""A camera whose every picture raises or clears an alarm, as fast as the daemon takes them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.findings import Frame
from edge_runtime.inference.opening import open_bundle
from edge_runtime.vision.inspector import Inspector
from tests.bundles import TRUSTED, image_bundle
from tests.integration.daemon_rig import SOURCES, Plant
from tests.integration.factory_inputs import picture

#: Alarms that clear on the first good picture.
RESTLESS = SOURCES.replace(
    'bundle = "tiny-surface"', 'bundle = "tiny-surface"\nrule = [{ label = "*", clear_after = 1, severity = "high" }]'
)


@cache
def bad_and_good(*, height: int = 120, width: int = 160) -> tuple[bytes, bytes]:
    """Find a picture that the tiny classifier calls a fault, and one that it passes."""
    bundle = read_bundle(image_bundle(), TRUSTED)
    inspect = Inspector(bundle.manifest, open_bundle(bundle))
    found: dict[bool, bytes] = {}
    for number in range(1000):
        data = picture(number, height=height, width=width)
        pixels = np.ascontiguousarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        findings = inspect(Frame(pixels, "cam1", 0.0))
        if any(each.abnormal for each in findings):
            found.setdefault(True, data)
        elif all(each.clearable for each in findings):
            found.setdefault(False, data)
        if len(found) == 2:
            return found[True], found[False]
    raise AssertionError("no pictures of both kinds")


@dataclass
class Line:
    """Publishes parts one after the other, each at QoS 1, never far ahead of what the consumer heard."""

    plant: Plant
    ahead: int = 100
    frames: int = 0
    paused: bool = False
    _heard: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        """Publish from a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop, and wait until the broker has everything."""
        self._ended.set()
        assert self._thread is not None
        self._thread.join(10)
        self.plant.publisher.flush(within_s=120)

    def verdicts(self) -> int:
        """Parts that the consumer heard of."""
        return sum(
            len(numbers) for (_, series), numbers in list(self.plant.consumer.order.items()) if series == "verdict"
        )

    def _run(self) -> None:
        pictures = bad_and_good()
        while not self._ended.is_set():
            if self.frames - self._heard > self.ahead:
                self._heard = self.verdicts()
                time.sleep(0.01)
                continue
            self.plant.publisher.publish(
                "plant/cam/cam1/frame",
                pictures[self.frames % 2],
                part=f"part-{self.frames}",
                seq=self.frames,
                ts_ms=round(time.time() * 1000),
            )
            self.frames += 1
