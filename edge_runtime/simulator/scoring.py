"""Verdicts and alerts against the truth. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge_runtime.simulator.truth import AssetTruth


@dataclass(frozen=True, slots=True)
class Score:
    """Counts of one kind of decision.

    Attributes
    ----------
    hits, false_alarms, misses, passes : int
        Faults found, sound ones accused, faults not found, sound ones left alone.
    unsure : int
        Decisions that were left to a person (on a fault they count as misses, too).
    """

    hits: int
    false_alarms: int
    misses: int
    passes: int
    unsure: int = 0

    @property
    def recall(self) -> float:
        """Share of faults found; 1 when there was none."""
        return self.hits / (self.hits + self.misses) if self.hits + self.misses else 1.0

    @property
    def precision(self) -> float:
        """Share of accusations that were right; 1 when there was none."""
        return self.hits / (self.hits + self.false_alarms) if self.hits + self.false_alarms else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of the two; 1 when there was nothing to find and nothing accused."""
        wrong = self.false_alarms + self.misses
        return 2 * self.hits / (2 * self.hits + wrong) if self.hits or wrong else 1.0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.hits + other.hits,
            self.false_alarms + other.false_alarms,
            self.misses + other.misses,
            self.passes + other.passes,
            self.unsure + other.unsure,
        )


def score_parts(truth: Mapping[str, str], verdicts: Mapping[str, str]) -> Score:
    """Compare verdicts with the truth; a part without a verdict is a miss when it is faulty.

    Parameters
    ----------
    truth : mapping of str to {"ok", "ng"}
        By part.
    verdicts : mapping of str to {"ok", "ng", "unsure"}
        By part.

    Returns
    -------
    score : Score
        Over the parts of ``truth``.
    """
    hits = sum(word == "ng" and verdicts.get(part) == "ng" for part, word in truth.items())
    false_alarms = sum(word == "ok" and verdicts.get(part) == "ng" for part, word in truth.items())
    faults = sum(word == "ng" for word in truth.values())
    unsure = sum(verdicts.get(part) == "unsure" for part in truth)
    return Score(hits, false_alarms, faults - hits, len(truth) - faults - false_alarms, unsure)


@dataclass(frozen=True, slots=True)
class AssetScore:
    """Alarms of machines against their lives.

    Attributes
    ----------
    score : Score
        Over lives.
    to_alert_s : tuple of float
        For every hit, the time from the first moment at which an alarm was right.
    """

    score: Score
    to_alert_s: tuple[float, ...]


def score_assets(lives: Iterable[AssetTruth], raised: Mapping[str, Sequence[int]], *, end_ms: int) -> AssetScore:
    """Compare raised alarms with the lives of machines.

    A life that fails is found when an alarm is raised between the moment from which it is right and the failure (plus
    a second for what is under way), and missed when it fails without one. Any other alarm during a life accuses it
    falsely. A life that is cut off by the end of the observation while it could still be found says nothing.

    Parameters
    ----------
    lives : iterable of AssetTruth
        Everything that began.
    raised : mapping of str to sequence of int
        By asset, when alarms were raised, epoch milliseconds of the machine's clock.
    end_ms : int
        End of the observation.

    Returns
    -------
    score : AssetScore
        Counts and times to alert.
    """
    total = Score(0, 0, 0, 0)
    to_alert: list[float] = []
    for life in lives:
        stop = min(life.ends_ms, end_ms) + 1000
        alarms = sorted(at for at in raised.get(life.asset, ()) if life.began_ms + 1000 <= at < stop)
        right_from = life.failing_from_ms if life.fails else None
        if right_from is None or right_from >= end_ms:
            total += Score(0, int(bool(alarms)), 0, int(not alarms))
            continue
        good = [at for at in alarms if at >= right_from]
        early = len(alarms) > len(good)
        if good:
            to_alert.append((good[0] - right_from) / 1000)
        elif life.ends_ms > end_ms:
            total += Score(0, int(early), 0, 0)
            continue
        total += Score(int(bool(good)), int(early), int(not good), 0)
    return AssetScore(total, tuple(to_alert))
