"""One set of samples to calibration, evaluation and training parts: the same for the same content and seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.data.keys import SplitKeys
from edge_runtime.compress.data.spool import take
from edge_runtime.compress.dataset import Dataset
from edge_runtime.errors import CalibrationError

Indices = npt.NDArray[np.intp]

#: Parts, and their order in time.
_TRAINING, _CALIBRATION, _EVALUATION, _LEFT_OUT = 0, 1, 2, 3
_MAX_CLASSES: Final = 1000


@dataclass(frozen=True, slots=True)
class Parts:
    """Indices of the samples of each part, ascending; no sample is in two.

    Attributes
    ----------
    training, calibration, evaluation : intp, shape (n,)
        Training may be empty.
    """

    training: Indices
    calibration: Indices
    evaluation: Indices


def split_dataset(data: Dataset, keys: SplitKeys, *, task: str) -> tuple[Dataset | None, Dataset, Dataset]:
    """Part a set.

    Parameters
    ----------
    data : Dataset
        Everything.
    keys : SplitKeys
        How.
    task : str
        Only classes are stratified.

    Returns
    -------
    training, calibration, evaluation : Dataset
        Training is None where nothing is left for it.

    Raises
    ------
    CalibrationError
        If the data do not have what the split goes by, or a part would be empty.
    """
    classes = None
    if data.y is not None and data.y.ndim == 1 and task == "classification":
        classes = data.y
    if keys.by == "group":
        if data.groups is None:
            raise CalibrationError('split by "group": the data name no groups')
        parts = split_by_group(data.groups, classes, keys)
    elif keys.by == "time":
        parts = split_by_time(len(data), data.times, keys, groups=data.groups, overlap=data.overlap)
    else:
        _require_loose(data)
        parts = split_stratified(len(data), classes, keys)
    for name, part in (("calibration", parts.calibration), ("evaluation", parts.evaluation)):
        if not len(part):
            raise CalibrationError(f'split by "{keys.by}": nothing is left for {name} of {len(data)} samples')
    training = _subset(data, parts.training, "training") if len(parts.training) else None
    return (
        training,
        _subset(data, parts.calibration, "calibration"),
        _subset(data, parts.evaluation, "evaluation"),
    )


def _require_loose(data: Dataset) -> None:
    """Refuse to part what belongs together."""
    if data.groups is not None:
        raise CalibrationError(
            'split by "stratified": the data have groups, whose samples must not be parted: by = "group"'
        )
    if data.overlap:
        raise CalibrationError(
            'split by "stratified": windows share rows (hop is below length) and would stand on both sides: by = "time"'
        )


def split_by_group(groups: npt.NDArray[Any], classes: npt.NDArray[Any] | None, keys: SplitKeys) -> Parts:
    """Part whole groups, each to the part that lacks most of what is in it.

    Parameters
    ----------
    groups : array, shape (n,)
        Group of each sample.
    classes : int, shape (n,), or None
        Class of each sample: shares of classes are kept as far as groups allow.
    keys : SplitKeys
        Shares and seed. Equal groups are ordered by a digest of seed and name.

    Returns
    -------
    parts : Parts
    """
    words, codes = np.unique(groups.astype(str), return_inverse=True)
    _, kinds = np.unique(np.zeros(len(groups)) if classes is None else classes, return_inverse=True)
    if kinds.max(initial=0) >= _MAX_CLASSES:
        raise CalibrationError(f'split by "group": over {_MAX_CLASSES} classes')
    table = np.zeros((len(words), int(kinds.max(initial=0)) + 1))
    np.add.at(table, (codes, kinds), 1)
    whole = table.sum(axis=0)
    shares = np.array([max(0.0, 1 - keys.evaluation - keys.calibration), keys.calibration, keys.evaluation])
    wanted = shares[:, None] * whole
    have = np.zeros_like(wanted)
    part_of = np.zeros(len(words), np.intp)
    weight = 1 / np.maximum(whole, 1)
    open_parts = np.flatnonzero(shares > 0)
    ties = [hashlib.sha256(f"{keys.seed}:{word}".encode()).hexdigest() for word in words]
    for code in sorted(range(len(words)), key=lambda code: (-table[code].sum(), ties[code])):
        row = table[code]
        before = (((have - wanted) ** 2) * weight).sum(axis=1)
        after = (((have + row - wanted) ** 2) * weight).sum(axis=1)
        # Relative to its size: a small part must not be filled by one large group while it could go elsewhere.
        cost = (after - before)[open_parts]
        chosen = int(open_parts[int(cost.argmin())])
        part_of[code] = chosen
        have[chosen] += row
    _fill_empty(part_of, table.sum(axis=1), open_parts)
    return _parts(part_of[codes])


def _fill_empty(part_of: Indices, sizes: npt.NDArray[np.float64], open_parts: Indices) -> None:
    """Give a part without a group the smallest one of the part with most groups."""
    for part in open_parts:
        counts = np.bincount(part_of, minlength=3)
        if counts[part] == 0 and counts.max() > 1:
            rich = np.flatnonzero(part_of == counts.argmax())
            part_of[rich[sizes[rich].argmin()]] = part


def split_by_time(
    n: int,
    times: npt.NDArray[np.float64] | None,
    keys: SplitKeys,
    *,
    groups: npt.NDArray[Any] | None = None,
    overlap: int = 0,
) -> Parts:
    """Part in the order training, calibration, evaluation, with a gap at each cut.

    Parameters
    ----------
    n : int
        Samples.
    times : float64, shape (n,), s, or None
        When each ended; without it samples follow each other in their order.
    keys : SplitKeys
        Shares, and ``gap_s`` to leave out after a cut beyond what shares rows.
    groups : array, shape (n,), or None
        Samples share rows only within a group.
    overlap : int
        Samples before, of the same group, that share rows with a sample: they are left out after a cut.

    Returns
    -------
    parts : Parts
        Every time of a later part is greater than every time of an earlier one.
    """
    if times is None and keys.gap_s is not None:
        raise CalibrationError('split by "time": gap_s needs times; the data have none ([data.window] time)')
    stamps = np.arange(n, dtype=np.float64) if times is None else times
    order = np.argsort(stamps, kind="stable")
    ordered = stamps[order]
    part_of = np.empty(n, np.intp)
    cuts = []
    for share in (keys.evaluation + keys.calibration, keys.evaluation):
        cut = n - round(n * share)
        # Samples of one time stay on one side.
        while 0 < cut < n and ordered[cut - 1] == ordered[cut]:
            cut -= 1
        cuts.append(cut)
    places = np.arange(n)
    part_of[order] = (places >= cuts[0]).astype(np.intp) + (places >= cuts[1])
    left_out = _sharing_rows(part_of[order], None if groups is None else groups[order], overlap)
    for cut in cuts if keys.gap_s is not None else ():
        if 0 < cut < n:
            left_out |= (places >= cut) & (ordered <= ordered[cut - 1] + (keys.gap_s or 0.0))
    part_of[order[left_out]] = _LEFT_OUT
    return _parts(part_of)


def _sharing_rows(part_of: Indices, groups: npt.NDArray[Any] | None, overlap: int) -> npt.NDArray[np.bool_]:
    """Mark the samples that share rows with an earlier part, of samples in the order of time."""
    marked = np.zeros(len(part_of), np.bool_)
    codes = np.zeros(len(part_of), np.intp) if groups is None else np.unique(groups, return_inverse=True)[1]
    for code in range(int(codes.max(initial=0)) + 1 if overlap else 0):
        members = np.flatnonzero(codes == code)
        for change in np.flatnonzero(np.diff(part_of[members])).tolist():
            marked[members[change + 1 : change + 1 + overlap]] = True
    return marked


def split_stratified(n: int, classes: npt.NDArray[Any] | None, keys: SplitKeys) -> Parts:
    """Part each class by the same shares, by chance with a seed.

    Parameters
    ----------
    n : int
        Samples.
    classes : int, shape (n,), or None
        Class of each; None: all are of one.
    keys : SplitKeys
        Shares and seed.

    Returns
    -------
    parts : Parts
        Counts of a class differ from its shares by less than one sample, and a class of two samples or more is in
        calibration and evaluation.
    """
    part_of = np.full(n, _TRAINING, np.intp)
    kinds = np.zeros(n, np.intp) if classes is None else classes
    rng = np.random.default_rng(keys.seed)
    for kind in np.unique(kinds):
        members = rng.permutation(np.flatnonzero(kinds == kind))
        n_evaluation = round(len(members) * keys.evaluation)
        n_calibration = round(len(members) * (keys.evaluation + keys.calibration)) - n_evaluation
        if len(members) > 1:
            n_evaluation = min(max(n_evaluation, 1), len(members) - 1)
            n_calibration = min(max(n_calibration, 1), len(members) - n_evaluation)
        part_of[members[:n_evaluation]] = _EVALUATION
        part_of[members[n_evaluation : n_evaluation + n_calibration]] = _CALIBRATION
    return _parts(part_of)


def _parts(part_of: Indices) -> Parts:
    training, calibration, evaluation = (np.flatnonzero(part_of == part) for part in range(3))
    return Parts(training, calibration, evaluation)


def _subset(data: Dataset, indices: Indices, what: str) -> Dataset:
    """Choose samples with all that is known about them."""
    digest = hashlib.sha256(data.digest.encode() + indices.astype("<i8").tobytes()).hexdigest()
    return replace(
        data,
        x=take(data.x, indices, what=what),
        y=None if data.y is None else data.y[indices],
        groups=None if data.groups is None else data.groups[indices],
        slices={name: values[indices] for name, values in data.slices.items()},
        digest=digest,
        names=[data.name(int(index)) for index in indices],
        times=None if data.times is None else data.times[indices],
        boxes=None if data.boxes is None else tuple(data.boxes[int(index)] for index in indices),
        masks=None if data.masks is None else take(data.masks, indices, what=what),
    )
