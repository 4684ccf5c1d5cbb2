"""One process of a running plant is killed again and again in mid-stream; afterwards everything is counted."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import Literal

from tests.integration.daemon_rig import Plant, settle, until
from tests.integration.factory_inputs import RATE_HZ, ROWS, picture, samples

Victim = Literal["supervisor", "worker", "mosquitto", "all of them"]
PICTURES = 32
_FRAME_EVERY_S = 0.03
_AHEAD = 150
_BLOCK_MS = round(1000 * ROWS / RATE_HZ)


@dataclass
class Tally:
    """What came of it.

    ``lost`` counts events that are committed in the outbox and that the consumer lacks after recovery; ``silent`` are
    parts that were published and have no verdict, ``judged_twice`` those with several.
    """

    victim: Victim
    kills: int = 0
    frames: int = 0
    blocks: int = 0
    committed: int = 0
    received: int = 0
    duplicates: int = 0
    lost: int = 0
    silent: int = 0
    judged_twice: int = 0
    out_of_order: int = 0
    longest_outage_s: float = 0.0

    def line(self) -> str:
        """One row for people."""
        return (
            f"{self.victim:<11} {self.kills:>3} kills  {self.frames:>6} frames  {self.blocks:>6} blocks  "
            f"{self.committed:>6} committed  {self.received:>6} received  {self.duplicates:>5} duplicates  "
            f"{self.lost:>3} lost  {self.silent:>3} parts without verdict  {self.judged_twice:>3} judged twice  "
            f"longest outage {self.longest_outage_s:.2f} s"
        )


@dataclass
class Stream:
    """Frames with a part each, and sensor blocks, published until it is told to stop."""

    plant: Plant
    first_ms: int = field(default_factory=lambda: round(time.time() * 1000) - 86_400_000)
    frames: int = 0
    blocks: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def block_time_ms(self, number: int) -> int:
        """Time of a block's first sample."""
        return self.first_ms + number * _BLOCK_MS

    def begin(self) -> None:
        """Publish from a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop, and wait until the broker has taken everything."""
        self._ended.set()
        assert self._thread is not None
        self._thread.join(10)
        self.plant.publisher.flush(within_s=120)

    def _run(self) -> None:
        publish = self.plant.publisher.publish
        while not self._ended.wait(_FRAME_EVERY_S):
            if self.frames - len(self.plant.consumer.events) > _AHEAD:
                continue
            number = self.frames
            publish(
                "plant/cam/cam1/frame",
                picture(number % PICTURES),
                part=f"part-{number}",
                seq=number,
                ts_ms=round(time.time() * 1000),
            )
            self.frames += 1
            publish(
                "plant/sensor/press1",
                samples(self.blocks).tobytes(),
                seq=self.blocks,
                ts_ms=self.block_time_ms(self.blocks),
            )
            self.blocks += 1


def kill_in_mid_stream(plant: Plant, victim: Victim, *, kills: int, seed: int) -> tuple[Tally, Stream]:
    """Kill, bring back, and count; the plant's daemon runs before and after."""
    tally, stream, rng = Tally(victim), Stream(plant), random.Random(seed)
    strike = {
        "supervisor": _kill_supervisor,
        "worker": _kill_worker,
        "mosquitto": _kill_mosquitto,
        "all of them": _cut_power,
    }[victim]
    stream.begin()
    for _ in range(kills):
        _wait_for_verdicts(plant, 3)
        time.sleep(rng.uniform(0.0, 0.4))
        began = time.monotonic()
        strike(plant)
        _wait_for_verdicts(plant, 1)
        tally.longest_outage_s = max(tally.longest_outage_s, time.monotonic() - began)
        tally.kills += 1
    stream.end()
    _count(plant, stream, tally)
    return tally, stream


def _wait_for_verdicts(plant: Plant, count: int) -> None:
    """Let the stream flow until the consumer has so many more verdicts."""
    wanted = len(plant.consumer.events) + count
    until(lambda: len(plant.consumer.events) >= wanted, f"{count} more events", within_s=30)


def _kill_supervisor(plant: Plant) -> None:
    plant.daemon.kill()
    plant.daemon.start(ready=False)


def _kill_worker(plant: Plant) -> None:
    pid = plant.daemon.worker_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def _kill_mosquitto(plant: Plant) -> None:
    plant.broker.kill()
    plant.broker.start()


def _cut_power(plant: Plant) -> None:
    plant.broker.kill()
    plant.daemon.kill()
    plant.broker.start()
    plant.daemon.start(ready=False)


def _count(plant: Plant, stream: Stream, tally: Tally) -> None:
    """Wait until nothing moves any more, ask for what is missing, and compare with the outbox."""
    consumer, daemon = plant.consumer, plant.daemon
    until(daemon.ready, "the daemon is ready", within_s=20)
    settle(lambda: (daemon.metric("edge_processed_total"), len(daemon.committed())), quiet_s=2.0, within_s=120)
    tally.lost = len(consumer.recover(daemon))
    committed, verdicts = daemon.committed(), consumer.verdicts()
    tally.frames, tally.blocks, tally.committed = stream.frames, stream.blocks, len(committed)
    tally.received, tally.duplicates = len(consumer.events), consumer.duplicates
    tally.silent = sum(f"part-{number}" not in verdicts for number in range(stream.frames))
    tally.judged_twice = sum(len(given) > 1 for given in verdicts.values())
    tally.out_of_order = sum(numbers != sorted(numbers) for numbers in consumer.order.values())
