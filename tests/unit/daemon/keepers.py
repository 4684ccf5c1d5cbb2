"""A keeper whose launcher and worker say exactly what a test lets them say."""

from __future__ import annotations

import os
import socket
from typing import Any, BinaryIO

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
        self.files: list[BinaryIO] = []
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
        for file in self.files:
            file.close()

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
        self.orders_file = os.fdopen(descriptors[1], "rb")
        self.files.append(self.orders_file)
        load = self.read_orders()
        assert isinstance(load, protocol.Load)
        return load

    def read_orders(self) -> protocol.ToWorker:
        """Read what the memory file of the last worker holds."""
        orders: protocol.ToWorker = protocol.decode_to_worker(os.pread(self.orders_file.fileno(), 1 << 24, 0))
        return orders

    def heard(self) -> list[protocol.ToWorker]:
        """Give what the last worker was sent."""
        self.worker.setblocking(False)
        messages = []
        while True:
            try:
                messages.append(protocol.decode_to_worker(self.worker.recv(1 << 16)))
            except BlockingIOError:
                return messages

    def build_beside(self, *messages: msgspec.Struct) -> socket.socket:
        """Have another worker built that says so much; gives the present one's end."""
        present = self.worker
        self.renew()
        self.poll()
        self.take_request()
        self.say(*messages)
        return present

    def say(self, *messages: msgspec.Struct) -> None:
        for message in messages:
            self.worker.send(protocol.encode(message))

    def give(self, *numbers: int) -> None:
        for number in numbers:
            self.submit(protocol.FrameTask(number, "cam1", 0, 1, 0.0, None))
