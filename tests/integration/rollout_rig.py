"""A plant whose camera never rests, and orders about models."""

from __future__ import annotations

import functools
import hashlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from tests.bundles import TRUSTED
from tests.integration.daemon_rig import Daemon, Plant, require_mosquitto, until
from tests.integration.factory_inputs import samples
from tests.integration.mosquitto import Mosquitto
from tests.integration.trap_bundles import trap_bundle

MODEL = "tiny-surface"
SHADOW_INPUTS = 20
#: Short stages; a person promotes.
ROLLOUT = f"""
[rollout]
fetch_timeout_s = 8.0
shadow_inputs = {SHADOW_INPUTS}
canary_share = 0.5
canary_inputs = 10
probation_inputs = 30
"""
_FRAMES_PER_S = 30.0


@functools.cache
def plain_picture(level: int) -> bytes:
    """Encode a picture of one colour: above 250 it is bright enough for every trap."""
    return bytes(cv2.imencode(".jpg", np.full((60, 80, 3), level, np.uint8))[1])


class Line(Plant):
    """A plant whose camera shows a part every thirtieth of a second, all dark until ``bright`` is set."""

    def __init__(self, broker: Mosquitto, daemon: Daemon) -> None:
        super().__init__(broker, daemon)
        self.bright = False
        self.shown: list[tuple[str, float]] = []
        self._ended = threading.Event()
        self._camera = threading.Thread(target=self._show, daemon=True)
        self._releases = itertools.count(3)
        self._blocks = itertools.count()
        self._began_ms = round(time.time() * 1000)

    def __exit__(self, *_: object) -> None:
        self.rest()
        super().__exit__(*_)

    def begin(self) -> None:
        """Let the camera run."""
        self._camera.start()

    def rest(self) -> None:
        """Let the camera rest, and the broker have everything."""
        self._ended.set()
        if self._camera.is_alive():
            self._camera.join()
            self.publisher.flush()

    def _show(self) -> None:
        for number in itertools.count(1):
            part, now = f"part-{number}", time.monotonic()
            self.shown.append((part, now))
            level = 255 if self.bright else 99
            self.publisher.publish(
                "plant/cam/cam1/frame", plain_picture(level), part=part, ts_ms=round(time.time() * 1000)
            )
            if self._ended.wait(1 / _FRAMES_PER_S):
                return

    def measure(self) -> None:
        """Let a machine publish its next block, each a second after the one before; most of them are not normal."""
        number = next(self._blocks)
        block = samples(number).tobytes()
        self.publisher.publish("plant/sensor/press1", block, ts_ms=self._began_ms + 1000 * number, wait=True)

    def next_release(self) -> int:
        """A release number that nobody has used."""
        return next(self._releases)

    def order(self, data: bytes, *, source: str = "fleet", sha256: str = "", model: str = MODEL) -> str:
        """Put a bundle where it is fetched from and order it; gives the digest."""
        digest = sha256 or hashlib.sha256(data).hexdigest()
        if source == "fleet":
            self.publisher.client.publish(f"edge/fleet/bundle/{digest}", data, qos=1, retain=True).wait_for_publish(10)
        command = self.consumer.command("model/install", model=model, sha256=digest, source=source)
        answer = self.consumer.reply(command)
        assert answer["ok"], answer
        return digest

    def wait_for_candidate(self, sha256: str, *states: str) -> dict[str, Any]:
        """Wait until the installation of a digest is in one of the states."""
        return self._wait(
            f"model/{MODEL}/candidate", lambda each: each["sha256"] == sha256 and each["state"] in states, states
        )

    def wait_for_rollout(
        self, sha256: str, *stages: str, share: float | None = None, model: str = MODEL, reason: str = ""
    ) -> dict[str, Any]:
        """Wait until the rollout of a digest is in one of the stages, with this share and reason."""

        def fits(each: dict[str, Any]) -> bool:
            is_there = each["to_sha256"] == sha256 and each["stage"] in stages
            return is_there and share in {None, each["share"]} and each["reason"].startswith(reason)

        return self._wait(f"model/{model}/rollout", fits, stages)

    def _wait(self, topic: str, fits: Callable[[dict[str, Any]], bool], wanted: tuple[str, ...]) -> dict[str, Any]:
        """Wait for a message, and give the last one that fits."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [each for each in self.consumer.all_of(topic) if fits(each)]
            return bool(found)

        until(look, f"{topic} is {' or '.join(wanted)}", within_s=30.0)
        return found[-1]

    def promote(self, sha256: str) -> dict[str, Any]:
        """Order a promotion; gives the answer."""
        return self.consumer.reply(self.consumer.command("model/promote", model=MODEL, sha256=sha256))

    def versions_of(self, parts: list[str]) -> list[str]:
        """Wait for the verdicts on parts; gives which version judged each."""
        until(lambda: set(parts) <= self.consumer.verdicts().keys(), "all verdicts", within_s=20)
        verdicts = self.consumer.verdicts()
        return [str(verdicts[part][0]["model_version"]) for part in parts]

    def next_parts(self, count: int) -> list[str]:
        """Wait until the camera has shown so many more parts; gives them."""
        before = len(self.shown)
        until(lambda: len(self.shown) >= before + count, "more parts")
        return [part for part, _ in self.shown[before : before + count]]

    def active(self) -> int:
        """The release that the store has active."""
        stored = BundleStore(self.daemon.folder / "bundles").active(MODEL)
        assert stored is not None
        return stored.release


@contextmanager
def running_line(folder: Path, settings: str = ROLLOUT, **traps: Any) -> Iterator[Line]:
    """Start a broker, a daemon that runs a sound model as release 2, and a camera."""
    require_mosquitto()
    broker = Mosquitto(folder / "mosquitto", **traps)
    broker.start()
    try:
        daemon = Daemon(folder / "gateway", broker.port, settings=settings)
        store = BundleStore(daemon.folder / "bundles")
        store.install(read_bundle(trap_bundle("sound", release=2), TRUSTED), activate=True)
        with Line(broker, daemon) as line:
            daemon.start()
            line.begin()
            yield line
    finally:
        broker.kill()
