"""Whether float and int8 look at the same places: occlusion maps, which need nothing but the engine.

One part of the input after the other is covered with the mean of the data; what the output loses is the part's weight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.figures import Groups
from edge_runtime.compress.outcomes import Floats
from edge_runtime.compress.statistics import Figure, bootstrap_interval, rank_correlation

Array = npt.NDArray[Any]
#: Gives the real outputs, shape (n, n_outputs), of prepared inputs.
Run = Callable[[Array], Floats]

#: So many samples are explained, spread evenly over the evaluation data.
MOST_SAMPLES = 32
#: Parts along height and width, or along time and channels.
_CELLS = (8, 8)
_WINDOW_CELLS = (8, 16)
_PICTURE_AXES = 3
#: A map that varies by less than so many steps of the int8 output cannot be compared.
_FLAT_STEPS = 2.0


@dataclass(frozen=True, slots=True)
class AttributionMaps:
    """One sample's maps.

    Attributes
    ----------
    sample : int
        Its place in the evaluation data.
    before, after : float64, shape (rows, columns)
        What the output lost when a part was covered, float and int8.
    correlation : float or None
        Spearman's; None where the float map is flatter than the int8 output can show.
    """

    sample: int
    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    correlation: float | None


def compare_attribution(
    samples: Sequence[int],
    inputs: tuple[Array, Array],
    runs: tuple[Run, Run],
    *,
    step: float,
) -> tuple[AttributionMaps, ...]:
    """Explain samples by both models.

    Parameters
    ----------
    samples : sequence of int
        Their places in the evaluation data, for the record.
    inputs : tuple of arrays, each shape (n, ...)
        The samples as each model takes them.
    runs : tuple of callables
        The models.
    step : float
        One step of the int8 output.

    Returns
    -------
    maps : tuple of AttributionMaps
        One per sample, of the output that is largest in float.
    """
    baselines = tuple(_baseline(each) for each in inputs)
    found = []
    for place, sample in enumerate(samples):
        column = int(runs[0](inputs[0][place : place + 1])[0].argmax())
        before, after = (
            occlusion_map(run, each[place], baseline, column)
            for run, each, baseline in zip(runs, inputs, baselines, strict=True)
        )
        found.append(AttributionMaps(sample, before, after, _correlation(before, after, step)))
    return tuple(found)


def occlusion_map(run: Run, sample: Array, baseline: Array, column: int) -> npt.NDArray[np.float64]:
    """Cover one part of an input after the other.

    Parameters
    ----------
    run : callable
        The model.
    sample : array, shape (...)
        One input.
    baseline : array, shape of the last axis
        What covers.
    column : int
        The output that is explained.

    Returns
    -------
    weights : float64, shape (rows, columns)
        Output of the whole input minus output of the covered one: 8 x 8 parts of a picture, at most 8 pieces of time by
        16 groups of channels of a window.
    """
    whole = float(run(sample[np.newaxis])[0, column])
    weights = []
    for region in _regions(sample.shape):
        other = sample.copy()
        other[region] = np.broadcast_to(baseline, sample.shape)[region]
        weights.append(whole - float(run(other[np.newaxis])[0, column]))
    return np.array(weights, np.float64).reshape(_grid(sample.shape))


def mean_correlation(maps: Sequence[AttributionMaps], groups: Groups = None) -> Figure | None:
    """Give the mean rank correlation with its bootstrap interval.

    Parameters
    ----------
    maps : sequence of AttributionMaps
        From :func:`compare_attribution`.
    groups : array, one per map, optional
        What belongs together.

    Returns
    -------
    figure : Figure or None
        Over the samples that can be compared; None without any.
    """
    kept = [index for index, each in enumerate(maps) if each.correlation is not None]
    if not kept:
        return None
    values = np.array([maps[index].correlation for index in kept], np.float64)
    together = None if groups is None else groups[kept]
    interval = bootstrap_interval(lambda chosen: float(values[chosen].mean()), len(values), together)
    return Figure(float(values.mean()), interval, len(values))


def _correlation(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64], step: float) -> float | None:
    """Compare two maps; an int8 map that is flat where the float one is not has no likeness."""
    if float(np.ptp(before)) < _FLAT_STEPS * step:
        return None
    found = rank_correlation(before.reshape(-1), after.reshape(-1))
    return 0.0 if found is None else found


def _baseline(inputs: Array) -> Array:
    """Give the mean of inputs per channel, in their own dtype."""
    mean = inputs.astype(np.float64).mean(axis=tuple(range(inputs.ndim - 1)))
    return np.asarray(np.rint(mean) if inputs.dtype.kind in "iu" else mean).astype(inputs.dtype)


def _grid(shape: Sequence[int]) -> tuple[int, int]:
    """Say into how many parts an input is parted."""
    cells = _CELLS if len(shape) == _PICTURE_AXES else _WINDOW_CELLS
    rows, columns = shape[0], shape[1] if len(shape) > 1 else 1
    return min(cells[0], rows), min(cells[1], columns)


def _regions(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Give the parts of an input, row by row."""
    rows, columns = _grid(shape)
    tall = np.linspace(0, shape[0], rows + 1).round().astype(int)
    wide = np.linspace(0, shape[1] if len(shape) > 1 else 1, columns + 1).round().astype(int)
    for row in range(rows):
        for column in range(columns):
            region = (slice(tall[row], tall[row + 1]), slice(wide[column], wide[column + 1]))
            yield region[: len(shape)]
