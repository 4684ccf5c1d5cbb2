"""Machines that wear: four sensors, operating regimes, and four ways to fail.

What a sensor shows is the regime's level times the machine's own offset, plus wear times the fault's signature, noise,
and now and then a harmless disturbance of one sample. Regimes move every sensor further than wear does, so that a rule
over the whole stream sees either nothing or too much; within a regime wear stands out clearly.

Values are in mm/s (vibration), celsius (temperature), A (current) and bar (pressure).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Mode = Literal["bearing", "overheating", "leak", "winding"]

CHANNELS: Final = ("vibration", "temperature", "current", "pressure")
UNITS: Final = ("mm/s", "celsius", "A", "bar")
MODES: Final[tuple[Mode, ...]] = ("bearing", "overheating", "leak", "winding")
RATE_HZ: Final = 20.0

#: Wear from which an alarm is right: the machine still runs, and will fail.
FAILING_WEAR: Final = 0.35

#: Levels of each channel in each regime: idle, normal load, full load.
LEVELS: Final = np.array([[1.1, 41.0, 4.2, 3.0], [2.0, 55.0, 8.6, 4.6], [3.0, 68.0, 13.4, 6.1]])
#: What full wear adds, as a share of the level (temperature: as a share of 60 celsius).
_SIGNATURES: Final[dict[Mode, tuple[float, float, float, float]]] = {
    "bearing": (0.55, 0.05, 0.05, 0.0),
    "overheating": (0.05, 0.22, 0.07, 0.0),
    "leak": (0.08, 0.0, 0.12, -0.26),
    "winding": (0.15, 0.10, 0.22, 0.0),
}
_TEMPERATURE: Final = 1
_NOISE: Final = (0.035, 0.008, 0.020, 0.012)
_THERMAL_S: Final = 1.5
_REGIME_S: Final = (2.5, 7.0)
_DISTURBANCES_PER_S: Final = 0.06
_SURGE_SHARE: Final = 0.3


@dataclass(frozen=True, slots=True)
class MachineBlock:
    """A run of samples with their truth.

    Attributes
    ----------
    values : float32, shape (n, 4)
        Channels in the order of ``CHANNELS``, in ``UNITS``.
    regime : int8, shape (n,)
        0 idle, 1 normal, 2 full load.
    wear : float32, shape (n,)
        0 new to 1 failed.
    remaining_s : float32, shape (n,)
        Until failure; infinite for a machine that does not fail.
    failing : bool, shape (n,)
        Whether an alarm is right.
    """

    values: npt.NDArray[np.float32]
    regime: npt.NDArray[np.int8]
    wear: npt.NDArray[np.float32]
    remaining_s: npt.NDArray[np.float32]
    failing: npt.NDArray[np.bool_]


class Machine:
    """One life of one machine, step by step; the same seed gives the same life, whatever the steps.

    Parameters
    ----------
    seed : int
        Of everything that is drawn.
    difficulty : float
        0 (loud faults, little noise) to 1; 0.5 is what the released model was trained at.
    rate_hz : float
        Samples per second.
    life_s : float
        Until failure, s of the stream.
    fails : bool
        Whether it wears at all.
    mode : Mode, optional
        How it fails; drawn by default.

    Raises
    ------
    ValueError
        If ``life_s`` or ``rate_hz`` is not positive, or ``difficulty`` is outside 0..1.
    """

    def __init__(
        self,
        seed: int,
        *,
        difficulty: float = 0.5,
        rate_hz: float = RATE_HZ,
        life_s: float = 40.0,
        fails: bool = True,
        mode: Mode | None = None,
    ) -> None:
        if life_s <= 0 or rate_hz <= 0:
            raise ValueError(f"life_s and rate_hz must be positive, got {life_s} and {rate_hz}")
        if not 0 <= difficulty <= 1:
            raise ValueError(f"difficulty is 0..1, got {difficulty}")
        draw = np.random.default_rng(seed)
        self.mode: Mode = mode or MODES[int(draw.integers(len(MODES)))]
        self.rate_hz = rate_hz
        self.life_s = life_s
        self.fails = fails
        self._loud = 1.35 - 0.7 * difficulty
        self._noise = np.array(_NOISE) * (0.6 + 0.8 * difficulty)
        self._offset = 1.0 + draw.normal(0.0, 0.012, 4)
        self._curve = float(draw.uniform(1.4, 2.4))
        self._sign = np.array(_SIGNATURES[self.mode])
        self._regimes = np.random.default_rng(draw.integers(1 << 62))
        self._noises, self._knocks, self._strengths, self._places = (
            np.random.default_rng(each) for each in draw.integers(1 << 62, size=4)
        )
        self._step = 0
        self._regime = int(self._regimes.integers(3))
        self._regime_left = self._regime_length()
        self._heat = float(LEVELS[self._regime, _TEMPERATURE])

    @property
    def failing_from_s(self) -> float:
        """Stream time from which an alarm is right, s; infinite for a machine that does not fail."""
        return self.life_s * FAILING_WEAR ** (1.0 / self._curve) if self.fails else float("inf")

    @property
    def elapsed_s(self) -> float:
        """Stream time so far, s."""
        return self._step / self.rate_hz

    @property
    def failed(self) -> bool:
        """Whether its life is over."""
        return self.fails and self.elapsed_s >= self.life_s

    def advance(self, n: int) -> MachineBlock:
        """Give the next samples.

        Parameters
        ----------
        n : int
            How many; past the end of its life a machine stays at full wear.

        Returns
        -------
        block : MachineBlock
            Of length ``n``.
        """
        at_s = (self._step + np.arange(n)) / self.rate_hz
        wear = np.clip(at_s / self.life_s, 0.0, 1.0) ** self._curve if self.fails else np.zeros(n)
        regime = self._advance_regimes(n)
        values = LEVELS[regime].copy()
        values[:, _TEMPERATURE] = self._advance_heat(values[:, _TEMPERATURE])
        reference = values.copy()
        reference[:, _TEMPERATURE] = 60.0
        values = values * self._offset + reference * self._sign * (wear * self._loud)[:, None]
        values *= self._disturbances(n)
        values *= 1.0 + self._noises.normal(size=(n, 4)) * self._noise
        self._step += n
        remaining = self.life_s - at_s if self.fails else np.full(n, np.inf)
        return MachineBlock(
            values.astype(np.float32),
            regime,
            wear.astype(np.float32),
            np.maximum(remaining, 0.0).astype(np.float32),
            wear >= FAILING_WEAR if self.fails else np.zeros(n, bool),
        )

    def _regime_length(self) -> int:
        return max(1, int(self._regimes.uniform(*_REGIME_S) * self.rate_hz))

    def _advance_regimes(self, n: int) -> npt.NDArray[np.int8]:
        """Hold each regime for a while, then change to another."""
        regime = np.empty(n, np.int8)
        for index in range(n):
            if self._regime_left == 0:
                self._regime = (self._regime + int(self._regimes.integers(1, 3))) % 3
                self._regime_left = self._regime_length()
            regime[index] = self._regime
            self._regime_left -= 1
        return regime

    def _advance_heat(self, target: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Let the temperature follow the load with a delay."""
        share = 1.0 - np.exp(-1.0 / (self.rate_hz * _THERMAL_S))
        heat = np.empty_like(target)
        for index, level in enumerate(target):
            self._heat += (level - self._heat) * share
            heat[index] = self._heat
        return heat

    def _disturbances(self, n: int) -> npt.NDArray[np.float64]:
        """Harmless knocks (vibration) and surges (current) of one sample."""
        factors = np.ones((n, 4))
        hit = self._knocks.random(n) < _DISTURBANCES_PER_S / self.rate_hz
        column = np.where(self._places.random(n) < _SURGE_SHARE, 2, 0)
        rows = np.flatnonzero(hit)
        factors[rows, column[rows]] += self._strengths.uniform(0.5, 1.4, n)[rows]
        return factors


def run_to_failure(
    seed: int, *, difficulty: float = 0.5, rate_hz: float = RATE_HZ, life_s: float = 40.0
) -> MachineBlock:
    """Give one whole life of a machine that fails.

    Parameters
    ----------
    seed : int
        Of everything that is drawn.
    difficulty, rate_hz, life_s : float
        As for :class:`Machine`.

    Returns
    -------
    block : MachineBlock
        From new to failed.
    """
    return Machine(seed, difficulty=difficulty, rate_hz=rate_hz, life_s=life_s).advance(int(life_s * rate_hz))
