"""Samples whose time is that of their arrival: on a clock that never jumps inside, on the wall clock outside.

A window of such samples would end where the wall clock is set.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from msgspec import structs

from edge_runtime.daemon.protocol import Outcome
from edge_runtime.mqtt.codec import SensorBlock


def steadied(block: SensorBlock, shift_s: float) -> SensorBlock:
    """Move the times of a block by so many seconds."""
    return replace(block, timestamps_s=block.timestamps_s + shift_s)


def as_told(outcome: Outcome, shift_s: float) -> Outcome:
    """Move the times of an outcome back by the shift of the block that caused it.

    Parameters
    ----------
    outcome : Outcome
        As the worker gave it.
    shift_s : float
        Of the block.
    """
    if not shift_s or outcome.at is None:
        return outcome
    windows = tuple(
        structs.replace(window, times=(np.frombuffer(window.times, "<f8") - shift_s).tobytes())
        for window in outcome.windows
    )
    return structs.replace(outcome, at=outcome.at - shift_s, windows=windows)
