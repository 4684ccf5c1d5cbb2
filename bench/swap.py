"""Change the model under a running camera again and again: frames that are lost to it, and the longest silence.

The daemon, the broker and the model are the real ones. Each swap activates another release of the surface-defect bundle
in the store beside the daemon and orders ``config/reload``. A gap is the time between two verdicts that follow each
other at a consumer; without a swap it is the camera's period, so the same camera is measured without swaps, too. Prints
a line per subscription QoS and writes ``bench/results/swap.json``; ends with 3 where a frame was lost at QoS 1 or the
99th percentile of the gaps about the swaps is over the goal.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import cv2
import msgspec
import numpy as np
import psutil

from bench.harness import RESULTS, machine
from edge_runtime.bundle.checks import UNLISTED
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.signature import TrustedKeys, parse_public_key
from edge_runtime.bundle.store import BundleStore
from edge_runtime.bundle.writer import write_bundle
from edge_runtime.daemon.memory import proportional_bytes
from edge_runtime.simulator.surfaces import render_part
from tests.bundles import SIGNER, TRUSTED, trusting_store
from tests.integration.daemon_rig import Consumer, Plant, running_plant, until
from tests.integration.mosquitto import Mosquitto

GOAL_P99_MS = 100.0
MODELS = Path(__file__).parents[1] / "models"
NAME = "surface-defect"
CAMERA = """
[[camera]]
id = "cam1"
topic = "plant/cam/cam1/frame"
format = "jpeg"
qos = {qos}
[[pipeline]]
id = "surface"
kind = "inspection"
bundle = "surface-defect"
cameras = ["cam1"]
"""
#: Of the frames that count as about a swap: from the order to so long after its answer.
_AFTER_S = 0.5


@dataclass(slots=True)
class Tally:
    """What was measured at one QoS; times in ms."""

    qos: int
    n_swaps: int
    n_frames: int = 0
    n_unjudged: int = 0
    n_overtaken: int = 0
    n_judged_twice: int = 0
    n_replaced: int = 0
    swap_ms: list[float] = field(default_factory=list)
    quiet_p99_ms: float = 0.0
    quiet_max_ms: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0
    before_mb: float = 0.0
    peak_mb: float = 0.0

    def line(self) -> str:
        """Write it for people."""
        lost = f"not judged {self.n_unjudged} (overtaken {self.n_overtaken}), judged twice {self.n_judged_twice}"
        gaps = f"p50 {self.p50_ms:.1f}, p99 {self.p99_ms:.1f}, longest {self.max_ms:.1f} ms"
        quiet = f"p99 {self.quiet_p99_ms:.1f}, longest {self.quiet_max_ms:.1f} ms"
        return (
            f"QoS {self.qos}: {self.n_swaps} swaps under {self.n_frames} frames; {lost}; gaps about swaps {gaps}"
            f" (without swaps {quiet}); order to answer {np.median(self.swap_ms):.0f} ms; workers lost"
            f" {self.n_replaced}; memory {self.before_mb:.0f} MB, {self.peak_mb:.0f} MB with both workers"
        )


class Watcher(Consumer):
    """Notes when each verdict comes."""

    def __init__(self, broker: Mosquitto, name: str) -> None:
        self.came_at: dict[str, list[float]] = {}
        super().__init__(broker, name)

    def _take(self, client: Any, userdata: Any, message: Any) -> None:  # noqa: ANN401 - paho
        if message.topic.endswith("/part/verdict"):
            self.came_at.setdefault(json.loads(message.payload)["part"], []).append(time.monotonic())
        super()._take(client, userdata, message)


class Camera:
    """Publishes at a steady rate until it is left."""

    def __init__(self, plant: Plant, qos: int, fps: float, frames: list[bytes]) -> None:
        self._plant, self._qos, self._fps, self._frames = plant, qos, fps, frames
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self.parts: list[str] = []

    def __enter__(self) -> Camera:  # noqa: PYI034 - nobody derives from it
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _publish(self) -> None:
        began = time.monotonic()
        number = 0
        while not self._over.wait(max(0.0, began + number / self._fps - time.monotonic())):
            part = f"p{number}"
            self._plant.publisher.publish(
                "plant/cam/cam1/frame", self._frames[number % len(self._frames)], qos=self._qos, part=part
            )
            self.parts.append(part)
            number += 1


def pictures(count: int) -> list[bytes]:
    """Draw parts as the simulated line does, 640 x 480."""
    rng = np.random.default_rng(7)
    return [bytes(cv2.imencode(".jpg", render_part(rng).pixels)[1]) for _ in range(count)]


def prepare(store: BundleStore) -> None:
    """Install two releases of the released model, signed by the tests' key."""
    key = parse_public_key((MODELS / "keys" / "release.pub.pem").read_bytes(), "release")
    released = read_bundle((MODELS / NAME / f"{NAME}.edgebundle").read_bytes(), TrustedKeys([key]))
    members = {name: content for name, content in released.members.items() if name not in UNLISTED}
    for release in (1, 2):
        manifest = msgspec.structs.replace(released.manifest, release=release, version=f"{release}.0.0")
        store.install(read_bundle(write_bundle(manifest, members, SIGNER), TRUSTED), activate=True)


