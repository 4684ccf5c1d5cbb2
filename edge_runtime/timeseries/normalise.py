"""Normalisation of sensor windows: found once from training data, carried by the manifest, applied everywhere."""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Normalisation, Regimes, TensorSpec, WindowPreprocessing
from edge_runtime.errors import BundleFormatError
from edge_runtime.kernels import quantize, window

Floats = npt.NDArray[np.float32]
Method = Literal["none", "zscore", "minmax", "robust"]

#: Exact halves go away from zero, as TFLite's reference quantization of float input does; for every engine.
TIES: Final = "away"
#: Rounds of the search for centroids; it has nearly always settled long before.
_MAX_ROUNDS: Final = 100


class Normaliser:
    """Apply a manifest's normalisation to samples.

    Parameters
    ----------
    normalisation : Normalisation
        Centres and scales, per regime.
    n_channels : int
        Channels of a sample.

    Raises
    ------
    BundleFormatError
        If the numbers do not fit ``n_channels`` or each other, are not finite, or a scale is zero.
    """

    def __init__(self, normalisation: Normalisation, n_channels: int) -> None:
        regimes = normalisation.regimes
        n_regimes = 1 if regimes is None else len(regimes.centroids)
        self._centre = _matrix(normalisation.centre, n_regimes, n_channels, "centre")
        self._scale = _matrix(normalisation.scale, n_regimes, n_channels, "scale")
        if not np.all(self._scale):
            raise BundleFormatError("normalisation.scale holds a zero: a channel that never changes takes 1")
        self._columns = np.zeros(0, np.int64)
        self._spread = np.zeros(0, np.float32)
        self._centroids = np.zeros((0, 0), np.float32)
        if regimes is not None:
            width = len(regimes.columns)
            if max(regimes.columns) >= n_channels:
                raise BundleFormatError(
                    f"normalisation.regimes.columns name a channel beyond the {n_channels} there are"
                )
            self._columns = np.array(regimes.columns, np.int64)
            self._spread = _matrix((regimes.spread,), 1, width, "regimes.spread")[0]
            self._centroids = _matrix(regimes.centroids, n_regimes, width, "regimes.centroids")
            if not np.all(self._spread):
                raise BundleFormatError("normalisation.regimes.spread holds a zero")
        self._clip = np.inf if normalisation.clip is None else normalisation.clip
        if not self._clip > 0:
            raise BundleFormatError(f"normalisation.clip must be positive, got {normalisation.clip}")

    def fill_into(self, samples: Floats, normalised: Floats) -> None:
        """Normalise samples into given memory.

        Parameters
        ----------
        samples : float32, shape (n, n_channels), C-contiguous
            Samples in physical units.
        normalised : float32, shape of ``samples``, C-contiguous
            Written; NaN stays NaN.

        Raises
        ------
        TypeError
            If a dtype is another.
        ValueError
            If a shape is another or an array is not contiguous.
        """
        window.fill_normalised(
            samples, self._columns, self._spread, self._centroids, self._centre, self._scale, self._clip, normalised
        )

    def __call__(self, samples: Floats) -> Floats:
        """Give normalised samples.

        Parameters
        ----------
        samples : float32, shape (n, n_channels)
            Samples in physical units.

        Returns
        -------
        normalised : float32, shape of ``samples``
        """
        normalised = np.empty(samples.shape, np.float32)
        self.fill_into(np.ascontiguousarray(samples), normalised)
        return normalised


