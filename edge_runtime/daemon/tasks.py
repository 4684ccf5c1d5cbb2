"""An input as a worker takes it: bytes for a slot of the ring, and the task that names the slot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_runtime.daemon.intake import Item
from edge_runtime.daemon.protocol import BlockTask, FrameTask
from edge_runtime.mqtt.codec import FramePayload, SensorBlock


def payload_bytes(payload: FramePayload | SensorBlock) -> bytes | memoryview:
    """Give a picture as it came, or a block as ``protocol.BlockTask`` says: times, then values."""
    if isinstance(payload, FramePayload):
        return payload.payload
    times = np.ascontiguousarray(payload.timestamps_s, np.float64)
    return times.tobytes() + np.ascontiguousarray(payload.values, np.float32).tobytes()


def write_task(item: Item, slot: int, n_bytes: int, channels: Sequence[str]) -> FrameTask | BlockTask:
    """Name an input in a slot.

    Parameters
    ----------
    item : Item
        The input.
    slot : int
        Where its bytes are.
    n_bytes : int
        How many.
    channels : sequence of str
        Of its source, for a sensor.
    """
    payload = item.payload
    if isinstance(payload, FramePayload):
        return FrameTask(item.id, item.source, slot, n_bytes, payload.captured_at, payload.part)
    first = channels.index(payload.channels[0])
    rows, columns = payload.values.shape
    return BlockTask(item.id, item.source, slot, n_bytes, rows, columns, first, item.again)
