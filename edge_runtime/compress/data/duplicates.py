"""Samples that stand in two sets: exact copies, and near ones that were saved, scaled or exposed another way."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.data.spool import Spool, chunks, take
from edge_runtime.compress.dataset import Dataset, spread

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

#: Pictures: correlation of two thumbnails, with the mean picture of both sets taken off, from which they are near.
PICTURE_CORRELATION: Final = 0.95
#: Windows: root mean square difference, in standard deviations of each channel, up to which they are near.
WINDOW_DISTANCE: Final = 0.02
#: Samples with fewer values meet by chance.
MIN_VALUES: Final = 8

#: Share of a window's own movement that near-duplicates may differ in.
_COURSE: Final = 0.05
_SIDE: Final = 16
_MAX_FEATURES: Final = 256
_BLOCK: Final = 1024
_EXAMPLES: Final = 5
#: A thumbnail whose grey levels deviate less than this from the mean picture tells nothing about which part it shows.
_FLAT: Final = 0.3
#: Pairs that are compared; beyond that, evaluation samples at even distances stand for all.
_MAX_PAIRS: Final = 200_000_000


@dataclass(frozen=True, slots=True)
class Leak:
    """What two sets share.

    Attributes
    ----------
    n : int
        Samples of the evaluation set.
    exact, near : int
        Those that are in the other set too, and those beyond them that have a near-duplicate there.
    idle : int
        Exact copies that are not counted: nothing changes in them (a standing machine, a black picture).
    searched_near : int
        Evaluation samples for which near-duplicates were looked for: all, fewer of large sets, and none where samples
        have few values, which meet by chance.
    examples : tuple of (kind, name, name)
        A few pairs: evaluation sample, other sample.
    """

    n: int
    exact: int = 0
    near: int = 0
    idle: int = 0
    searched_near: int = 0
    examples: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Prints:
    """What is kept of every sample to find it again.

    Attributes
    ----------
    digests : list of bytes
        16 bytes of BLAKE2b of the values.
    constant : bool, shape (n,)
        Whether nothing changes in the sample.
    """

    digests: list[bytes]
    constant: npt.NDArray[np.bool_]


def fingerprint(x: npt.NDArray[Any]) -> Prints:
    """Take the digest of every sample.

    Parameters
    ----------
    x : array, shape (n, ...)
        Pictures, windows or what the model takes.

    Returns
    -------
    prints : Prints
    """
    digests: list[bytes] = []
    constant = np.zeros(len(x), np.bool_)
    for start, block in chunks(x):
        digests += [hashlib.blake2b(np.ascontiguousarray(each).data, digest_size=16).digest() for each in block]
        if block.ndim > 2:  # noqa: PLR2004 - samples, something, channels
            axes = tuple(range(1, block.ndim - (block.dtype != np.uint8)))
            constant[start : start + len(block)] = (
                (block.max(axis=axes) == block.min(axis=axes)).reshape(len(block), -1).all(axis=1)
            )
    return Prints(digests, constant)


def count_copies(prints: Prints) -> int:
    """Count samples that are exact copies of an earlier one of the same set, standing ones apart."""
    moving = [digest for digest, still in zip(prints.digests, prints.constant, strict=True) if not still]
    return len(moving) - len(set(moving))


def find_leak(evaluation: Dataset, other: Dataset, ours: Prints, theirs: Prints) -> Leak:
    """Look for evaluation samples in another set.

    Parameters
    ----------
    evaluation, other : Dataset
        Samples of the same shape.
    ours, theirs : Prints
        Of both.

    Returns
    -------
    leak : Leak
        Flips, turns and cuts of a picture are not found.
    """
    known: dict[bytes, int] = {}
    for index, digest in enumerate(theirs.digests):
        known.setdefault(digest, index)
    matches = np.array([known.get(digest, -1) for digest in ours.digests], np.intp)
    idle = (matches >= 0) & ours.constant
    exact = (matches >= 0) & ~ours.constant
    examples = [("exact", int(index), int(matches[index])) for index in np.flatnonzero(exact)[:_EXAMPLES]]
    near = np.full(len(evaluation), -1, np.intp)
    looked = np.zeros(0, np.intp)
    if int(np.prod(evaluation.x.shape[1:])) >= MIN_VALUES:
        looked = spread(len(evaluation), max(_MAX_PAIRS // len(other), _BLOCK))
        near[looked] = find_near(take(evaluation.x, looked, what="evaluation"), other.x)
        near[(matches >= 0) | ours.constant] = -1
        examples += [("near", int(index), int(near[index])) for index in np.flatnonzero(near >= 0)[:_EXAMPLES]]
    return Leak(
        len(evaluation),
        int(exact.sum()),
        int((near >= 0).sum()),
        int(idle.sum()),
        len(looked),
        tuple((kind, evaluation.name(mine), other.name(yours)) for kind, mine, yours in examples),
    )


def find_near(evaluation: npt.NDArray[Any], other: npt.NDArray[Any]) -> Indices:
    """Give for each evaluation sample its nearest one of another set, where that is a near-duplicate.

    Parameters
    ----------
    evaluation, other : array, shape (n, ...)
        Pictures (uint8) or windows.

    Returns
    -------
    nearest : intp, shape (n,)
        Index in ``other``; -1 where none is near.
    """
    pictures = evaluation.dtype == np.uint8 and evaluation.ndim >= 3  # noqa: PLR2004 - samples, height, width
    describe = _thumbnails if pictures else _pooled
    ours, theirs = describe(evaluation), describe(other)
    centre, scale = _moments(ours, theirs)
    x_channels = evaluation.shape[-1]
    if not pictures:
        # One deviation per channel: a step in time has no unit of its own.
        centre, scale = _per_channel(centre, scale, x_channels)
    limit = 2 - 2 * PICTURE_CORRELATION if pictures else WINDOW_DISTANCE**2 * ours.shape[1]
    nearest = np.full(len(evaluation), -1, np.intp)
    for start, features in chunks(ours, at_most=_BLOCK):
        mine = _prepared(features, centre, scale, pictures=pictures)
        best = np.full(len(mine), np.inf, np.float32)
        index = np.zeros(len(mine), np.intp)
        for first, others in chunks(theirs, at_most=_BLOCK):
            yours = _prepared(others, centre, scale, pictures=pictures)
            distance = _distances(mine, yours)
            closest = distance.argmin(axis=1)
            value = distance[np.arange(len(mine)), closest]
            better = value < best
            best[better], index[better] = value[better], closest[better] + first
        found = best <= limit
        if not pictures:
            closest_ones = _prepared(take(theirs, index, what="windows"), centre, scale, pictures=False)
            found &= _same_course(mine, closest_ones, x_channels)
        nearest[start : start + len(mine)][found] = index[found]
    return nearest


def _per_channel(
    centre: npt.NDArray[np.float64], scale: npt.NDArray[np.float64], n_channels: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give one mean and deviation per channel for all steps of time."""
    means, deviations = centre.reshape(-1, n_channels), scale.reshape(-1, n_channels)
    mean = means.mean(axis=0)
    spread = np.sqrt(np.maximum((deviations**2 + means**2).mean(axis=0) - mean**2, 0))
    steps = len(means)
    return np.tile(mean, steps), np.tile(np.where(spread > 0, spread, 1.0), steps)