class WindowPreprocessor:
    """Turn windows into the input tensor that a bundle's manifest describes: normalise, then the tensor's code.

    The one function for calibration, evaluation and the device.

    Parameters
    ----------
    preprocessing : WindowPreprocessing
        What the manifest says.
    tensor : TensorSpec
        The model's input: float32, int8, uint8 or int16, of shape (1, length, channels).

    Raises
    ------
    BundleFormatError
        If ``preprocessing`` and ``tensor`` do not fit together.
    """

    def __init__(self, preprocessing: WindowPreprocessing, tensor: TensorSpec) -> None:
        shape = (1, preprocessing.length, len(preprocessing.channels))
        if tuple(tensor.shape) != shape:
            raise BundleFormatError(
                f'preprocessing gives {shape} (batch, length, channels), but input "{tensor.name}" is '
                f"{tuple(tensor.shape)}: correct the preprocessing's length and channels"
            )
        if tensor.dtype not in ("float32", "int8", "uint8", "int16"):
            raise BundleFormatError(
                f'input "{tensor.name}" is {tensor.dtype}: windows become float32, int8, uint8 or int16'
            )
        self._shape = shape
        self._dtype = np.dtype(tensor.dtype)
        self._normaliser = Normaliser(preprocessing.normalisation, shape[2])
        self._scratch = np.empty(shape[1:], np.float32)
        self._scale, self._zero_point = 1.0, 0
        if tensor.dtype != "float32":
            quantization = tensor.quantization
            if quantization is None or len(quantization.scale) != 1 or len(quantization.zero_point) != 1:
                raise BundleFormatError(
                    f'input "{tensor.name}" is {tensor.dtype} and needs one scale and one zero point'
                )
            self._scale, self._zero_point = quantization.scale[0], quantization.zero_point[0]
            try:
                quantize.quantize(self._scratch[:0], self._scale, self._zero_point, tensor.dtype, ties=TIES)
            except ValueError as error:
                raise BundleFormatError(f'input "{tensor.name}": {error}') from error

    def __call__(self, samples: Floats) -> npt.NDArray[Any]:
        """Give the input tensor of one window.

        Parameters
        ----------
        samples : float32, shape (length, channels)
            The window in physical units, oldest sample first.

        Returns
        -------
        tensor : dtype and shape of the TensorSpec
            A new array.

        Raises
        ------
        TypeError
            If ``samples`` is not float32.
        ValueError
            If ``samples`` has another shape.
        """
        out = np.empty(self._shape, self._dtype)
        self.fill_into(samples, out)
        return out

    def fill_into(self, samples: Floats, out: npt.NDArray[Any]) -> None:
        """Write the input tensor of one window into memory that is used again.

        Parameters
        ----------
        samples : float32, shape (length, channels)
            The window in physical units, oldest sample first.
        out : dtype and shape of the TensorSpec, C-contiguous
            Written; NaN becomes the zero point of an integer tensor and stays NaN in a float one.

        Raises
        ------
        TypeError
            If a dtype is another.
        ValueError
            If a shape is another or ``out`` is not contiguous.
        """
        if out.shape != self._shape or out.dtype != self._dtype:
            raise ValueError(f"expected an output {self._dtype} {self._shape}, got {out.dtype} {out.shape}")
        samples = np.ascontiguousarray(samples)
        if self._dtype == np.float32:
            self._normaliser.fill_into(samples, out[0])
            return
        self._normaliser.fill_into(samples, self._scratch)
        quantize.fill_codes(self._scratch, self._scale, self._zero_point, out[0], ties=TIES)


def _matrix(rows: tuple[tuple[float, ...], ...], n_rows: int, n_columns: int, name: str) -> Floats:
    """Give rows of a manifest as float32, refusing another shape and what is not finite."""
    if len(rows) != n_rows or any(len(row) != n_columns for row in rows):
        raise BundleFormatError(f"normalisation.{name} must be {n_rows} x {n_columns} numbers (regimes x channels)")
    with np.errstate(over="ignore", under="ignore"):
        matrix = np.array(rows, np.float64).astype(np.float32)
    if not np.isfinite(matrix).all():
        raise BundleFormatError(f"normalisation.{name} holds a number that is not finite in float32")
    return matrix


def fit_normalisation(
    values: npt.NDArray[np.floating[Any]], method: Method, *, regimes: Regimes | None = None, clip: float | None = None
) -> Normalisation:
    """Find the numbers of a normalisation from training samples.

    "zscore" takes mean and standard deviation, "minmax" the middle and half the range (the result is -1..1),
    "robust" median and interquartile range (the deviation where that range is empty), "none" 0 and 1. A channel that
    never changes gets scale 1. Computed in float64; samples with a value that is not finite are left out.

    Parameters
    ----------
    values : float, shape (n, n_channels)
        Training samples in physical units.
    method : {"none", "zscore", "minmax", "robust"}
        How.
    regimes : Regimes, optional
        Operating regimes; each gets its own row, and one that no sample belongs to gets the row of all samples.
    clip : float > 0, optional
        Bound of the normalised values on both sides.

    Returns
    -------
    normalisation : Normalisation

    Raises
    ------
    ValueError
        If no finite sample is left, ``values`` is not two-dimensional, or ``method`` is not one of those.

    Examples
    --------
    >>> fit_normalisation(np.array([[0.0], [4.0]]), "minmax").centre
    ((2.0,),)
    """
    samples = np.asarray(values, np.float64)
    if samples.ndim != 2 or method not in _FIT:  # noqa: PLR2004 - samples and channels
        raise ValueError(f"expected samples x channels and a known method, got {samples.shape} and {method!r}")
    samples = samples[np.isfinite(samples).all(axis=1)]
    if not len(samples):
        raise ValueError("no sample without NaN or infinity is left to find a normalisation from")
    if regimes is None:
        groups = [samples]
    else:
        member = assign_regimes(samples.astype(np.float32), regimes)
        groups = [samples[member == r] if np.any(member == r) else samples for r in range(len(regimes.centroids))]
    rows = [_FIT[method](group) for group in groups]
    return Normalisation(
        method=method,
        centre=tuple(tuple(map(float, centre)) for centre, _ in rows),
        scale=tuple(tuple(float(s) if s > 0 else 1.0 for s in scale) for _, scale in rows),
        regimes=regimes,
        clip=clip,
    )


