"""How a new model proves itself beside the old one: shadow, canary, promotion, probation, or back.

Pure: no clock, no process, no file. The caller tells what both models said of the same inputs and learns the stage.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from edge_runtime.config import Rollout

#: ``waiting`` for a person after the canary; ``probation`` after the promotion, ``promoted`` once that is passed.
Stage = Literal["shadow", "canary", "waiting", "probation", "promoted", "rolled_back"]

#: Stages in which both models run.
TRYING: tuple[Stage, ...] = ("shadow", "canary", "probation")
#: Stages after which nothing changes by itself.
ENDED: tuple[Stage, ...] = ("promoted", "rolled_back")

_PERCENTILE = 0.95
_TIMES_KEPT = 256
_TIMES_NEEDED = 20
_LOSSES_BEFORE_READY = 2
#: Inputs on which the worker may be lost during a probation until the model goes; one may be the input's fault.
LOSSES_IN_PROBATION = 2


@dataclass(frozen=True, slots=True)
class Compared:
    """What became of one input that both models were given.

    Attributes
    ----------
    agrees : bool
        Whether both judged it alike; counts for nothing where the new model failed.
    failed : bool
        The new model gave no answer, or NaN, where the old one gave one.
    took_ms : float
        Processor time of the new model; 0 where it is not known.
    reference_ms : float
        Processor time of the old model; 0 where it is not known.
    """

    agrees: bool = True
    failed: bool = False
    took_ms: float = 0.0
    reference_ms: float = 0.0


class Trial:
    """The trial of one new model.

    Rates are budgets of a stage: of its planned inputs, so many may fail and so many may be judged otherwise. One
    more, and the model goes at once; the stage is not waited for.

    Parameters
    ----------
    limits : Rollout
        Of the configuration.
    may_decide : bool
        Whether a canary is possible: a monitor's answers depend on windows that only one model can own.
    stage : {"shadow", "probation"}
        Where it begins; a trial that a restart interrupted begins its stage anew.
    reference_p95_ms : float
        Processor time of the old model as measured before, for a probation without the old one beside; 0 for none.

    Attributes
    ----------
    stage : Stage
        The present one.
    reason : str
        Why it was rolled back: a stable word, a colon, the figures.
    n_compared, n_disagreed, n_failed, n_lost : int
        Of the present stage.
    """

    def __init__(
        self,
        limits: Rollout,
        *,
        may_decide: bool,
        stage: Literal["shadow", "probation"] = "shadow",
        reference_p95_ms: float = 0.0,
    ) -> None:
        self._limits = limits
        self._may_decide = may_decide and limits.canary_share > 0
        self._known_p95_ms = reference_p95_ms
        self.stage: Stage = stage
        self.reason = ""
        self._clear()

    def _clear(self) -> None:
        self.n_compared = self.n_disagreed = self.n_failed = self.n_lost = 0
        self._took: deque[float] = deque(maxlen=_TIMES_KEPT)
        self._reference: deque[float] = deque(maxlen=_TIMES_KEPT)

    @property
    def share(self) -> float:
        """Share of the inputs that the new model decides."""
        return {"canary": self._limits.canary_share, "probation": 1.0, "promoted": 1.0}.get(self.stage, 0.0)

    @property
    def planned(self) -> int:
        """Inputs of the present stage."""
        limits = self._limits
        return {"canary": limits.canary_inputs, "probation": limits.probation_inputs}.get(
            self.stage, limits.shadow_inputs
        )

    @property
    def p95_ms(self) -> float:
        """Processor time of the new model in this stage; 0 where nothing was measured."""
        return percentile(self._took)

    @property
    def reference_p95_ms(self) -> float:
        """The same of the old model, as far as it is known."""
        return percentile(self._reference) or self._known_p95_ms

    def decides(self, key: str) -> bool:
        """Whether the new model decides an input, which must belong to the canary.

        Parameters
        ----------
        key : str
            What names the input: its part, or else its source and number.
        """
        return self.stage == "canary" and in_share(key, self._limits.canary_share)

    def compare(self, compared: Compared) -> bool:
        """Count one input.

        Returns
        -------
        changed : bool
            Whether the stage changed.
        """
        if self.stage not in TRYING:
            return False
        self.n_compared += 1
        self.n_failed += compared.failed
        self.n_disagreed += not (compared.failed or compared.agrees)
        if not compared.failed and compared.took_ms > 0:
            self._took.append(compared.took_ms)
        if compared.reference_ms > 0:
            self._reference.append(compared.reference_ms)
        done = self.n_compared >= self.planned
        return self._judge(done=done) or (done and self._advance())

    def lose(self, why: str, *, ready: bool = True) -> bool:
        """Count a process that was lost with the new model in it.

        One that stood is enough; one that did not come up may be the machine's fault: that takes two. Losses of the
        worker in use, during a probation, are counted by who knows its inputs.

        Returns
        -------
        changed : bool
            Whether the stage changed.
        """
        if self.stage not in TRYING:
            return False
        self.n_lost += 1
        allowed = 1 if ready else _LOSSES_BEFORE_READY
        return self.n_lost >= allowed and self.roll_back(f"{why}: its process was lost ({why})")

    def weigh(self, n_bytes: int) -> bool:
        """Hold the memory of the new model's process to the limit; gives whether the stage changed."""
        limit = self._limits.memory_limit_mb << 20
        if self.stage not in TRYING or n_bytes <= limit:
            return False
        return self.roll_back(f"memory: {n_bytes >> 20} MB, {limit >> 20} MB are allowed")

    def promote(self) -> None:
        """Let the new model decide everything: a person asks, or the configuration lets it.

        Raises
        ------
        ValueError
            If the trial is over, or it decides everything already.
        """
        if self.stage not in {"shadow", "canary", "waiting"}:
            raise ValueError(f"a model cannot be promoted from {self.stage}")
        self._known_p95_ms = self.reference_p95_ms
        self.stage = "probation"
        self._clear()

    def roll_back(self, reason: str) -> bool:
        """End the trial; gives True, for the stage changed."""
        self.stage, self.reason = "rolled_back", reason
        return True

    def _judge(self, *, done: bool) -> bool:
        """Roll back where a limit is exceeded for certain."""
        limits, planned = self._limits, max(self.planned, self.n_compared)
        for word, count, rate in (
            ("errors", self.n_failed, limits.max_error_rate),
            ("disagreement", self.n_disagreed, limits.max_disagreement),
        ):
            if count > budget(rate, planned):
                return self.roll_back(
                    f"{word}: {count} of {self.n_compared} inputs, {budget(rate, planned)} of {planned} are allowed"
                )
        if len(self._took) < _TIMES_NEEDED and not done:
            return False
        mine, old = self.p95_ms, self.reference_p95_ms
        if old > 0 and mine > old * limits.max_latency_ratio and mine > old + limits.latency_slack_ms:
            return self.roll_back(
                f"latency: p95 {mine:.1f} ms, {old:.1f} ms before; {limits.max_latency_ratio:g} times that is allowed"
            )
        return False

    def _advance(self) -> bool:
        """Go to the next stage; the promotion itself is the caller's to do."""
        if self.stage == "shadow" and self._may_decide:
            reference = self.reference_p95_ms
            self.stage = "canary"
            self._clear()
            self._known_p95_ms = reference
        elif self.stage in {"shadow", "canary"}:
            self.stage = "waiting"
        else:
            self.stage = "promoted"
        return True


def budget(rate: float, planned: int) -> int:
    """Give how many of the planned inputs may be bad.

    Examples
    --------
    >>> budget(0.02, 200), budget(0.0, 200), budget(0.29, 100)
    (4, 0, 29)
    """
    return math.floor(rate * planned + 1e-9)


def percentile(values: Iterable[float]) -> float:
    """Give the 95th percentile by nearest rank; 0 of nothing.

    Examples
    --------
    >>> percentile(range(1, 101)), percentile([])
    (95, 0.0)
    """
    ordered = sorted(values)
    return ordered[math.ceil(_PERCENTILE * len(ordered)) - 1] if ordered else 0.0


def in_share(key: str, share: float) -> bool:
    """Pick a share of keys: the same ones in every run and on every gateway.

    Examples
    --------
    >>> in_share("part-1", 1.0), in_share("part-1", 0.0)
    (True, False)
    """
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) < share * 2.0**64
