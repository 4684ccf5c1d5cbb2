"""Frames that were finished, by what their sources said of them: one that is delivered again is not worked on again."""

from __future__ import annotations

from collections import OrderedDict

from edge_runtime.daemon.intake import Item
from edge_runtime.mqtt.codec import FramePayload

#: A frame that a source told apart: camera, part, and the source's time in ms.
FrameKey = tuple[str, str | None, int]
_KEPT = 20_000


class FrameMemory:
    """The last 20,000 finished frames."""

    def __init__(self) -> None:
        self._finished: OrderedDict[FrameKey, None] = OrderedDict()

    def add(self, key: FrameKey | None) -> None:
        """Remember a frame; None is forgotten at once."""
        if key is not None:
            self._finished[key] = None
            while len(self._finished) > _KEPT:
                self._finished.popitem(last=False)

    def has(self, item: Item) -> bool:
        """Whether this very frame was finished before: it was delivered once more.

        Frames that name no part may share a millisecond; of those the broker must say that it delivers one again.
        """
        if not isinstance(item.payload, FramePayload) or (item.payload.part is None and not item.again):
            return False
        return frame_key(item.source, item.payload) in self._finished


def frame_key(source: str, payload: FramePayload) -> FrameKey | None:
    """Name a frame by what its source says of it; None where the source tells no time, so that copies look alike."""
    return (source, payload.part, round(payload.captured_at * 1000)) if payload.from_source else None
