"""A TCP proxy that does to a link what networks do, switchable while connections stand.

It knows nothing of what it carries: bytes pass, wait, come slowly, come damaged, or do not come. It runs in a thread of
its own with an event loop of its own; every switch takes effect before its method returns.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self, TypeVar

#: ``up`` is from the client that connects here to the target, ``down`` the way back.
Direction = Literal["up", "down"]
#: Reads what one direction of one connection carries and gives what is sent on; a new one for each connection.
Rewriter = Callable[[bytes], bytes]
Result = TypeVar("Result")

_CHUNK_BYTES = 16_384
_UNDERWAY = 256
_TICK_S = 0.02
_RESET = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Connection:
    """Two sockets and the tasks that move bytes between them."""

    client: socket.socket
    server: socket.socket | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    carried: int = 0
    spoiled: bool = False
    n_ended: int = 0

    def end(self, *, reset: bool) -> None:
        """End both sides at once, in good order or with a reset."""
        for task in self.tasks:
            task.cancel()
        for end in (self.client, self.server):
            if end is not None and end.fileno() >= 0:
                if reset:
                    with suppress(OSError):
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.close()


@dataclass
class _Weather:
    """What is done to bytes now."""

    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    damaged_share: float = 0.0
    stalled: frozenset[Direction] = frozenset()
    silent: bool = False
    cut_after: int = 0
    answer: bytes = b""
    rewriters: dict[Direction, Callable[[], Rewriter]] = field(default_factory=dict)


class FaultProxy:
    """Listens on a loopback port and passes connections on to another one.

    Parameters
    ----------
    target_port : int
        Where connections are passed on to.
    host : str
        Where the target listens.
    seed : int
        Of the damage.

    Attributes
    ----------
    port : int
        Where clients connect; the same from ``start`` to ``close``, also after ``refuse``.
    n_accepted : int
        Connections so far.
    carried : dict of str to int
        Bytes sent on so far, by direction.
    """

    def __init__(self, target_port: int, *, host: str = "127.0.0.1", seed: int = 1) -> None:
        self._target = (host, target_port)
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self._weather = _Weather()
        self._changed = asyncio.Event()
        self._connections: set[_Connection] = set()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self.port = 0
        self.n_accepted = 0
        self.carried: dict[Direction, int] = {"up": 0, "down": 0}

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> Self:
        """Listen."""
        self._thread.start()
        self._do(self._listen)
        return self

    def close(self) -> None:
        """End every connection and the thread."""
        self._do(self._shut)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def n_connected(self) -> int:
        """Connections that stand."""
        return len(self._connections)

    # Switches ---------------------------------------------------------------------------------------------------

    def pass_on(self) -> None:
        """End every fault: bytes pass as they are. Connections that lost bytes meanwhile are reset."""
        self._do(self._pass_on)

    def cut(self) -> None:
        """Reset every connection; new ones pass."""
        self._do(self._cut)

    def refuse(self) -> None:
        """Reset every connection and refuse new ones, as a port does on which nobody listens."""
        self._do(self._refuse)

    def black_hole(self) -> None:
        """Swallow every byte of both directions; new connections are accepted and hear nothing."""
        self._change(silent=True)

    def delay(self, seconds: float) -> None:
        """Let every byte arrive so much later, in both directions."""
        self._change(delay_s=seconds)

    def throttle(self, bytes_per_s: float) -> None:
        """Let no more bytes pass per second, in each direction of each connection."""
        self._change(bytes_per_s=bytes_per_s)

    def damage(self, share: float) -> None:
        """Flip a bit in such a share of the bytes, in both directions."""
        self._change(damaged_share=share)

    def stall(self, direction: Direction) -> None:
        """Stop reading from one side; what it sent waits and comes later."""
        self._change(stalled=self._weather.stalled | {direction})

    def cut_after(self, n_bytes: int) -> None:
        """Reset each connection as soon as it has carried so many more bytes."""
        self._change(cut_after=n_bytes)

    def answer_with(self, data: bytes) -> None:
        """Answer the first bytes of every new connection with these, and hang up; standing ones are reset."""
        self._change(answer=data)
        self.cut()

    def rewrite(self, direction: Direction, make: Callable[[], Rewriter]) -> None:
        """Let a function rewrite one direction; standing connections are reset so that it sees each from its start."""
        self._change(rewriters={**self._weather.rewriters, direction: make})
        self.cut()

    # The loop's side ---------------------------------------------------------------------------------------------

    def _do(self, action: Callable[[], Awaitable[Result]]) -> Result:
        """Run something in the loop's thread and wait for it."""

        async def run() -> Result:
            return await action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)

    def _change(self, **fields: object) -> None:
        async def change() -> None:
            for name, value in fields.items():
                setattr(self._weather, name, value)
            for connection in self._connections:
                connection.carried = 0
            self._wake()

        self._do(change)

    def _wake(self) -> None:
        """Let whatever waits for other weather look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        listener.setblocking(False)
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        self._accepting = self._loop.create_task(self._accept(listener))

    async def _pass_on(self) -> None:
        self._weather = _Weather()
        self._wake()
        for connection in [each for each in self._connections if each.spoiled]:
            self._end(connection)
        if self._listener is None:
            await self._listen()

    async def _cut(self) -> None:
        for connection in list(self._connections):
            self._end(connection)

    async def _refuse(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            with suppress(asyncio.CancelledError):
                await self._accepting
        if self._listener is not None:
            self._listener.close()
        self._listener = self._accepting = None
        await self._cut()

    async def _shut(self) -> None:
        await self._refuse()
        others = asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _end(self, connection: _Connection, *, reset: bool = True) -> None:
        connection.end(reset=reset)
        self._connections.discard(connection)

    async def _accept(self, listener: socket.socket) -> None:
        while True:
            client, _ = await self._loop.sock_accept(listener)
            client.setblocking(False)
            self.n_accepted += 1
            connection = _Connection(client)
            self._connections.add(connection)
            connection.tasks.append(self._loop.create_task(self._serve(connection)))

    async def _serve(self, connection: _Connection) -> None:
        """Pass a connection on, unless the weather has another answer for it."""
        try:
            while self._weather.silent:
                connection.spoiled = True
                await self._changed.wait()
            if self._weather.answer:
                await self._loop.sock_recv(connection.client, _CHUNK_BYTES)
                await self._loop.sock_sendall(connection.client, self._weather.answer)
                connection.client.shutdown(socket.SHUT_WR)
                await self._loop.sock_recv(connection.client, _CHUNK_BYTES)
                self._end(connection)
                return
            server = connection.server = socket.socket()
            server.setblocking(False)
            await self._loop.sock_connect(server, self._target)
        except OSError:
            self._end(connection)
            return
        for end in (connection.client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pipes = (("up", connection.client, server), ("down", server, connection.client))
        for direction, source, sink in pipes:
            queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDERWAY)
            make = self._weather.rewriters.get(direction)  # type: ignore[call-overload] # the two words above
            rewriter = None if make is None else make()
            connection.tasks += [
                self._loop.create_task(self._read(connection, direction, source, queue, rewriter)),  # type: ignore[arg-type]
                self._loop.create_task(self._write(connection, direction, sink, queue)),  # type: ignore[arg-type]
            ]

    async def _read(
        self,
        connection: _Connection,
        direction: Direction,
        source: socket.socket,
        queue: asyncio.Queue[tuple[float, bytes]],
        rewriter: Rewriter | None,
    ) -> None:
        """Take bytes from one side and put them on the way; no bytes are the end of that side."""
        try:
            while True:
                while direction in self._weather.stalled:
                    await self._changed.wait()
                data = await self._loop.sock_recv(source, _CHUNK_BYTES)
                due = time.monotonic() + self._weather.delay_s
                if self._weather.silent and data:
                    connection.spoiled = True
                    continue
                if data and rewriter is not None:
                    data = rewriter(data)
                    if not data:
                        continue
                await queue.put((due, data))
                if not data:
                    return
        except OSError:
            self._end(connection)

    async def _write(
        self,
        connection: _Connection,
        direction: Direction,
        sink: socket.socket,
        queue: asyncio.Queue[tuple[float, bytes]],
    ) -> None:
        """Let what is on the way arrive, when it is due and as fast as it may."""
        try:
            while True:
                due, data = await queue.get()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if not data:
                    while self._weather.silent:  # the end of the other side is not heard either
                        await self._changed.wait()
                    sink.shutdown(socket.SHUT_WR)
                    connection.n_ended += 1
                    if connection.n_ended == len(self.carried):
                        self._end(connection, reset=False)
                    return
                await self._send(connection, direction, sink, self._damaged(data))
        except OSError:
            self._end(connection)

    async def _send(self, connection: _Connection, direction: Direction, sink: socket.socket, data: bytes) -> None:
        """Send bytes on, in small pieces while the link is slow."""
        while data:
            while direction in self._weather.stalled:
                await self._changed.wait()
            rate, limit = self._weather.bytes_per_s, self._weather.cut_after
            piece = data[: max(1, int(rate * _TICK_S))] if rate else data
            if limit:
                piece = piece[: max(0, limit - connection.carried)]
            await self._loop.sock_sendall(sink, piece)
            connection.carried += len(piece)
            self.carried[direction] += len(piece)
            data = data[len(piece) :]
            if limit and connection.carried >= limit:
                self._end(connection)
                return
            if rate:
                await asyncio.sleep(len(piece) / rate)

    def _damaged(self, data: bytes) -> bytes:
        """Flip single bits."""
        share = self._weather.damaged_share
        if not share:
            return data
        damaged = bytearray(data)
        for place in range(len(damaged)):
            if self._rng.random() < share:
                damaged[place] ^= 1 << self._rng.randrange(8)
        return bytes(damaged)