def _same_course(mine: Floats, yours: Floats, n_channels: int) -> npt.NDArray[np.bool_]:
    """Say which pairs agree in what changes within the window too, not only in the level of a steady machine."""
    mine, yours = mine.reshape(len(mine), -1, n_channels), yours.reshape(len(yours), -1, n_channels)
    if mine.shape[1] == 1:
        return np.ones(len(mine), np.bool_)
    mine, yours = mine - mine.mean(axis=1, keepdims=True), yours - yours.mean(axis=1, keepdims=True)
    apart, own = ((mine - yours) ** 2).sum(axis=(1, 2)), (mine**2).sum(axis=(1, 2))
    same: npt.NDArray[np.bool_] = apart <= _COURSE * own
    return same


def _distances(mine: Floats, yours: Floats) -> Floats:
    """Give squared distances of every pair; nothing that is flat is near to anything."""
    products = mine @ yours.T
    squares = (mine**2).sum(axis=1)[:, None] + (yours**2).sum(axis=1)[None, :]
    distances: Floats = np.maximum(squares - 2 * products, 0)
    return distances


def _prepared(
    features: Floats, centre: npt.NDArray[np.float64], scale: npt.NDArray[np.float64], *, pictures: bool
) -> Floats:
    """Take the mean off; pictures to unit length, windows in standard deviations."""
    if not pictures:
        return ((features - centre) / scale).astype(np.float32)
    rest = features - centre.astype(np.float32)
    rest -= rest.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rest, axis=1, keepdims=True)
    flat = length < _FLAT * np.sqrt(features.shape[1])
    # A flat thumbnail is given a length that is near to none.
    return np.where(flat, np.float32(1e3), rest / np.maximum(length, 1e-6)).astype(np.float32)


