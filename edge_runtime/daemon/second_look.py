"""The worker's side of the quantization watchdog: the float reference looks at one input in so many."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from edge_runtime.bundle.reader import Bundle
from edge_runtime.daemon import protocol
from edge_runtime.errors import InferenceError
from edge_runtime.findings import Finding
from edge_runtime.inference.interface import Runtime
from edge_runtime.inference.opening import open_runtime

_log = logging.getLogger(__name__)

#: The float model of a bundle, of the same inputs and outputs as the quantized one.
REFERENCE = "aux/reference.tflite"

Subject = TypeVar("Subject")


def open_reference(bundle: Bundle) -> Runtime | None:
    """Load a bundle's float reference.

    Parameters
    ----------
    bundle : Bundle
        Verified.

    Returns
    -------
    runtime : Runtime or None
        None where the bundle has none.

    Raises
    ------
    ModelLoadError
        If the engine refuses it.
    """
    model = bundle.members.get(REFERENCE)
    return None if model is None else open_runtime(model, "tflite")


class SecondLook(Generic[Subject]):
    """Compares findings with those of the float reference, on one subject in ``every``.

    Parameters
    ----------
    judge : callable
        Gives the reference's findings on a frame or a window.
    every : int > 0
        One in so many is looked at twice, the first one not.
    """

    def __init__(self, judge: Callable[[Subject], Sequence[Finding]], every: int) -> None:
        self._judge = judge
        self._every = every
        self._seen = 0
        self.n_failed = 0

    def __call__(self, subject: Subject, findings: Sequence[Finding]) -> tuple[protocol.Compared, ...]:
        """Look again where it is due; a reference that fails is counted and says nothing."""
        self._seen += 1
        if self._seen % self._every:
            return ()
        try:
            reference = self._judge(subject)
        except InferenceError as error:
            self.n_failed += 1
            _log.warning("stage=processing the float reference fails: %s", error)
            return ()
        return tuple(
            protocol.Compared(ours.label, ours.score, theirs.score, ours.abnormal, theirs.abnormal)
            for ours, theirs in zip(findings, reference, strict=True)
        )
