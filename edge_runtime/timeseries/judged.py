"""The windows that a monitor judged, as it showed them to the model, for whoever must be able to show them again."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.findings import Finding


@dataclass(frozen=True, slots=True)
class JudgedWindow:
    """One window and what the model said about it.

    Attributes
    ----------
    first : int
        Findings of earlier windows that the same block completed.
    findings : tuple of Finding
        Of this window alone.
    samples : float32, shape (length, n_channels)
        What was normalised and run; valid only until the monitor goes on.
    times : float64, shape (length,), s
        When each sample was taken; NaN where the source tells no time.
    held : bool, shape (length, n_channels)
        True where an earlier value stands in for an invalid one.
    """

    first: int
    findings: tuple[Finding, ...]
    samples: npt.NDArray[np.float32]
    times: npt.NDArray[np.float64]
    held: npt.NDArray[np.bool_]


class HeldValues:
    """Remembers which of the last samples carry a value that stands in for an invalid one.

    Parameters
    ----------
    length : int, samples
        How far back.
    n_channels : int
        Values per sample.
    """

    def __init__(self, length: int, n_channels: int) -> None:
        self._length = length
        self._n_channels = n_channels
        self._n_taken = 0
        self._marked: deque[tuple[int, npt.NDArray[np.bool_]]] = deque()

    def note(self, invalid: npt.NDArray[np.bool_], usable: npt.NDArray[np.bool_]) -> None:
        """Note what cleaning said about the samples that come next; only usable ones will be taken.

        Parameters
        ----------
        invalid : bool, shape (n, n_channels)
            Values that were replaced.
        usable : bool, shape (n,)
            Samples that are used.
        """
        while self._marked and self._marked[-1][0] >= self._n_taken:  # of a block whose rest was not taken
            self._marked.pop()
        places = self._n_taken + np.cumsum(usable) - 1
        for row in np.flatnonzero(invalid.any(axis=1) & usable).tolist():
            self._marked.append((int(places[row]), invalid[row].copy()))
        self._forget()

    def take(self, n_samples: int) -> None:
        """Go on by so many samples."""
        self._n_taken += n_samples
        if self._marked:
            self._forget()

    def _forget(self) -> None:
        """Drop what no window reaches back to."""
        while self._marked and self._marked[0][0] < self._n_taken - self._length:
            self._marked.popleft()

    def last(self, n_samples: int) -> npt.NDArray[np.bool_]:
        """Give the marks of the last samples taken.

        Parameters
        ----------
        n_samples : int
            At most ``length``.

        Returns
        -------
        held : bool, shape (n_samples, n_channels)
        """
        held = np.zeros((n_samples, self._n_channels), np.bool_)
        first = self._n_taken - n_samples
        for place, channels in self._marked:
            if first <= place < self._n_taken:
                held[place - first] = channels
        return held

    def restore(self, held: npt.NDArray[np.bool_]) -> None:
        """Go on from given marks.

        Parameters
        ----------
        held : bool, shape (n, n_channels)
            Of the last ``n`` samples, the oldest first.
        """
        self._n_taken = len(held)
        self._marked.clear()
        for row in np.flatnonzero(held.any(axis=1)).tolist():
            self._marked.append((row, held[row].copy()))


def pack_marks(held: npt.NDArray[np.bool_]) -> bytes:
    """Write marks as bits, sample by sample, the highest bit first; no bytes at all where there is no mark."""
    return np.packbits(held).tobytes() if held.any() else b""


def unpack_marks(packed: bytes, n_samples: int, n_channels: int) -> npt.NDArray[np.bool_]:
    """Read what ``pack_marks`` wrote.

    Raises
    ------
    ValueError
        If there are more or fewer bytes than for so many values.
    """
    n_values = n_samples * n_channels
    if not packed:
        return np.zeros((n_samples, n_channels), np.bool_)
    if len(packed) != -(-n_values // 8):
        raise ValueError(f"{len(packed)} bytes of marks for {n_samples} samples of {n_channels} channels")
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=n_values)
    return bits.reshape(n_samples, n_channels).astype(np.bool_)