def _moments(*sets: Floats) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give mean and standard deviation of every feature over all sets."""
    count, total, squares = 0, np.zeros(sets[0].shape[1]), np.zeros(sets[0].shape[1])
    for features in sets:
        for _, block in chunks(features):
            wide = block.astype(np.float64)
            count += len(wide)
            total += wide.sum(axis=0)
            squares += (wide**2).sum(axis=0)
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0))


def _thumbnails(x: npt.NDArray[Any]) -> Floats:
    """Give grey thumbnails of 16 x 16 by the mean over areas, with the fall of light taken off."""
    height, width = min(_SIDE, x.shape[1]), min(_SIDE, x.shape[2])
    rows = np.linspace(0, x.shape[1], height + 1).astype(np.intp)
    columns = np.linspace(0, x.shape[2], width + 1).astype(np.intp)
    areas = np.diff(rows)[:, None] * np.diff(columns)[None, :]
    down, right = (axis.ravel() for axis in np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j])
    terms = np.stack([np.ones_like(down), down, right, down**2, right**2, down * right], axis=1)
    # Light falls off smoothly over a scene: what a parabola says is the lamp's, the rest is the part's.
    light = np.linalg.qr(terms)[0].astype(np.float32)
    with Spool((height * width,), np.float32, what="thumbnails") as spool:
        for _, block in chunks(x):
            planes = block if block.ndim == 4 else block[..., None]  # noqa: PLR2004 - with channels
            grey = np.zeros(planes.shape[:3], np.float32)
            for channel in range(planes.shape[3]):
                grey += planes[..., channel]
            grey /= planes.shape[3]
            sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=1), columns[:-1], axis=2)
            thumbnails = (sums / areas).reshape(len(block), -1)
            spool.append(thumbnails - (thumbnails @ light) @ light.T)
        return spool.finish()


def _pooled(x: npt.NDArray[Any]) -> Floats:
    """Give windows, long ones by the means of equal stretches of time, so that a sample has few values."""
    flat = x.reshape(len(x), -1, x.shape[-1]) if x.ndim > 2 else x.reshape(len(x), 1, -1)  # noqa: PLR2004
    steps = max(1, min(flat.shape[1], _MAX_FEATURES // flat.shape[2]))
    bounds = np.linspace(0, flat.shape[1], steps + 1).astype(np.intp)
    lengths = np.diff(bounds)[None, :, None]
    with Spool((steps * flat.shape[2],), np.float32, what="windows") as spool:
        for _, block in chunks(x):
            wide = block.reshape(len(block), flat.shape[1], flat.shape[2]).astype(np.float64)
            means = np.add.reduceat(wide, bounds[:-1], axis=1) / lengths
            spool.append(means.reshape(len(block), -1).astype(np.float32))
        return spool.finish()
