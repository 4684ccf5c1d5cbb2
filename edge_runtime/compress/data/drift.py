"""Channels of two sets, compared: range, saturation, population stability index, Kolmogorov-Smirnov distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import ImagePreprocessing, Preprocessing, WindowPreprocessing
from edge_runtime.compress.data.spool import chunks

Doubles = npt.NDArray[np.float64]

#: Values of a channel that are kept to compare distributions, at even distances.
_KEPT: Final = 50_000
_PARTS: Final = 10
_BYTE: Final = 255.0
_COLOURS: Final = 3


@dataclass(frozen=True, slots=True)
class ChannelStatistics:
    """One channel of one set.

    Attributes
    ----------
    name : str
        The sensor's, or of the picture: ``red``, ``mean_grey_level`` and the like.
    low, high, mean, std : float
        In the channel's unit.
    at_low, at_high : float
        Share of values at the ends of the range.
    values : float64, shape (k,)
        Sorted; some of the values.
    n_independent : int
        Samples: values of one sample depend on each other.
    """

    name: str
    low: float
    high: float
    mean: float
    std: float
    at_low: float
    at_high: float
    values: Doubles
    n_independent: int


def measure_channels(x: npt.NDArray[Any], preprocessing: Preprocessing | None) -> list[ChannelStatistics]:
    """Measure every channel.

    Parameters
    ----------
    x : array, shape (n, ...)
        Pictures: each colour, and the mean grey level and the contrast of whole pictures. Else the last axis.
    preprocessing : Preprocessing or None
        Names and ranges of sensors.

    Returns
    -------
    channels : list of ChannelStatistics
    """
    pictures = isinstance(preprocessing, ImagePreprocessing) or (preprocessing is None and x.dtype == np.uint8)
    n_channels = x.shape[-1] if x.ndim > 1 else 1
    if pictures and x.ndim < 4:  # noqa: PLR2004 - without an axis of channels
        n_channels = 1
    ranges: list[tuple[str, float, float]] = [(f"channel{index}", np.nan, np.nan) for index in range(n_channels)]
    if pictures:
        names = ("grey",) if n_channels == 1 else ("red", "green", "blue")[:n_channels]
        ranges = [(name, 0.0, _BYTE) for name in names]
    elif isinstance(preprocessing, WindowPreprocessing) and len(preprocessing.channels) == n_channels:
        ranges = [
            (each.name, np.nan if each.low is None else each.low, np.nan if each.high is None else each.high)
            for each in preprocessing.channels
        ]
    found = (_measure_bytes if x.dtype == np.uint8 else _measure)(x, n_channels, ranges)
    return [*found, *_whole_pictures(x)] if pictures and x.ndim > 2 else found  # noqa: PLR2004 - height and width


def _measure(x: npt.NDArray[Any], n_channels: int, ranges: list[tuple[str, float, float]]) -> list[ChannelStatistics]:
    lows, highs = np.full(n_channels, np.inf), np.full(n_channels, -np.inf)
    total, squares, ends = np.zeros(n_channels), np.zeros(n_channels), np.zeros((2, n_channels))
    limits = np.array([[low, high] for _, low, high in ranges]).T
    per_sample = max(1, int(np.prod(x.shape[1:], dtype=np.int64)) // n_channels)
    # A step that is odd against rows and columns of pictures, so that no column is preferred.
    step = max(1, len(x) * per_sample // _KEPT) | 1
    kept, seen = [], 0
    shift: Doubles | None = None
    for _, block in chunks(x):
        rows = block.reshape(-1, n_channels)
        shift = rows[0].astype(np.float64) if shift is None else shift
        lows, highs = np.minimum(lows, rows.min(axis=0)), np.maximum(highs, rows.max(axis=0))
        wide = rows - shift
        total += wide.sum(axis=0)
        squares += (wide**2).sum(axis=0)
        ends[0] += (rows <= limits[0]).sum(axis=0)
        ends[1] += (rows >= limits[1]).sum(axis=0)
        kept.append(rows[(-seen) % step :: step].astype(np.float64))
        seen += len(rows)
    assert shift is not None
    mean = total / seen
    std = np.sqrt(np.maximum(squares / seen - mean**2, 0))
    values = np.sort(np.concatenate(kept), axis=0)
    return [
        ChannelStatistics(
            name,
            float(lows[index]),
            float(highs[index]),
            float(mean[index] + shift[index]),
            float(std[index]),
            float(ends[0, index] / seen),
            float(ends[1, index] / seen),
            np.ascontiguousarray(values[:, index]),
            len(x),
        )
        for index, (name, _, _) in enumerate(ranges)
    ]


def _measure_bytes(
    x: npt.NDArray[Any], n_channels: int, ranges: list[tuple[str, float, float]]
) -> list[ChannelStatistics]:
    """Do the same for bytes, by counting each of the 256."""
    counts = np.zeros((n_channels, 256), np.int64)
    for _, block in chunks(x):
        rows = block.reshape(-1, n_channels)
        for index in range(n_channels):
            counts[index] += np.bincount(rows[:, index], minlength=256)
    found = []
    for (name, low, high), mine in zip(ranges, counts, strict=True):
        codes = np.flatnonzero(mine)
        shares, levels = mine / mine.sum(), np.arange(256.0)
        mean = float(shares @ levels)
        # The distribution by its quantiles: as many values as of any other channel at most.
        places = (np.arange(min(int(mine.sum()), _KEPT)) + 0.5) / min(int(mine.sum()), _KEPT)
        values = np.searchsorted(np.cumsum(shares), places, side="left").clip(0, 255).astype(np.float64)
        found.append(
            ChannelStatistics(
                name,
                float(codes[0]),
                float(codes[-1]),
                mean,
                float(np.sqrt(shares @ (levels - mean) ** 2)),
                float(shares[levels <= low].sum()),
                float(shares[levels >= high].sum()),
                values,
                len(x),
            )
        )
    return found


def _whole_pictures(x: npt.NDArray[Any]) -> list[ChannelStatistics]:
    """Describe whole pictures: exposure and contrast drift where single pixels hide it."""
    means, contrasts = np.empty(len(x)), np.empty(len(x))
    for start, block in chunks(x):
        flat = block.reshape(len(block), -1).astype(np.float32)
        mean = flat.mean(axis=1, dtype=np.float64)
        flat -= mean[:, None].astype(np.float32)
        means[start : start + len(block)] = mean
        contrasts[start : start + len(block)] = np.sqrt(np.einsum("ij,ij->i", flat, flat) / flat.shape[1])
    return [
        ChannelStatistics(
            name,
            float(values.min()),
            float(values.max()),
            float(values.mean()),
            float(values.std()),
            float((values <= 0).mean()),
            float((values >= _BYTE).mean()),
            np.sort(values),
            len(x),
        )
        for name, values in (("mean_grey_level", means), ("contrast", contrasts))
    ]


def compare(ours: ChannelStatistics, theirs: ChannelStatistics) -> tuple[float, float]:
    """Compare one channel of two sets.

    Parameters
    ----------
    ours, theirs : ChannelStatistics
        Calibration and evaluation.

    Returns
    -------
    psi : float
        Population stability index ``sum((p - q) ln(p / q))`` over ten parts of ``ours`` of equal weight, with half a
        sample in every part that is empty: 0.1 is little, 0.25 much.
    ks : float
        Greatest distance of the two distribution functions, 0..1.
    """
    edges = np.unique(np.quantile(ours.values, np.linspace(0, 1, _PARTS + 1)[1:-1]))
    p = _shares(ours.values, edges, ours.n_independent)
    q = _shares(theirs.values, edges, theirs.n_independent)
    psi = float(((p - q) * np.log(p / q)).sum())
    points = np.concatenate([ours.values, theirs.values])
    below = [np.searchsorted(each.values, points, side="right") / len(each.values) for each in (ours, theirs)]
    return psi, float(np.abs(below[0] - below[1]).max())


def _shares(values: Doubles, edges: Doubles, n_independent: int) -> Doubles:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    shares = counts / len(values)
    shares = np.maximum(shares, 0.5 / max(1, n_independent))
    normal: Doubles = shares / shares.sum()
    return normal
