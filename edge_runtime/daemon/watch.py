"""One sensor watched by one monitor, inside the worker."""

from __future__ import annotations

import logging
import zlib
from collections import OrderedDict
from dataclasses import asdict
from typing import get_args

import msgspec
import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Manifest, WindowPreprocessing
from edge_runtime.daemon import protocol
from edge_runtime.daemon.fit import require_fit
from edge_runtime.daemon.second_look import SecondLook
from edge_runtime.errors import MessageError
from edge_runtime.findings import Finding
from edge_runtime.timeseries.joining import ChannelJoiner, JoinState
from edge_runtime.timeseries.judged import JudgedWindow, pack_marks
from edge_runtime.timeseries.monitor import Monitor

_log = logging.getLogger(__name__)

#: First channel, time of the first sample, checksum of the values.
BlockKey = tuple[int, float, int]
#: More than a broker may deliver once more.
_BLOCKS_KEPT = 256
#: Comparisons in one answer; a block that completes more windows is compared in part.
_COMPARED_KEPT = 64


class Watch:
    """One sensor watched by one monitor: joins its channels and picks those that the model reads.

    Parameters
    ----------
    source : SourcePlan
        The sensor.
    manifest : Manifest
        Of the bundle.
    monitor : Monitor
        Fresh.

    Raises
    ------
    BundleCompatibilityError
        If the sensor lacks a channel, or gives it in another unit or at another rate.
    """

    def __init__(self, source: protocol.SourcePlan, manifest: Manifest, monitor: Monitor) -> None:
        self._order = require_fit(source, manifest)
        self._joiner = ChannelJoiner(len(source.channels))
        self._monitor = monitor
        monitor.on_window = self._see
        declared = manifest.preprocessing
        assert isinstance(declared, WindowPreprocessing)  # require_fit has seen to it
        self._channels = tuple((channel.name, channel.unit) for channel in declared.channels)
        self._rate_hz = declared.rate_hz
        self._windows: list[protocol.Window] = []
        self._room = 0
        self._compared: list[tuple[protocol.Compared, ...]] = []
        self._second_look: SecondLook[npt.NDArray[np.float32]] | None = None
        self._n_failed = 0
        self._counted = asdict(monitor.counts)
        self._taken: OrderedDict[BlockKey, None] = OrderedDict()

    def push(
        self, first: int, values: npt.NDArray[np.float32], times: npt.NDArray[np.float64], *, again: bool = False
    ) -> tuple[tuple[Finding, ...], float | None]:
        """Feed samples; gives findings and the time of the last complete row.

        A block that was taken before and that the broker delivers ``again`` is counted as late: what was acknowledged
        too late may be older than the window, and would look like a clock that was set back.
        """
        self._windows, self._room = [], protocol.WINDOWS_BYTES
        self._compared = []
        key = (first, float(times[0]), zlib.crc32(values.tobytes()))
        if again and key in self._taken:
            self._monitor.counts.late += len(values)
            return (), None
        self._taken[key] = None
        while len(self._taken) > _BLOCKS_KEPT:
            self._taken.popitem(last=False)
        rows, row_times = self._joiner.push(first, values, times)
        if not len(rows):
            return (), None
        findings = self._monitor.push(np.ascontiguousarray(rows[:, self._order]), row_times)
        return tuple(findings), float(row_times[-1])

    def _see(self, window: JudgedWindow) -> None:
        """Keep an abnormal window, as long as there is room in the answer."""
        if window.samples.nbytes + window.times.nbytes > self._room:
            return
        kept = protocol.Window(
            window.first,
            len(window.findings),
            self._channels,
            self._rate_hz,
            window.times.astype("<f8").tobytes(),
            window.samples.astype("<f4").tobytes(),
            pack_marks(window.held),
        )
        if kept.size <= self._room:
            self._room -= kept.size
            self._windows.append(kept)

    def look_again(self, second_look: SecondLook[npt.NDArray[np.float32]]) -> None:
        """Let the float reference judge some windows too."""
        self._second_look = second_look
        self._monitor.on_findings = self._compare

    def _compare(self, window: npt.NDArray[np.float32], findings: list[Finding]) -> None:
        """Keep what both models say of a window."""
        assert self._second_look is not None
        compared = self._second_look(window, findings)
        if compared and len(self._compared) < _COMPARED_KEPT:
            self._compared.append(compared)

    def compared(self) -> tuple[tuple[protocol.Compared, ...], ...]:
        """Give what both models said of windows of the last block."""
        return tuple(self._compared)

    def windows(self) -> tuple[protocol.Window, ...]:
        """Give the abnormal windows of the last block, as far as there was room."""
        return tuple(self._windows)

    def judge(self, samples: npt.NDArray[np.float32]) -> list[Finding]:
        """Judge one window beside the stream."""
        return self._monitor.judge(samples)

    def irregular(self) -> dict[protocol.Irregularity, int]:
        """Count the samples that were not simply used, since the last call."""
        before, self._counted = self._counted, asdict(self._monitor.counts)
        counts: dict[protocol.Irregularity, int] = {}
        for word in get_args(protocol.Irregularity):
            if word in before and self._counted[word] > before[word]:
                counts[word] = self._counted[word] - before[word]
        if self._second_look is not None and self._second_look.n_failed > self._n_failed:
            counts["reference_failed"] = self._second_look.n_failed - self._n_failed
            self._n_failed = self._second_look.n_failed
        return counts

    def state(self) -> bytes:
        """Give where it is, for another worker to go on from."""
        return msgspec.msgpack.encode((self._monitor.state(), self._joiner.state(), list(self._taken)))

    def restore(self, state: bytes) -> None:
        """Go on from a state; one that belongs to another window declaration is left aside."""
        try:
            window, waiting, taken = msgspec.msgpack.decode(state, type=tuple[bytes, JoinState, list[BlockKey]])
            self._monitor.restore(window)
            self._joiner.restore(waiting)
            self._counted = asdict(self._monitor.counts)
            self._taken = OrderedDict.fromkeys(taken)
        except (msgspec.MsgspecError, MessageError, ValueError) as error:
            _log.warning("stage=processing the window begins empty: %s", error)
