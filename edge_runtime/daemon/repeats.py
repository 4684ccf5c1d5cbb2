"""Frames that were finished, by what their sources said of them: one that is delivered again is not worked on again."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping

import msgspec

from edge_runtime.daemon.intake import Item
from edge_runtime.mqtt.codec import FramePayload

#: A frame that a source told apart: camera, part, and the source's time in ms.
FrameKey = tuple[str, str | None, int]
#: Key prefix of a camera's last finished frames in the outbox's state table.
FRAMES = "frames/"
_KEPT = 20_000


class FrameMemory:
    """The last 20,000 finished frames, and of each camera the newest, which outlive the process.

    Parameters
    ----------
    n_lasting : int
        So many of each camera are checkpointed: as many as may be finished and not acknowledged.
    """

    def __init__(self, n_lasting: int = 64) -> None:
        self._finished: OrderedDict[FrameKey, None] = OrderedDict()
        self._n_lasting = n_lasting
        self._newest: dict[str, deque[tuple[str | None, int]]] = {}

    def add(self, key: FrameKey | None) -> None:
        """Remember a frame; None is forgotten at once."""
        if key is not None:
            self._finished[key] = None
            while len(self._finished) > _KEPT:
                self._finished.popitem(last=False)

    def finish(self, key: FrameKey | None) -> tuple[str, bytes] | None:
        """Remember a frame that is finished now.

        Returns
        -------
        state : (str, bytes) or None
            Key and value in the state table, to be committed with what the frame caused; None where it has no name.
        """
        if key is None:
            return None
        self.add(key)
        camera, part, taken_ms = key
        newest = self._newest.setdefault(camera, deque(maxlen=self._n_lasting))
        newest.append((part, taken_ms))
        return FRAMES + camera, msgspec.msgpack.encode(list(newest))

    def restore(self, stored: Mapping[str, bytes]) -> None:
        """Take over what was checkpointed, by key; a value that cannot be read is left out."""
        for name, value in stored.items():
            camera = name.removeprefix(FRAMES)
            try:
                frames = msgspec.msgpack.decode(value, type=list[tuple[str | None, int]])
            except msgspec.MsgspecError:
                continue
            self._newest[camera] = deque(frames, maxlen=self._n_lasting)
            for part, taken_ms in frames:
                self.add((camera, part, taken_ms))

    def forget_others(self, cameras: set[str]) -> list[str]:
        """Keep the checkpoints of these cameras only, and give the state keys of the others."""
        gone = sorted(self._newest.keys() - cameras)
        for camera in gone:
            del self._newest[camera]
        return [FRAMES + camera for camera in gone]

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
