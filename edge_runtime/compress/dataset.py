"""Calibration, evaluation and training data, however they were stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples with what is known about them.

    Attributes
    ----------
    x : array, shape (n, ...)
        uint8 pictures (n, height, width[, 3]), or windows (n, length, channels), or what the model takes. Large sets
        are mapped from a file: index them, or walk over them with ``chunks``.
    y : array, shape (n, ...) or None
        Class index or target value.
    groups : array or None
        Samples of one group must not be parted.
    slices : mapping of str to array
        By name: camera, lot, shift.
    digest : str
        SHA-256 of the content: files, labels and window declaration.
    labels : tuple of str
        Words of the classes where the data name them, in the order of ``y``.
    names : sequence of str
        Where each sample comes from: a file, or rows of one.
    times : float64, shape (n,), s, or None
        When a sample ended.
    overlap : int
        How many of the samples before share rows with a sample (windows with a hop below their length).
    boxes : tuple of float32 (k, 5), or None
        Per picture: label index, x1, y1, x2, y2 in pixels of the original frame.
    masks : uint8, shape (n, height, width), or None
        Classes of pixels at the model's input.
    counts : mapping of str to int
        What happened to rows that a device would not show to a model: ``not_finite``, ``gaps``, ...
    """

    x: Array
    y: Array | None
    groups: Array | None = None
    slices: Mapping[str, Array] = field(default_factory=dict)
    digest: str = ""
    labels: tuple[str, ...] = ()
    names: Sequence[str] = ()
    times: npt.NDArray[np.float64] | None = None
    overlap: int = 0
    boxes: tuple[npt.NDArray[np.float32], ...] | None = None
    masks: Array | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.x)

    def name(self, index: int) -> str:
        """Say where a sample comes from."""
        return self.names[index] if self.names else f"sample {index}"


def spread(n: int, count: int) -> npt.NDArray[np.intp]:
    """Choose ``count`` of ``n`` samples at even distances; all when there are fewer.

    Parameters
    ----------
    n, count : int
        Both positive.

    Returns
    -------
    indices : intp, shape (min(n, count),)
        Ascending.

    Examples
    --------
    >>> spread(10, 4)
    array([0, 3, 6, 9])
    """
    return np.unique(np.linspace(0, n - 1, min(n, count)).round().astype(np.intp))
