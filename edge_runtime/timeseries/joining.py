"""Channels that arrive one by one, each on its own topic, joined into the rows that a model reads."""

from __future__ import annotations

from collections import deque
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

#: Samples that one channel may be ahead of another before its oldest ones are given up.
MAX_AHEAD = 4096

_Times = Annotated[list[float], Meta(max_length=MAX_AHEAD)]


class JoinState(msgspec.Struct, frozen=True):
    """Samples that wait for the other channels: per channel their times (s) and values, oldest first."""

    times: Annotated[list[_Times], Meta(max_length=256)]
    values: Annotated[list[_Times], Meta(max_length=256)]


class ChannelJoiner:
    """Pairs the k-th waiting sample of every channel into one row.

    It suits tags that one controller publishes at one rate. A channel that falls silent holds the rows back, which the
    model then sees as a gap.

    Parameters
    ----------
    n_channels : int
        Columns of a row.

    Attributes
    ----------
    given_up : int
        Samples dropped because another channel had none for too long.
    """

    def __init__(self, n_channels: int) -> None:
        self._waiting: list[deque[tuple[float, float]]] = [deque() for _ in range(n_channels)]
        self.given_up = 0

    def push(
        self, first: int, values: npt.NDArray[np.float32], times: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]:
        """Take samples of some channels and give the rows that are complete.

        Parameters
        ----------
        first : int
            Channel of the first column of ``values``.
        values : float32, shape (n, k)
            Samples of channels ``first`` to ``first + k - 1``.
        times : float64, shape (n,), s
            When they were taken.

        Returns
        -------
        rows : float32, shape (m, n_channels)
            Complete rows, oldest first; m may be 0.
        row_times : float64, shape (m,), s
            The latest time among the samples of each row.

        Examples
        --------
        >>> joiner = ChannelJoiner(2)
        >>> joiner.push(0, np.array([[1.0], [2.0]], np.float32), np.array([0.0, 1.0]))[0].shape
        (0, 2)
        >>> joiner.push(1, np.array([[5.0]], np.float32), np.array([0.1]))
        (array([[1., 5.]], dtype=float32), array([0.1]))
        """
        if first == 0 and values.shape[1] == len(self._waiting):
            return values, times
        for offset in range(values.shape[1]):
            queue = self._waiting[first + offset]
            queue.extend(zip(times.tolist(), values[:, offset].tolist(), strict=True))
            while len(queue) > MAX_AHEAD:
                queue.popleft()
                self.given_up += 1
        n_rows = min(len(queue) for queue in self._waiting)
        rows = np.empty((n_rows, len(self._waiting)), np.float32)
        row_times = np.full(n_rows, -np.inf)
        for row in range(n_rows):
            for column, queue in enumerate(self._waiting):
                at, value = queue.popleft()
                rows[row, column] = value
                row_times[row] = max(row_times[row], at)
        return rows, row_times

    def state(self) -> JoinState:
        """Give what waits, to go on from there in another process."""
        return JoinState(
            [[at for at, _ in queue] for queue in self._waiting],
            [[value for _, value in queue] for queue in self._waiting],
        )

    def restore(self, state: JoinState) -> None:
        """Go on from a state.

        Raises
        ------
        ValueError
            If it has another number of channels, or times and values do not pair.
        """
        if len(state.times) != len(self._waiting) or len(state.values) != len(self._waiting):
            raise ValueError(f"the state has {len(state.times)} channels, not {len(self._waiting)}")
        self._waiting = [
            deque(zip(at, values, strict=True)) for at, values in zip(state.times, state.values, strict=True)
        ]
