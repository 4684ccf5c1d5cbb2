"""A keeper whose launcher and worker say exactly what a test lets them say."""

from __future__ import annotations

import os
import socket
from typing import Any

import msgspec

from edge_runtime.daemon import protocol
from edge_runtime.daemon.keeper import Event, WorkerKeeper, WorkerLimits
from edge_runtime.daemon.launching import Launcher
from edge_runtime.daemon.ring import Ring

NOBODY = 1 << 30  # beyond every process id
READY = protocol.Ready(())
BUILT = protocol.Built("surface", "litert", None)


class NoProcess:
    """A launcher without a process."""

    pid = NOBODY

    def kill(self) -> None:
        """There is nobody."""

    def wait(self) -> int:
        return -9


class Scripted(WorkerKeeper):
    """A keeper whose launcher and worker are this test's ends of the sockets."""

    def __init__(self, ring: Ring, **limits: Any) -> None:
        self.now = 0.0
        self.launched_at: list[float] = []
        self.ends: list[socket.socket] = []
        super().__init__(ring, self.orders, formats=["tflite"], limits=WorkerLimits(**limits), clock=lambda: self.now)

    def orders(self) -> protocol.Load:
        return protocol.Load((protocol.PipelinePlan("surface", b"", (), {}, ()),), (), {}, 1)

    def _launch(self, formats: frozenset[str], now: float) -> Launcher:
        ours, self.launcher = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.launcher.settimeout(5.0)
        self.ends.append(self.launcher)
        self.launched_at.append(now)
        return Launcher(NoProcess(), ours, formats, now)

    def poll(self) -> list[Event]:
        """Poll, and once more where a worker is to be asked for or switched to."""
        events = super().poll()
        return [*events, *super().poll()] if self.vacant else events

    def close(self) -> None:
        super().close()
        for end in self.ends:
            end.close()

    def stand_up(self) -> None:
        """Let the launcher report and fork a worker that gets ready."""
        self.poll()
        self.launcher.send(b"up")
        self.poll()
        self.take_request()
        self.say(protocol.Building("surface"), BUILT, READY)
        self.poll()

    def take_request(self) -> protocol.Load:
        """Receive the request for a worker as the launcher does."""
        word, descriptors, _, _ = socket.recv_fds(self.launcher, 16, 2)
        assert word == b"fork"
        self.worker = socket.socket(fileno=descriptors[0])
        self.ends.append(self.worker)
        with os.fdopen(descriptors[1], "rb") as file:
            file.seek(0)
            load = protocol.decode_to_worker(file.read())
        assert isinstance(load, protocol.Load)
        return load

    def say(self, *messages: msgspec.Struct) -> None:
        for message in messages:
            self.worker.send(protocol.encode(message))

    def give(self, *numbers: int) -> None:
        for number in numbers:
            self.submit(protocol.FrameTask(number, "cam1", 0, 1, 0.0, None))
