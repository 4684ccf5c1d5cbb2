"""The sandboxed worker: payload in the ring to findings, and nothing else.

It knows no broker, no alarm and no clock of its own; it answers every input with ``Done``.
"""

from __future__ import annotations

import errno
import os
import socket
import time

import msgspec

from edge_runtime.daemon import protocol
from edge_runtime.daemon.ring import RingView
from edge_runtime.daemon.sandbox import confine
from edge_runtime.daemon.stream import Stream, build_pipeline
from edge_runtime.errors import EdgeRuntimeError

#: The kernel's limit on a worker's memory lies beyond the keeper's, so that one that grows is replaced and does not
#: go on for ever with every allocation refused.
_MARGIN_BYTES = 256 << 20
_TASK_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20


def serve(channel: socket.socket, orders_fd: int, ring: RingView, memory_limit: int) -> int:
    """Build the pipelines and work until the supervisor closes the channel.

    Parameters
    ----------
    channel : socket
        Sequenced packets to and from the supervisor.
    orders_fd : int
        Memory file with the ``Load`` message; later, after each ``Look``, with a ``Resume``.
    ring : RingView
        Where payloads are.
    memory_limit : int
        Bound on private memory, bytes.

    Returns
    -------
    status : int
        Exit status of the process.
    """
    orders = protocol.decode_to_worker(_read_orders(orders_fd))
    if not isinstance(orders, protocol.Load):
        return 1
    measures = confine(memory_limit_bytes=memory_limit + _MARGIN_BYTES)
    stream = _build(channel, orders)
    channel.send(protocol.encode(protocol.Ready(sandbox=tuple(measures))))
    while packet := _next_packet(channel):
        task = protocol.decode_to_worker(packet)
        if isinstance(task, protocol.Look):
            resume = protocol.decode_to_worker(_read_orders(orders_fd))
            if not isinstance(resume, protocol.Resume):
                return 1
            stream.resume(resume.states)
            continue
        if isinstance(task, (protocol.Load, protocol.Resume)):
            return 1
        started = time.perf_counter()
        outcomes = stream.process(task, ring.read(task.slot, task.n_bytes))
        busy_ms = (time.perf_counter() - started) * 1e3
        _answer(channel, protocol.Done(task.id, tuple(outcomes), busy_ms))
    return 0


def _read_orders(descriptor: int) -> bytes:
    """Read the memory file from its start, wherever the supervisor left its place."""
    data = bytearray()
    while piece := os.pread(descriptor, _PIECE_BYTES, len(data)):
        data += piece
    return bytes(data)


def _next_packet(channel: socket.socket) -> bytes:
    """Wait for the next task; empty when the supervisor has gone, however it went."""
    try:
        return channel.recv(_TASK_BYTES)
    except ConnectionResetError:
        return b""


def _answer(channel: socket.socket, done: protocol.Done) -> None:
    """Send an answer; one that is larger than the kernel's buffer goes without evidence.

    Where that is not enough it goes without window states too, which begin anew then.
    """
    try:
        channel.send(protocol.encode(done))
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise
        if any(outcome.windows for outcome in done.outcomes):
            _answer(channel, _without(done, windows=()))
        else:
            channel.send(protocol.encode(_without(done, state=None)))


def _without(done: protocol.Done, **empty: object) -> protocol.Done:
    """Leave something out of every outcome."""
    outcomes = tuple(msgspec.structs.replace(outcome, **empty) for outcome in done.outcomes)
    return msgspec.structs.replace(done, outcomes=outcomes)


def _build(channel: socket.socket, orders: protocol.Load) -> Stream:
    """Build each pipeline, saying which, so that a model that takes the process down is known by name."""
    pipelines = []
    for plan in orders.pipelines:
        channel.send(protocol.encode(protocol.Building(plan.name)))
        try:
            pipeline, built = build_pipeline(plan, orders)
        except EdgeRuntimeError as error:
            channel.send(protocol.encode(protocol.Refused(plan.name, str(error)[:2000])))
        else:
            pipelines.append(pipeline)
            channel.send(protocol.encode(built))
    return Stream(pipelines, max_pixels=orders.max_pixels)
