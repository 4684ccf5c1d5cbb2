"""The supervisor's side of the quantization watchdog: whether int8 still decides as the float reference does.

Pure: takes comparisons, says whether the pipeline has drifted.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from edge_runtime.config import Pipeline
from edge_runtime.daemon.protocol import Compared

#: 95 %, two-sided.
_Z = 1.959963984540054
#: An alarm clears when the share is surely below the limit again, or this far under it.
_CLEAR_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Standing:
    """How a pipeline's int8 model stands against its float reference.

    Attributes
    ----------
    n : int
        Inputs compared, of the last ``reference_window``.
    n_different : int
        Those on which a label was abnormal for one of the two only.
    mean_gap : float
        Mean over them of the largest distance between the two scores.
    drifted : bool
        Whether it is beyond a limit of the configuration.
    known : bool
        Whether enough inputs were compared to say so.
    """

    n: int
    n_different: int
    mean_gap: float
    drifted: bool
    known: bool

    @property
    def share(self) -> float:
        """Share of inputs that are decided differently."""
        return self.n_different / self.n if self.n else 0.0

    def sentence(self, pipeline: str) -> str:
        """Say it to a person."""
        words = f"int8 and its float reference differ on {self.n_different} of {self.n} inputs, mean score gap"
        ending = "" if self.drifted else "; within limits"
        return f"{pipeline}: {words} {self.mean_gap:.3g}{ending}"


class QuantizationWatch:
    """Of one pipeline.

    Parameters
    ----------
    pipeline : Pipeline
        ``reference_window``, ``reference_max_disagreement`` and ``reference_max_gap`` are read.
    drifted : bool
        Whether it stood so before, as an alarm tells that outlives a restart.
    """

    def __init__(self, pipeline: Pipeline, *, drifted: bool = False) -> None:
        self._limit = pipeline.reference_max_disagreement
        self._max_gap = pipeline.reference_max_gap
        self._recent: deque[tuple[bool, float]] = deque(maxlen=pipeline.reference_window)
        self._least = min(20, pipeline.reference_window)
        self._drifted = drifted

    def take(self, compared: Sequence[Compared]) -> Standing:
        """Count one input that both models looked at.

        Parameters
        ----------
        compared : sequence of Compared
            One per label.

        Returns
        -------
        standing : Standing
            Drifted when the lower end of the 95 % Wilson interval of the share of differing decisions exceeds its
            limit, or the mean gap its own, over at least 20 inputs; it stays so until both are below half of theirs.
        """
        gap = max((abs(each.score - each.reference_score) for each in compared), default=0.0)
        self._recent.append((any(each.abnormal != each.reference_abnormal for each in compared), gap))
        n, n_different = len(self._recent), sum(different for different, _ in self._recent)
        mean_gap = math.fsum(gap for _, gap in self._recent) / n
        if n >= self._least:
            self._drifted = self._is_drifted(n, n_different, mean_gap)
        return Standing(n, n_different, mean_gap, self._drifted, n >= self._least)

    def _is_drifted(self, n: int, n_different: int, mean_gap: float) -> bool:
        if wilson_low(n_different, n) > self._limit or (self._max_gap is not None and mean_gap > self._max_gap):
            return True
        is_near = self._max_gap is not None and mean_gap > self._max_gap * _CLEAR_SHARE
        return self._drifted and (is_near or n_different / n > self._limit * _CLEAR_SHARE)


def wilson_low(n_hits: int, n: int) -> float:
    """Lower end of the 95 % Wilson score interval of a share.

    Parameters
    ----------
    n_hits, n : int
        Hits of so many trials, n > 0.

    Returns
    -------
    low : float, 0..1

    Examples
    --------
    >>> round(wilson_low(5, 20), 3)
    0.112
    """
    share = n_hits / n
    centre = share + _Z**2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + _Z**2 / n))
