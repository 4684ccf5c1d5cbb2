"""Inputs that an emitted model is tried on: seeded noise of several kinds and the extremes, within limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import FirmwareError
from firmware_bridge.manifest import PortManifest

#: One record's noise is made in 64-bit numbers; all records live in memory and are handed on as files.
MAX_RECORD_BYTES: Final = 16 << 20
MAX_SAMPLES_BYTES: Final = 128 << 20
_CONSTANT_RECORDS: Final = 4

Record = tuple[npt.NDArray[np.generic], ...]


def _range_of(port: PortManifest) -> tuple[int, int]:
    limits = np.iinfo(port.dtype)
    return max(int(limits.min), -32768), min(int(limits.max), 32767)


def _noise(port: PortManifest, dice: np.random.Generator, kind: int) -> npt.NDArray[np.generic]:
    if port.dtype == "float32":
        return dice.normal(0.0, 2.0, port.shape).astype(np.float32)
    low, high = _range_of(port)
    if kind % 4 == 0:
        values = dice.integers(low, high + 1, port.shape)
    elif kind % 4 == 1:
        values = np.clip(np.rint(dice.normal(port.zero_point, (high - low) / 12, port.shape)), low, high)
    elif kind % 4 == 2:  # noqa: PLR2004 - the third of four kinds
        values = np.clip(port.zero_point + np.cumsum(dice.integers(-9, 10, port.shape), axis=-1), low, high)
    else:
        values = np.where(dice.random(port.shape) < 0.5, low, high)  # noqa: PLR2004 - a fair coin
    return values.astype(port.dtype)


def _constant(port: PortManifest, kind: int) -> npt.NDArray[np.generic]:
    if port.dtype == "float32":
        value = (0.0, 1e4, -1e4, 0.5)[kind]  # quotients beyond 32 bits are undefined in the reference
        return np.full(port.shape, value, np.float32)
    low, high = _range_of(port)
    return np.full(port.shape, (low, high, port.zero_point, (low + high) // 2)[kind], port.dtype)


def most_samples(ports: Sequence[PortManifest]) -> int:
    """Return how many seeded records ``make_samples`` makes at most beside the constant ones.

    Parameters
    ----------
    ports : sequence of PortManifest
        The graph's inputs.

    Returns
    -------
    count : int
        0 when one record is too large already.
    """
    each = sum(port.nbytes for port in ports)
    return 0 if each > MAX_RECORD_BYTES else MAX_SAMPLES_BYTES // max(each, 1) - _CONSTANT_RECORDS


def make_samples(ports: Sequence[PortManifest], count: int, seed: int) -> list[Record]:
    """Make input records.

    Parameters
    ----------
    ports : sequence of PortManifest
        The graph's inputs.
    count : int
        Seeded records; four constant ones (lowest, highest, zero point, middle) follow.
    seed : int
        For the noise: uniform, normal around the zero point, random walks, and codes at both ends in turn.

    Returns
    -------
    records : list of tuple of arrays
        One array per input, in its shape and dtype.

    Raises
    ------
    FirmwareError
        When a record has more than ``MAX_RECORD_BYTES``, or all together more than ``MAX_SAMPLES_BYTES``.
    """
    most = most_samples(ports)
    if count > most or not most:
        each = sum(port.nbytes for port in ports)
        advice = f"ask for at most {most} inputs" if most else "a model with so large an input cannot be verified"
        raise FirmwareError(f"{count} inputs of {each} bytes are too many: {advice}")
    dice = np.random.default_rng(seed)
    records: list[Record] = [tuple(_noise(port, dice, kind) for port in ports) for kind in range(count)]
    records += [tuple(_constant(port, kind) for port in ports) for kind in range(_CONSTANT_RECORDS)]
    return records
