"""Inputs that killed workers, kept for whoever mends the decoder or the model. Bounded; never tried again by itself."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np

from edge_runtime.daemon.intake import Item
from edge_runtime.mqtt.codec import FramePayload

_log = logging.getLogger(__name__)

_FILES = 32


class SetAside:
    """A folder of at most 32 inputs, the oldest removed first.

    Parameters
    ----------
    folder : Path
        Made when it is first needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, item: Item) -> str:
        """Write an input's payload.

        Returns
        -------
        path : str
            Where it is; a word of why not when the disk refuses.
        """
        payload = item.payload
        data = bytes(payload.payload) if isinstance(payload, FramePayload) else np.asarray(payload.values).tobytes()
        ending = payload.header.format if isinstance(payload, FramePayload) else "raw"
        path = self._folder / f"{item.source}-{hashlib.sha256(data).hexdigest()[:16]}.{ending}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            kept = sorted(self._folder.iterdir(), key=lambda each: each.stat().st_mtime_ns)
            for old in kept[:-_FILES]:
                old.unlink()
        except OSError as error:
            _log.warning("stage=processing an input cannot be kept: %s", error)
            return "nothing (the disk refuses)"
        return str(path)
