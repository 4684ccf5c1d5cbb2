"""Thresholds found again after compression, with a band that is left to a person: what costs least on labelled data.

Never on the evaluation data: a threshold that was chosen on them would make every figure of theirs too good.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Decision, Threshold
from edge_runtime.compress.artifact import Artifact
from edge_runtime.compress.costs import cost_per_sample
from edge_runtime.compress.dataset import Dataset, spread
from edge_runtime.compress.evaluate import run_all
from edge_runtime.compress.outcomes import Flags, Floats, fault_columns, probabilities, verdicts
from edge_runtime.compress.recipe import CostKeys
from edge_runtime.errors import CalibrationError, RecipeError
from edge_runtime.inference.opening import open_runtime

Reals = npt.NDArray[np.float64]

#: An int8 output has 256 levels; a finer score is cut at so many quantiles.
MOST_CUTS = 512
#: So many labelled samples are run.
MOST_SAMPLES = 10_000
#: Fewer faults, or fewer good samples, say nothing about a threshold.
FEWEST = 20
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Tuned:
    """What tuning found.

    Attributes
    ----------
    low, high : float
        Below ``low`` a part is ok, from ``high`` on it is thrown out, between them a person looks. Equal without a
        band.
    cost : float
        Mean cost of a sample.
    """

    low: float
    high: float
    cost: float


def tune_decision(artifact: Artifact, *, say: Callable[[str], None]) -> Artifact:
    """Find the thresholds of the quantized model again, where the recipe asks for it.

    Parameters
    ----------
    artifact : Artifact
        Quantized, its labels settled.
    say : callable
        Told what was found.

    Returns
    -------
    artifact : Artifact
        With the decision that goes into the manifest, and the recipe's own kept as ``decision_before``.

    Raises
    ------
    CalibrationError
        If the data it is tuned on have no labels, are the evaluation data, or hold too few faults or good samples.
    """
    keys, costs = artifact.recipe.thresholds, artifact.recipe.costs
    if keys is None or costs is None or not keys.tune:
        return artifact
    data = _labelled(artifact, keys.data)
    chosen = spread(len(data), MOST_SAMPLES)
    runtime = open_runtime(artifact.int8, "tflite")
    outputs = run_all(runtime, artifact.prepare(data.x[chosen], runtime.interface.inputs[0]))
    runtime.close()
    decision, labels = artifact.decision, artifact.labels
    scores = probabilities(outputs.reshape(len(chosen), -1), len(labels), decision)
    faulty = np.isin(np.asarray(data.y)[chosen].astype(np.intp), fault_columns(labels, decision))
    highest = highest_fault(scores, labels, decision)
    found = tune(highest, faulty, costs, max_unsure=keys.max_unsure)
    old = float(cost_per_sample(verdicts(scores, labels, decision), faulty, costs).mean())
    say(
        f"thresholds from {len(chosen)} {keys.data} samples, {int(faulty.sum())} of them faults: thrown out from"
        f" {found.high:g}, unsure from {found.low:g}; a decision cost {old:.4f}, now {found.cost:.4f}"
    )
    return replace(artifact, decision=apply_tuned(decision, found), decision_before=decision)


def highest_fault(scores: Floats, labels: tuple[str, ...], decision: Decision) -> Reals:
    """Give the highest probability of a fault for each sample."""
    columns = fault_columns(labels, decision)
    if not columns:
        raise RecipeError("recipe", ["$.thresholds.tune: [decision] normal names every label, so nothing is a fault"])
    return np.asarray(scores[:, columns].max(axis=1), np.float64)


def tune(highest: Reals, faulty: Flags, costs: CostKeys, *, max_unsure: float) -> Tuned:
    """Find the band of the highest fault probability that costs least.

    Parameters
    ----------
    highest : float64, shape (n,)
        Highest fault probability of each sample.
    faulty : bool, shape (n,)
        What is a fault in truth.
    costs : CostKeys
        Of a miss, a false alarm and a part left to a person.
    max_unsure : float
        Share of the samples that may be left to a person; 0 for one threshold.

    Returns
    -------
    tuned : Tuned
        Cuts lie in the middle between scores that occur. Of bands that cost the same the narrowest, then the
        middle one.

    Raises
    ------
    CalibrationError
        With fewer than 20 faults, or 20 good samples.
    """
    n_faults = int(faulty.sum())
    if min(n_faults, len(faulty) - n_faults) < FEWEST:
        raise CalibrationError(
            f"thresholds cannot be tuned on {n_faults} faults and {len(faulty) - n_faults} good samples: {FEWEST} of"
            " each are needed; add labelled calibration data or take out [thresholds]"
        )
    cuts = _cuts(highest)
    order = np.argsort(highest, kind="stable")
    below = np.searchsorted(highest[order], cuts, side="left")
    faults_below = np.concatenate([[0], np.cumsum(faulty[order])])[below]
    good_above = (len(faulty) - n_faults) - (below - faults_below)
    passing = costs.miss * faults_below - costs.unsure * below
    thrown = costs.false_alarm * good_above + costs.unsure * below
    total = passing[:, np.newaxis] + thrown[np.newaxis, :]
    width = below[np.newaxis, :] - below[:, np.newaxis]
    allowed = (np.arange(len(cuts))[:, np.newaxis] <= np.arange(len(cuts))) & (width <= max_unsure * len(faulty) + 1e-9)
    total = np.where(allowed, total, np.inf)
    best = np.isclose(total, total.min(), rtol=1e-12, atol=1e-9)
    narrowest = best & (width == width[best].min())
    places = np.argwhere(narrowest)
    low, high = places[len(places) // 2]
    return Tuned(round(float(cuts[low]), _DIGITS), round(float(cuts[high]), _DIGITS), float(total.min()) / len(faulty))


def _cuts(highest: Reals) -> Reals:
    """Give every place where a cut makes a difference: between scores that occur, and beyond both ends."""
    found = np.unique(highest)
    if len(found) > MOST_CUTS:
        found = np.unique(np.quantile(found, np.linspace(0, 1, MOST_CUTS), method="nearest"))
    middles = [(first + second) / 2 for first, second in pairwise(found)]
    return np.array([found[0] / 2, *middles, (found[-1] + 1) / 2])


def apply_tuned(decision: Decision, found: Tuned) -> Decision:
    """Write what was found into a decision.

    Parameters
    ----------
    decision : Decision
        The recipe's; how far below its threshold a label clears is kept.
    found : Tuned
        From :func:`tune`.

    Returns
    -------
    decision : Decision
        Every fault is raised at the same probability; what kind it is matters less than that it is.
    """
    thresholds = {
        label: Threshold(
            raise_at=found.high,
            clear_at=round(max(0.0, min(found.low, found.high - (old.raise_at - old.clear_at))), _DIGITS),
        )
        for label, old in decision.thresholds.items()
    }
    band = (found.low, found.high) if found.low < found.high else None
    return msgspec.structs.replace(decision, thresholds=thresholds, unsure=band)


def _labelled(artifact: Artifact, name: str) -> Dataset:
    """Give the data to tune on, with labels of this model, and never the evaluation data."""
    data: Dataset | None = artifact.training if name == "training" else artifact.calibration
    if data is None:
        raise CalibrationError(f'[thresholds] data = "{name}": the recipe names no such data')
    if data.y is None:
        raise CalibrationError(f"[thresholds]: the {name} data have no labels; thresholds cannot be tuned on them")
    if artifact.recipe.data.split is None and data.digest == artifact.evaluation_set.digest:
        raise CalibrationError(
            f"[thresholds]: the {name} data are the evaluation data; thresholds chosen on them would prove nothing"
        )
    y: npt.NDArray[Any] = np.asarray(data.y)
    if y.ndim != 1 or y.dtype.kind not in "iub" or y.min() < 0 or y.max() >= len(artifact.labels):
        raise CalibrationError(
            f'"y" of the {name} data must be whole numbers 0..{len(artifact.labels) - 1}, one per sample'
        )
    return data
