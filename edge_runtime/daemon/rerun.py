"""One input through a worker of its own: launcher, sandbox, signature and golden outputs as in the daemon."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from edge_runtime.config import Worker
from edge_runtime.daemon import protocol
from edge_runtime.daemon.keeper import Event, Lost, WorkerKeeper, WorkerLimits
from edge_runtime.daemon.ring import Ring
from edge_runtime.errors import BundleCompatibilityError, InvocationError

_NUMBER = 1
_GLANCE_S = 0.2


@dataclass(frozen=True, slots=True)
class Rerun:
    """What came of it.

    Attributes
    ----------
    outcome : Outcome
        Findings, or the reason why there are none.
    engine : str
        Engine, version and instruction set that ran the model.
    """

    outcome: protocol.Outcome
    engine: str


class Handing(Protocol):
    """Writes the task for a payload that lies in a slot."""

    def __call__(self, number: int, slot: int) -> protocol.Task:
        """Give the task."""
        ...


def run_once(
    plan: protocol.PipelinePlan,
    trusted: tuple[bytes, ...],
    payload: bytes,
    handing: Handing,
    *,
    model_formats: list[str],
    limits: Worker,
) -> Rerun:
    """Start a worker with one pipeline, give it one input, and end it.

    Parameters
    ----------
    plan : PipelinePlan
        The pipeline.
    trusted : tuple of bytes
        Public keys, PEM, by which the bundle is verified once more.
    payload : bytes
        The input.
    handing : callable
        Writes the task.
    model_formats : list of str
        Formats of the bundle's models, for the launcher's imports.
    limits : Worker
        Of the configuration.

    Returns
    -------
    rerun : Rerun
        The pipeline's outcome.

    Raises
    ------
    BundleCompatibilityError
        If the worker refuses the bundle.
    InvocationError
        If the worker dies, hangs or cannot be started.
    """
    ring = Ring(1, max(len(payload), 1))
    keeper = WorkerKeeper(
        ring,
        lambda: protocol.Load((plan,), trusted, {}, limits.max_frame_px),
        formats=model_formats,
        limits=WorkerLimits(limits.start_timeout_s, limits.hang_timeout_s, limits.memory_limit_mb << 20, 1),
        clock=time.monotonic,
    )
    course = _Course()
    try:
        while not course.follow(keeper.poll()):
            keeper.wait(_GLANCE_S)
        keeper.submit(handing(_NUMBER, ring.fill(payload)))
        while not course.follow(keeper.poll()):
            keeper.wait(_GLANCE_S)
    finally:
        keeper.close()
        ring.close()
    return course.end()


class _Course:
    """What the worker said so far."""

    def __init__(self) -> None:
        self._engine = ""
        self._outcomes: tuple[protocol.Outcome, ...] = ()

    def follow(self, events: list[Event]) -> bool:
        """Take the worker's words; True when it is ready, and again when it has answered."""
        for event in events:
            if isinstance(event, Lost):
                raise InvocationError(f"the worker was lost ({event.reason}); the log above may say why")
            if isinstance(event, protocol.Refused):
                raise BundleCompatibilityError(event.reason)
            if isinstance(event, protocol.Built):
                self._engine = event.engine
            if isinstance(event, protocol.Done):
                self._outcomes = event.outcomes
            if isinstance(event, (protocol.Ready, protocol.Done)):
                return True
        return False

    def end(self) -> Rerun:
        """Give what came of it."""
        if len(self._outcomes) != 1:
            raise InvocationError(f"the worker gave {len(self._outcomes)} outcomes of one input")
        return Rerun(self._outcomes[0], self._engine)
