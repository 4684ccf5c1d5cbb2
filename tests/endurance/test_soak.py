"""Samples and pictures for a long time: memory, descriptors, threads and files stay what they were."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.endurance.alarming import RESTLESS, bad_and_good
from tests.endurance.results import DOCS, draw, is_recording, record
from tests.integration.daemon_rig import BASE, Daemon, Plant, until
from tests.integration.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

GROWTH_MB = 3.0
COMMAND = "make test-long (tests/endurance/test_soak.py)"
_RATE_HZ = 16.0
_DAY_MS = 86_400_000
_AHEAD = 200


@dataclass
class Reading:
    """What the daemon's processes hold at one moment."""

    at_s: float
    memory_mb: float
    descriptors: int
    threads: int
    files: int


def read(daemon: Daemon, began: float) -> Reading:
    """Look at supervisor, launcher and worker, and at the state folder."""
    supervisor = psutil.Process(daemon.pid)
    processes = [supervisor, *supervisor.children(recursive=True)]
    return Reading(
        time.monotonic() - began,
        sum(process.memory_full_info().pss for process in processes) / 1e6,
        sum(process.num_fds() for process in processes),
        sum(process.num_threads() for process in processes),
        sum(1 for _ in (daemon.folder / "state").rglob("*")),
    )


@dataclass
class Load:
    """Sends samples and pictures at an even pace, and never far ahead of the daemon."""

    plant: Plant
    n_messages: int
    n_frames: int
    duration_s: float
    messages: int = 0
    frames: int = 0
    _thread: threading.Thread | None = None
    _rows: np.ndarray = field(default_factory=lambda: np.random.default_rng(3).normal(size=(997, 4)).astype("<f4"))

    def begin(self) -> None:
        """Send from a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    @property
    def sending(self) -> bool:
        """Whether there is something left to send."""
        assert self._thread is not None
        return self._thread.is_alive()

    def _run(self) -> None:
        publish, pictures = self.plant.publisher.publish, bad_and_good(height=48, width=64)
        first_ms, began = round(time.time() * 1000) - _DAY_MS * 20, time.monotonic()
        every = self.n_messages // self.n_frames
        while self.messages < self.n_messages:
            if self.messages % 50 == 0:
                self._pace(began)
            payload = self._rows[self.messages % len(self._rows)].tobytes()
            at_ms = first_ms + round(self.messages * 1000 / _RATE_HZ)
            publish("plant/sensor/press1", payload, ts_ms=at_ms, seq=self.messages)
            self.messages += 1
            if self.messages % every == 0:
                now_ms = round(time.time() * 1000)
                publish("plant/cam/cam1/frame", pictures[self.frames % 2], part=f"part-{self.frames}", ts_ms=now_ms)
                self.frames += 1

    def _pace(self, began: float) -> None:
        """Wait for the moment at which the next message is due, and for the broker to take what is on its way."""
        due = began + self.duration_s * self.messages / self.n_messages
        time.sleep(max(0.0, due - time.monotonic()))
        while len(self.plant.publisher.client._out_messages) > _AHEAD:
            time.sleep(0.005)


@contextmanager
def plant_without_consumer(folder: Path, settings: str) -> Iterator[Plant]:
    """Start a broker that writes nothing and a daemon; nobody keeps what two million messages cause."""
    broker = Mosquitto(folder / "mosquitto", persistence=False)
    broker.start()
    try:
        with Plant(broker, Daemon(folder / "gateway", broker.port, RESTLESS, settings=settings)) as plant:
            plant.consumer.client.unsubscribe(f"{BASE}/#")
            plant.daemon.start()
            yield plant
    finally:
        broker.kill()


@pytest.mark.parametrize(
    ("n_messages", "n_frames", "duration_s"),
    [
        pytest.param(20_000, 1_000, 25.0, id="20,000 messages"),
        pytest.param(
            2_000_000, 100_000, 2400.0, id="2,000,000 messages", marks=[pytest.mark.long, pytest.mark.timeout(7200)]
        ),
    ],
)
def test_nothing_grows_however_long_it_runs(n_messages: int, n_frames: int, duration_s: float, tmp_path: Path) -> None:
    settings = "[outbox]\nmax_bytes = 33554432\nevidence_max_bytes = 8388608"
    with plant_without_consumer(tmp_path, settings) as plant:
        load, readings = Load(plant, n_messages, n_frames, duration_s), []
        began = time.monotonic()
        load.begin()
        while load.sending:
            readings.append(read(plant.daemon, began))
            time.sleep(duration_s / 240)
        until(
            lambda: plant.daemon.metric("edge_processed_total", source="press1") >= n_messages, "samples", within_s=120
        )
        until(lambda: plant.daemon.metric("edge_processed_total", source="cam1") >= n_frames, "pictures", within_s=120)
        readings.append(read(plant.daemon, began))
        replaced = plant.daemon.metric("edge_worker_replacements_total")
    quarter = [each for each in readings if 0.22 <= each.at_s / readings[-1].at_s <= 0.28]
    last = readings[-max(3, len(quarter)) :]
    growth_mb = median_mb(last) - median_mb(quarter)
    assert replaced == 0
    assert max(each.descriptors for each in last) <= max(each.descriptors for each in quarter)
    assert max(each.threads for each in last) <= max(each.threads for each in quarter)
    if n_messages > 1_000_000:
        assert growth_mb <= GROWTH_MB
        assert max(each.files for each in last) <= max(each.files for each in quarter) + 2
        took_s = readings[-1].at_s
        if is_recording():
            draw(
                DOCS / "endurance-memory.svg",
                "memory of all processes",
                "MB",
                [(r.at_s, r.memory_mb) for r in readings],
            )
        record(
            f"soak: {n_messages:,} sensor messages and {n_frames:,} pictures in {took_s / 60:.0f} min",
            goal=f"memory at the end minus at 25 % at most {GROWTH_MB:g} MB; descriptors, threads, files do not grow",
            measured=f"{growth_mb:+.1f} MB ({median_mb(quarter):.1f} to {median_mb(last):.1f} MB); descriptors"
            f" {quarter[0].descriptors} to {last[-1].descriptors}, threads {quarter[0].threads} to {last[-1].threads},"
            f" files {quarter[0].files} to {last[-1].files}; worker replaced {replaced:g} times",
            command=COMMAND,
            growth_mb=growth_mb, took_s=took_s, memory_mb=[round(r.memory_mb, 2) for r in readings[::4]],
        )  # fmt: skip


def median_mb(readings: list[Reading]) -> float:
    """Median of memory."""
    return statistics.median(each.memory_mb for each in readings)