def measure(qos: int, *, n_swaps: int, fps: float) -> Tally:
    """Run a plant of one camera, and swap."""
    tally, frames = Tally(qos, n_swaps), pictures(16)
    with tempfile.TemporaryDirectory(prefix="edge-swap-") as folder:
        store = trusting_store(Path(folder) / "gateway" / "bundles")
        prepare(store)
        with running_plant(Path(folder), CAMERA.format(qos=qos)) as plant:
            watcher = plant.join(Watcher(plant.broker, "watcher"))
            with Camera(plant, qos, fps, frames) as camera:
                until(lambda: len(watcher.came_at) > fps, "verdicts flow", within_s=30)
                quiet = (time.monotonic(), time.monotonic() + 3.0)
                time.sleep(3.0)
                spans = [swap(plant, store, number, tally) for number in range(n_swaps)]
                weigh(plant, store, n_swaps, tally)
            time.sleep(1.0)
            if qos:
                until(lambda: len(watcher.came_at) >= len(camera.parts), "every verdict", within_s=10)
            reasons = ("crashed", "hung", "grew", "start_failed")
            replaced = [plant.daemon.metric("edge_worker_replacements_total", reason=reason) for reason in reasons]
            tally.n_replaced = int(sum(replaced))
            tally.n_overtaken = int(plant.daemon.dropped("cam1", "overtaken"))
    tally.n_frames = len(camera.parts)
    tally.n_unjudged = sum(part not in watcher.came_at for part in camera.parts)
    tally.n_judged_twice = sum(len(times) > 1 for times in watcher.came_at.values())
    came = np.sort(np.array([times[0] for times in watcher.came_at.values()]))
    quiet_gaps = gaps_in(came, [quiet])
    gaps = gaps_in(came, spans)
    tally.quiet_p99_ms, tally.quiet_max_ms = float(np.percentile(quiet_gaps, 99)), float(quiet_gaps.max())
    tally.p50_ms, tally.p99_ms, tally.max_ms = (float(np.percentile(gaps, each)) for each in (50, 99, 100))
    return tally


def swap(plant: Plant, store: BundleStore, number: int, tally: Tally) -> tuple[float, float]:
    """Activate the other release and order a reload; gives the time about it."""
    store.activate(NAME, 1 + number % 2)
    began = time.monotonic()
    reply = plant.consumer.reply(plant.consumer.command("config/reload"))
    ended = time.monotonic()
    if not reply["ok"] or "surface runs" not in reply["text"]:
        raise click.ClickException(f"no swap: {reply}")
    tally.swap_ms.append(round((ended - began) * 1e3, 1))
    time.sleep(_AFTER_S)
    return began, ended + _AFTER_S


def weigh(plant: Plant, store: BundleStore, number: int, tally: Tally) -> None:
    """Swap once more and look at the memory of all processes, pages that they share counted once; not timed."""
    seen: list[float] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.005):
            pids = [
                plant.daemon.pid,
                *(child.pid for child in psutil.Process(plant.daemon.pid).children(recursive=True)),
            ]
            seen.append(proportional_bytes(pids) / 1e6)

    thread = threading.Thread(target=look)
    thread.start()
    time.sleep(0.3)
    tally.before_mb = round(seen[-1], 1)
    swap(plant, store, number, Tally(tally.qos, 0))
    over.set()
    thread.join()
    tally.peak_mb = round(max(seen), 1)


def gaps_in(came: np.ndarray[Any, np.dtype[np.float64]], spans: list[tuple[float, float]]) -> np.ndarray[Any, Any]:
    """Give the gaps (ms) that end within one of the spans."""
    within = np.zeros(len(came) - 1, np.bool_)
    for start, end in spans:
        within |= (came[1:] >= start) & (came[1:] <= end)
    return np.diff(came)[within] * 1e3


@click.command()
@click.option("--swaps", default=20, show_default=True, help="At each QoS.")
@click.option("--fps", default=30.0, show_default=True, help="Of the camera.")
@click.option("--quick", is_flag=True, help="Three swaps.")
def main(*, swaps: int, fps: float, quick: bool) -> None:
    """Swap models under a running camera."""
    tallies = []
    for qos in (1, 0):
        tally = measure(qos, n_swaps=3 if quick else swaps, fps=fps)
        print(tally.line(), flush=True)
        tallies.append(tally)
    RESULTS.mkdir(exist_ok=True)
    report = {"benchmark": "swap", "fps": fps, "goal_p99_ms": GOAL_P99_MS, **machine()}
    report["runs"] = [asdict(tally) for tally in tallies]
    (RESULTS / "swap.json").write_text(json.dumps(report, indent=2) + "\n")
    lost = tallies[0].n_unjudged or any(tally.n_judged_twice for tally in tallies)
    sys.exit(3 if lost or any(tally.p99_ms > GOAL_P99_MS for tally in tallies) else 0)


if __name__ == "__main__":
    main()
