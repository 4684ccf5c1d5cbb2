"""What decisions cost: parts with a fault that pass, good parts that are thrown out, and parts left to a person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.figures import Groups, share
from edge_runtime.compress.outcomes import NG, OK, UNSURE, Flags
from edge_runtime.compress.recipe import CostKeys
from edge_runtime.compress.statistics import Figure, bootstrap_interval

Verdicts = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Rates:
    """How often verdicts go wrong.

    Attributes
    ----------
    miss : Figure
        Share of the faulty samples that pass.
    false_alarm : Figure
        Share of the good samples that do not.
    unsure : Figure
        Share of all samples that are left to a person.
    """

    miss: Figure
    false_alarm: Figure
    unsure: Figure


def rates(said: Verdicts, faulty: Flags, groups: Groups = None) -> Rates:
    """Count verdicts.

    Parameters
    ----------
    said : int8, shape (n,)
        ``OK``, ``UNSURE`` or ``NG``.
    faulty : bool, shape (n,)
        What is a fault in truth.
    groups : array, shape (n,), optional
        What belongs together.

    Returns
    -------
    rates : Rates
        A part that is unsure is neither missed nor a false alarm.
    """

    def part(flags: Flags, among: Flags) -> Figure:
        return share(flags[among], None if groups is None else groups[among])

    return Rates(
        part(said == OK, faulty), part(said == NG, ~faulty), part(said == UNSURE, np.ones(len(said), np.bool_))
    )


def cost_per_sample(said: Verdicts, faulty: Flags, costs: CostKeys) -> npt.NDArray[np.float64]:
    """Give what each verdict costs.

    Parameters
    ----------
    said : int8, shape (n,)
        ``OK``, ``UNSURE`` or ``NG``.
    faulty : bool, shape (n,)
        What is a fault in truth.
    costs : CostKeys
        Of a miss, a false alarm and a part that is unsure.

    Returns
    -------
    cost : float64, shape (n,)
        0 where the verdict is right.
    """
    cost = np.where(faulty & (said == OK), costs.miss, 0.0)
    cost = np.where(~faulty & (said == NG), costs.false_alarm, cost)
    return np.where(said == UNSURE, costs.unsure, cost)


def mean_cost(cost: npt.NDArray[np.float64], groups: Groups = None) -> Figure:
    """Give the mean cost of a sample with its bootstrap interval."""
    interval = bootstrap_interval(lambda chosen: float(cost[chosen].mean()), len(cost), groups)
    return Figure(float(cost.mean()), interval, len(cost))
