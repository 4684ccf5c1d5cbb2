"""Which samples become golden: few enough for a small bundle, and decided so clearly that another engine agrees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Manifest
from edge_runtime.inference.golden import decisions
from edge_runtime.inference.interface import Array

#: Golden inputs together, in bytes: a noisy picture does not shrink.
MAX_INPUT_BYTES = 350_000
MOST, FEWEST = 16, 4


def golden_count(sample_bytes: int) -> int:
    """Say how many golden samples a bundle has.

    Parameters
    ----------
    sample_bytes : int
        Of one input.

    Returns
    -------
    count : int
        16, fewer for large inputs, never below 4.

    Examples
    --------
    >>> golden_count(128 * 128 * 3)
    7
    """
    return max(FEWEST, min(MOST, MAX_INPUT_BYTES // max(sample_bytes, 1)))


def clearly_decided(manifest: Manifest, output: Array, max_lsb: int) -> npt.NDArray[np.bool_]:
    """Say of which samples the decision stays when codes move by what another engine may differ.

    Every value is moved up by ``max_lsb`` with all others down, and the other way round, saturating.

    Parameters
    ----------
    manifest : Manifest
        Task, labels, decision and quantization of the output.
    output : integer array, shape (n_samples, ...)
        The first output's codes.
    max_lsb : int
        How far an engine may differ.

    Returns
    -------
    clear : bool, shape (n_samples,)
        All true where the task has no decision.
    """
    codes = output.reshape(len(output), -1)
    limits = np.iinfo(output.dtype)
    wanted = decisions(manifest, (output,))
    clear = np.ones(len(codes), np.bool_)
    for column in range(codes.shape[1]):
        moves = np.full(codes.shape[1], -max_lsb, np.int64)
        moves[column] = max_lsb
        for sign in (1, -1):
            moved = np.clip(codes + sign * moves, limits.min, limits.max).astype(output.dtype)
            clear &= (decisions(manifest, (moved.reshape(output.shape),)) == wanted).all(axis=1)
    return clear


def choose_clear(clear: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.intp]:
    """Choose clear samples at even distances, others only where there are too few.

    Parameters
    ----------
    clear : bool, shape (n,)
        Which are clear.
    count : int
        How many to choose.

    Returns
    -------
    indices : intp, shape (min(n, count),)
        Ascending.

    Examples
    --------
    >>> choose_clear(np.array([True, False, True, True]), 2)
    array([0, 3])
    """
    good, doubtful = np.flatnonzero(clear), np.flatnonzero(~clear)
    if len(good) < count:
        return np.sort(np.concatenate([good, doubtful[: count - len(good)]]))
    return good[np.linspace(0, len(good) - 1, count).round().astype(np.intp)]
