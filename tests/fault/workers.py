"""A keeper with a real launcher and real workers, and a way to wait for what they say."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import cv2
import numpy as np

from edge_runtime.daemon import protocol
from edge_runtime.daemon.keeper import Event, Lost, WorkerKeeper, WorkerLimits
from edge_runtime.daemon.ring import Ring
from tests.bundles import TRUSTED_PEM, image_bundle

PATIENCE_S = 30.0
Kind = TypeVar("Kind")

image_plan_bundle = functools.cache(image_bundle)


def image_plan(name: str = "surface", *, bundle: bytes | None = None) -> protocol.PipelinePlan:
    """Give a pipeline on the camera ``cam1``."""
    data = image_plan_bundle() if bundle is None else bundle
    return protocol.PipelinePlan(name, data, (protocol.SourcePlan("cam1"),), {}, ())


@functools.cache
def picture(value: int = 128) -> bytes:
    """Encode a plain picture as PNG."""
    done, data = cv2.imencode(".png", np.full((48, 64, 3), value, np.uint8))
    assert done
    return data.tobytes()


def alive(pid: int) -> bool:
    """Whether a process is there and not only waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_for(holds: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
    """Look again and again until something holds."""
    until = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.002)


@dataclass
class Shop:
    """A keeper and everything that its workers said."""

    plans: Sequence[protocol.PipelinePlan] = field(default_factory=lambda: (image_plan(),))
    limits: WorkerLimits = field(default_factory=lambda: WorkerLimits(hang_s=0.5))
    said: list[Event] = field(default_factory=list)
    slots: dict[int, int] = field(default_factory=dict)
    n_tasks: int = 0

    def __enter__(self) -> Self:
        self.ring = Ring(4, 1 << 20)
        self.keeper = WorkerKeeper(self.ring, self.orders, formats=["tflite"], limits=self.limits, clock=time.monotonic)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.keeper.close()
        self.ring.close()

    def orders(self) -> protocol.Load:
        return protocol.Load(tuple(self.plans), (TRUSTED_PEM,), {}, 1 << 20)

    @property
    def launcher(self) -> int:
        return self.keeper.pids[0]

    @property
    def worker(self) -> int:
        return self.keeper.pids[1]

    def submit(self, payload: bytes) -> int:
        self.n_tasks += 1
        slot = self.slots[self.n_tasks] = self.ring.fill(payload)
        self.keeper.submit(protocol.FrameTask(self.n_tasks, "cam1", slot, len(payload), 1000.0, None))
        return self.n_tasks

    def turn(self) -> None:
        self.keeper.wait(0.01)
        for event in self.keeper.poll():
            self.said.append(event)
            if isinstance(event, protocol.Done):
                self.ring.release(self.slots.pop(event.id))
            elif isinstance(event, Lost):
                for number in list(self.slots):
                    self.ring.release(self.slots.pop(number))

    def until(self, holds: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
        ends = time.monotonic() + patience_s
        while not holds():
            assert time.monotonic() < ends, f"waited in vain; heard {self.said[-5:]}"
            self.turn()

    def until_ready(self) -> None:
        self.until(lambda: self.keeper.ready and len(self.keeper.pids) == 2)

    def until_heard(self, kind: type[Kind], n: int = 1) -> list[Kind]:
        self.until(lambda: len(self.heard(kind)) >= n)
        return self.heard(kind)

    def heard(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.said if isinstance(event, kind)]


def descendants(pid: int) -> list[int]:
    """List the processes below one."""
    children = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        children += [int(word) for word in task.read_text().split()]
    return children + [below for child in children for below in descendants(child)]
