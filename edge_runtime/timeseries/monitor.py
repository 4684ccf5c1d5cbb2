"""A sensor stream to findings: clean, gather windows, normalise, run, decide."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Manifest, WindowPreprocessing, canonical_json
from edge_runtime.errors import BundleFormatError, InferenceError, PayloadFormatError
from edge_runtime.findings import Finding
from edge_runtime.inference.interface import Runtime
from edge_runtime.kernels.window import SampleRing
from edge_runtime.timeseries.cleaning import Cleaner, CleaningCounts, CleaningState, check_times, split_runs
from edge_runtime.timeseries.failure import FailureModel
from edge_runtime.timeseries.judged import HeldValues, JudgedWindow, pack_marks, unpack_marks
from edge_runtime.timeseries.normalise import WindowPreprocessor
from edge_runtime.timeseries.state import WindowState, decode_state, encode_state

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]


class Monitor:
    """Watch one stream of samples with one model.

    Each window is run from the model's initial state. A sample that must not be shown to a model ends the window;
    the next one begins with the first usable sample after it.

    Parameters
    ----------
    manifest : Manifest
        The bundle's manifest; its preprocessing is that of windows.
    runtime : Runtime
        The bundle's model, loaded; it stays the caller's to close.

    Attributes
    ----------
    counts : CleaningCounts
        What happened to the samples so far.
    on_window : callable of JudgedWindow, or None
        Told of every window with an abnormal finding, before the next one is gathered.
    on_findings : callable of (float32 window, findings), or None
        Told of every window that is judged; the window's memory is used again.

    Raises
    ------
    BundleFormatError
        If the manifest is not one of a model of sensor windows, or does not fit the model.
    """

    def __init__(self, manifest: Manifest, runtime: Runtime) -> None:
        preprocessing = manifest.preprocessing
        if not isinstance(preprocessing, WindowPreprocessing):
            raise BundleFormatError(f'"{manifest.name}" takes images; a sensor stream needs a model of windows')
        inputs, outputs = runtime.interface.inputs, runtime.interface.outputs
        if len(inputs) != 1:
            raise BundleFormatError(f'"{manifest.name}" takes {len(inputs)} inputs; a sensor stream gives one')
        self.manifest = manifest
        self.counts = CleaningCounts()
        self.on_window: Callable[[JudgedWindow], None] | None = None
        self.on_findings: Callable[[Floats, list[Finding]], None] | None = None
        self._declaration = hashlib.sha256(canonical_json(preprocessing)).hexdigest()
        self._max_gap_s = preprocessing.max_gap_s
        self._duration_s = preprocessing.length / preprocessing.rate_hz if preprocessing.rate_hz > 0 else 0.0
        self._n_channels = len(preprocessing.channels)
        self._runtime = runtime
        self._cleaner = Cleaner(preprocessing.channels, preprocessing.max_hold, self.counts)
        self._ring = SampleRing(self._n_channels, preprocessing.length, preprocessing.hop)
        self._held = HeldValues(preprocessing.length, self._n_channels)
        self._newest: float | None = None
        self._n_findings = 0
        self._preprocessor = WindowPreprocessor(preprocessing, inputs[0])
        self._failure = FailureModel(manifest, outputs[0])
        self._window = np.empty((preprocessing.length, self._n_channels), np.float32)
        self._tensor = np.empty(inputs[0].shape, inputs[0].dtype)

    def push(self, values: Floats, times: Times | None = None) -> list[Finding]:
        """Take a block of samples and judge every window that it completes.

        Parameters
        ----------
        values : float32, shape (n, n_channels)
            Samples in the manifest's order of channels and in their units, oldest first; n may be 0.
        times : float64, shape (n,), s, optional
            When each was taken, finite; None when the source tells no time and samples simply follow each other.

        Returns
        -------
        findings : list of Finding
            Those of every window that became due, oldest first.

        Raises
        ------
        PayloadFormatError
            If shapes or dtypes are others, or a time is not finite; nothing of the block is taken.
        InvocationError
            If the engine fails or gives no usable output; the rest of the block is not taken, and a new window begins.
        """
        self._require_block(values, times)
        self._n_findings = 0
        if not len(values):
            return []
        self.counts.samples += len(values)
        flags = None
        if times is not None:
            check = check_times(
                times, self._newest, self._max_gap_s, late_s=self._late_s(times), equal_follows=self._duration_s == 0
            )
            self.counts.late += check.late
            self.counts.gaps += check.gaps
            self.counts.clock_steps += check.clock_steps
            flags = check.flags
        findings: list[Finding] = []
        for start, stop, restart in split_runs(flags, len(values)):
            if restart:
                self._ring.reset()
                self._cleaner.forget()
            run_times = np.full(stop - start, np.nan) if times is None else times[start:stop]
            findings += self._take(values[start:stop], run_times)
        return findings

    def _take(self, values: Floats, times: Times) -> list[Finding]:
        """Clean a run of samples and feed the usable ones; an unusable one ends the window."""
        findings: list[Finding] = []
        if np.isfinite(times[-1]):
            self._newest = float(times[-1])
        cleaned, usable, invalid = self._cleaner.clean(values)
        if invalid is not None:
            self._held.note(invalid, usable)
        unusable = () if usable.all() else np.flatnonzero(~usable).tolist()
        bounds = [-1, *unusable, len(values)]
        for before, after in pairwise(bounds):
            if before >= 0:
                self._ring.reset()
            start = before + 1
            while start < after:
                taken = self._ring.append(cleaned[start:after], times[start:after])
                self._held.take(taken)
                start += taken
                if self._ring.until_due == 0:
                    findings += self._judge()
        return findings

    def _late_s(self, times: Times) -> float:
        """Give how far back a sample is late and not of a clock set back.

        That is one window's duration, or more where the window held or this block spans more: a block that comes a
        second time is late.
        """
        held = self._ring.oldest_time()
        span_s = 0.0 if held is None or self._newest is None else self._newest - held
        return max(span_s, self._duration_s, float(times[-1] - times[0]))

    def _judge(self) -> list[Finding]:
        """Run the model on the window held."""
        self._ring.fill_samples(self._window)
        try:
            findings = self.judge(self._window)
        except InferenceError:
            # The caller drops the rest of the block: no later window may span that hole.
            self._ring.reset()
            raise
        if self.on_window is not None and any(finding.abnormal for finding in findings):
            held = self._held.last(len(self._window))
            times = self._ring.times()
            self.on_window(JudgedWindow(self._n_findings, tuple(findings), self._window, times, held))
        if self.on_findings is not None:
            self.on_findings(self._window, findings)
        self._n_findings += len(findings)
        return findings

    def judge(self, window: Floats) -> list[Finding]:
        """Run the model on a window of its own; the stream is neither asked nor changed.

        Parameters
        ----------
        window : float32, shape (length, n_channels)
            Samples as cleaning gives them, in the manifest's order of channels and in their units, oldest first.

        Returns
        -------
        findings : list of Finding
            The same as when ``push`` completed this window, to the bit.

        Raises
        ------
        PayloadFormatError
            If it is no such window.
        InvocationError
            If the engine fails or gives no usable output.
        """
        if window.shape != self._window.shape or window.dtype != np.float32:
            raise PayloadFormatError(
                f"a window is float32 {self._window.shape}, got {window.dtype} {window.shape}", reason="window_shape"
            )
        self._preprocessor.fill_into(window, self._tensor)
        return self._failure.findings(self._runtime.run([self._tensor]))

    def _require_block(self, values: npt.NDArray[Any], times: npt.NDArray[Any] | None) -> None:
        if values.ndim != 2 or values.shape[1] != self._n_channels or values.dtype != np.float32:  # noqa: PLR2004
            raise PayloadFormatError(
                f"a block is float32 (samples, {self._n_channels}), got {values.dtype} {values.shape}",
                reason="block_shape",
            )
        if times is None:
            return
        if times.shape != values.shape[:1] or times.dtype != np.float64:
            raise PayloadFormatError(
                f"times are float64 ({len(values)},), got {times.dtype} {times.shape}", reason="block_shape"
            )
        if not np.isfinite(times).all():
            raise PayloadFormatError("a time is NaN or infinite", reason="block_time")

    def state(self) -> bytes:
        """Give where the monitor is, to go on from there in another process.

        Returns
        -------
        state : bytes
            A ``WindowState``, encoded; the same bytes for the same stream.
        """
        values = np.empty((self._ring.count, self._n_channels), np.float32)
        self._ring.fill_samples(values)
        cleaning = self._cleaner.state
        state = WindowState(
            schema="edge.window-state/1",
            declaration=self._declaration,
            until_due=self._ring.until_due,
            values=values.astype("<f4").tobytes(),
            times=self._ring.times().astype("<f8").tobytes(),
            newest=self._newest,
            last=cleaning.last.astype("<f4").tobytes(),
            previous=cleaning.previous.astype("<f4").tobytes(),
            held=cleaning.held.astype("<i8").tobytes(),
            repeated=cleaning.repeated.astype("<i8").tobytes(),
            counts=asdict(self.counts),
            marks=pack_marks(self._held.last(self._ring.count)),
        )
        return encode_state(state)

    def restore(self, encoded: bytes) -> None:
        """Go on from a state: what follows is equal to the bit to what would have followed.

        Parameters
        ----------
        encoded : bytes
            What ``state`` gave, of a monitor with the same window declaration.

        Raises
        ------
        PayloadSizeError
            If there are more bytes than any state has.
        PayloadFormatError
            If they are no state, or one of another window declaration; the monitor is unchanged.
        """
        state = decode_state(encoded)
        if state.declaration != self._declaration:
            raise PayloadFormatError(
                "the window state belongs to another window declaration: begin with an empty window",
                reason="window_state",
            )
        n = self._n_channels
        values, times = _array(state.values, "<f4"), _array(state.times, "<f8")
        last, previous = _array(state.last, "<f4"), _array(state.previous, "<f4")
        held, repeated = _array(state.held, "<i8"), _array(state.repeated, "<i8")
        marks = _marks(state.marks, len(times), n)
        names = {field.name for field in fields(CleaningCounts)}
        fits = (
            len(values) == len(times) * n
            and len(times) <= self._ring.length
            and {len(last), len(previous), len(held), len(repeated)} == {n}
            and set(state.counts) <= names
            and state.until_due <= max(self._ring.length, self._ring.hop)
        )
        if not fits:
            raise PayloadFormatError("the window state contradicts itself", reason="window_state")
        self._ring.restore(values.reshape(-1, n), times, state.until_due)
        self._held.restore(marks)
        self._newest = state.newest
        self._cleaner.state = CleaningState(last, previous, held, repeated)
        for name, count in state.counts.items():
            setattr(self.counts, name, count)


def _marks(packed: bytes, n_samples: int, n_channels: int) -> npt.NDArray[np.bool_]:
    """Read the marks of held values, refusing a wrong length."""
    try:
        return unpack_marks(packed, n_samples, n_channels)
    except ValueError as error:
        raise PayloadFormatError("the window state contradicts itself", reason="window_state") from error


def _array(encoded: bytes, dtype: str) -> npt.NDArray[Any]:
    """Give a native, writable array from raw bytes, refusing a broken length."""
    kind = np.dtype(dtype)
    if len(encoded) % kind.itemsize:
        raise PayloadFormatError("the window state contradicts itself", reason="window_state")
    return np.frombuffer(encoded, kind).astype(kind.newbyteorder("="))