Fitted = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _fit_none(samples: npt.NDArray[np.float64]) -> Fitted:
    return np.zeros(samples.shape[1]), np.ones(samples.shape[1])


def _fit_zscore(samples: npt.NDArray[np.float64]) -> Fitted:
    constant = np.ptp(samples, axis=0) == 0  # the deviation of equal numbers can be some 1e-17 instead of 0
    return samples.mean(axis=0), np.where(constant, 0.0, samples.std(axis=0))


def _fit_minmax(samples: npt.NDArray[np.float64]) -> Fitted:
    low, high = samples.min(axis=0), samples.max(axis=0)
    return (low + high) / 2, (high - low) / 2


def _fit_robust(samples: npt.NDArray[np.float64]) -> Fitted:
    low, middle, high = np.percentile(samples, [25, 50, 75], axis=0)
    return middle, np.where(high > low, high - low, _fit_zscore(samples)[1])


_FIT: Final = {"none": _fit_none, "zscore": _fit_zscore, "minmax": _fit_minmax, "robust": _fit_robust}


def assign_regimes(samples: Floats, regimes: Regimes) -> npt.NDArray[np.intp]:
    """Give the regime of each sample: the centroid nearest to ``sample[columns] / spread``.

    Parameters
    ----------
    samples : float32, shape (n, n_channels)
        Samples in physical units.
    regimes : Regimes
        Columns, spread and centroids.

    Returns
    -------
    regime : intp, shape (n,)
        The first of equally near ones.
    """
    spread = np.array(regimes.spread, np.float32)
    points = samples[:, list(regimes.columns)] / spread
    centroids = np.array(regimes.centroids, np.float32)
    distance = ((points[:, None, :] - centroids) ** 2).sum(axis=2)
    return np.asarray(np.argmin(distance, axis=1))


def fit_regimes(values: npt.NDArray[np.floating[Any]], columns: tuple[int, ...], n_regimes: int) -> Regimes:
    """Find operating regimes: k-means on the channels that tell them, started at points far from each other.

    Without chance: the first centre is the sample nearest to the mean, each next one the sample farthest from all
    centres so far.

    Parameters
    ----------
    values : float, shape (n, n_channels)
        Training samples; those that are not finite are left out.
    columns : tuple of int
        Channels that tell the regime (load, speed, height, ...).
    n_regimes : int > 0
        How many; fewer are given when there are fewer distinct samples.

    Returns
    -------
    regimes : Regimes

    Raises
    ------
    ValueError
        If no finite sample is left or ``n_regimes`` is not positive.
    """
    samples = np.asarray(values, np.float64)[:, list(columns)]
    samples = samples[np.isfinite(samples).all(axis=1)]
    if not len(samples) or n_regimes < 1:
        raise ValueError(f"cannot find {n_regimes} regimes in {len(samples)} finite samples")
    spread = samples.std(axis=0)
    spread[spread <= 0] = 1.0
    points = samples / spread
    centres = [points[np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1))]]
    nearest = ((points - centres[0]) ** 2).sum(axis=1)
    while len(centres) < n_regimes and nearest.max() > 0:
        centres.append(points[np.argmax(nearest)])
        nearest = np.minimum(nearest, ((points - centres[-1]) ** 2).sum(axis=1))
    centroids = np.array(centres)
    for _ in range(_MAX_ROUNDS):
        member = np.argmin(((points[:, None, :] - centroids) ** 2).sum(axis=2), axis=1)
        moved = np.array(
            [points[member == r].mean(axis=0) if np.any(member == r) else c for r, c in enumerate(centroids)]
        )
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    order = np.lexsort(centroids.T[::-1])
    return Regimes(
        columns=tuple(columns),
        spread=tuple(map(float, spread)),
        centroids=tuple(tuple(map(float, row)) for row in centroids[order]),
    )
