"""Keeps one worker alive: starts it, hands it inputs, notices when it dies, hangs or grows, and replaces it.

Another one may be built beside it, with other orders; it takes over without a gap once the supervisor agrees to it.
"""

from __future__ import annotations

import logging
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.daemon import protocol
from edge_runtime.daemon.launching import Launcher, start_launcher
from edge_runtime.daemon.links import WorkerLimits, WorkerLink
from edge_runtime.daemon.ring import Ring

__all__ = ["Abandoned", "Coming", "Event", "Lost", "Switched", "WorkerKeeper", "WorkerLimits"]

_log = logging.getLogger(__name__)

#: Workers that may fail to come up before the launcher itself is replaced and the pauses begin.
_QUICK_TRIES = 2


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker was lost.

    Attributes
    ----------
    reason : str
        ``crashed``, ``hung``, ``grew`` or ``start_failed``.
    in_hand : int or None
        Id of the input it was working on.
    waiting : tuple of int
        Ids of the inputs behind that one, in order.
    """

    reason: str
    in_hand: int | None
    waiting: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Coming:
    """What the worker said that is built beside the present one."""

    message: protocol.Building | protocol.Built | protocol.Refused | protocol.Ready


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The worker that was built beside the present one is no more; ``reason`` as in ``Lost``."""

    reason: str


@dataclass(frozen=True, slots=True)
class Switched:
    """The worker that was built beside is the present one from now on; the one before it has answered everything."""


Event = protocol.FromWorker | Lost | Coming | Abandoned | Switched


@dataclass(slots=True)
class _Beside:
    """The worker that is built beside; ``launcher`` is its own one, where the present one lacks an engine.

    ``states`` is there once the supervisor agreed to it.
    """

    orders: Callable[[], protocol.Load]
    formats: frozenset[str]
    launcher: Launcher | None = None
    link: WorkerLink | None = None
    states: Callable[[], Mapping[str, bytes]] | None = None


class WorkerKeeper:
    """The supervisor's side of the worker.

    Parameters
    ----------
    ring : Ring
        Where payloads are.
    orders : callable
        Gives the ``Load`` for a new worker: pipelines and the latest states.
    formats : sequence of str
        Model formats in use, for the launcher's imports.
    limits : WorkerLimits
        When it is replaced; they hold for the one that is built beside, too.
    clock : callable
        Monotonic, s.
    cache_dir : Path, optional
        Where compiled kernels are kept when the package's own folder cannot be written. What lies there is executed, so
        only the daemon's user may write it.
    """

    def __init__(
        self,
        ring: Ring,
        orders: Callable[[], protocol.Load],
        *,
        formats: Sequence[str],
        limits: WorkerLimits,
        clock: Callable[[], float],
        cache_dir: Path | None = None,
    ) -> None:
        self._ring = ring
        self._orders = orders
        self._formats = frozenset(formats)
        self._limits = limits
        self._clock = clock
        self._cache_dir = cache_dir
        self._launcher: Launcher | None = None
        self._present: WorkerLink | None = None
        self._beside: _Beside | None = None
        self._failures = 0
        self._not_before = 0.0
        self._vacant = False
        self._restarting = False
        self.n_replaced = 0

    @property
    def ready(self) -> bool:
        """Whether the worker has built its pipelines."""
        return self._present is not None and self._present.ready

    @property
    def vacant(self) -> bool:
        """Whether the next ``poll`` asks for a worker or switches to the one beside.

        Its orders and states may depend on what the present one said last.
        """
        return self._vacant or self._may_switch()

    @property
    def has_room(self) -> bool:
        """Whether it takes another input now."""
        present, leaving = self._present, self._beside is not None and self._beside.states is not None
        if present is None or not present.ready or leaving or self._restarting:
            return False
        return len(present.in_flight) < self._limits.in_flight and self._ring.has_room

    @property
    def coming(self) -> bool:
        """Whether another worker is built beside the present one."""
        return self._beside is not None

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of launcher and worker, and of those beside them, as far as they run."""
        launchers, links = self._launchers(), self._links()
        pids = [*(each.pid for each in launchers[:1]), *(each.pid for each in links)]
        pids += [each.pid for each in launchers[1:]]
        return tuple(pid for pid in pids if pid is not None)

    def _launchers(self) -> list[Launcher]:
        own = None if self._beside is None else self._beside.launcher
        return [each for each in (self._launcher, own) if each is not None]

    def _links(self) -> list[WorkerLink]:
        beside = None if self._beside is None else self._beside.link
        return [each for each in (self._present, beside) if each is not None]

    def filenos(self) -> list[int]:
        """Descriptors that become readable when ``poll`` has something to do."""
        return [*(each.fileno() for each in self._launchers()), *(each.fileno() for each in self._links())]

    def submit(self, task: protocol.Task) -> None:
        """Hand an input over; ``has_room`` must hold."""
        if self._present is not None:
            self._present.submit(task, self._clock())

    def poll(self) -> list[Event]:
        """Do what is due and give everything the workers said since the last call."""
        return list(self._poll(self._clock()))

    def _poll(self, now: float) -> Iterator[Event]:
        if self._launcher is None:
            if now >= self._not_before:
                yield from self._try_to_launch(now)
            return
        if self._may_switch():
            yield from self._switch()
        elif self._vacant:
            yield from self._fork(now)
        yield from self._look_at_present(now)
        yield from self._look_beside(now)
        if self._restarting and self._present is not None and self._present.ready and not self._present.in_flight:
            self._end_present()
            self._vacant = True

    # What is asked of it ------------------------------------------------------------------------------------------

    def restart(self) -> None:
        """Let another worker take its place, with new orders, as soon as this one has answered what it holds."""
        self._restarting = True

    def renew(self, orders: Callable[[], protocol.Load] | None = None, *, formats: Sequence[str] | None = None) -> None:
        """Have another worker built while the present one goes on.

        What it says comes as ``Coming``. After its ``Ready`` it waits for ``switch`` or ``abandon``.

        Parameters
        ----------
        orders : callable, optional
            Gives its ``Load``; by default what a new worker is told anyway.
        formats : sequence of str, optional
            Model formats that it needs. Where the launcher has not loaded their engines, another one is started.
        """
        self._end_beside()
        self._beside = _Beside(orders or self._orders, self._formats if formats is None else frozenset(formats))

    def switch(self, states: Callable[[], Mapping[str, bytes]]) -> None:
        """Let the worker beside, which is ready, take over once the present one has answered what it holds.

        Parameters
        ----------
        states : callable
            Gives the window states that changed since its orders were written; called after the present one's last
            answer.
        """
        if self._beside is not None:
            self._beside.states = states

    def abandon(self) -> None:
        """End the worker beside; the present one stays."""
        self._end_beside()

    # The present worker -------------------------------------------------------------------------------------------

    def _try_to_launch(self, now: float) -> Iterator[Event]:
        """Start the launcher; where the host lacks memory, processes or descriptors, again after a pause."""
        try:
            self._launcher = self._launch(self._formats, now)
        except OSError as error:
            _log.warning("stage=processing the worker cannot be started: %s", error)
            yield from self._lose("start_failed", now, with_launcher=True)

    def _launch(self, formats: frozenset[str], now: float) -> Launcher:
        """Start a process that workers are forked from; OSError when the host cannot."""
        memory = self._limits.memory_bytes
        return start_launcher(self._ring, sorted(formats), memory_bytes=memory, cache_dir=self._cache_dir, now=now)

    def _fork(self, now: float) -> Iterator[Event]:
        """Ask the launcher for a worker; one that is gone, or a lack of descriptors, is a launcher lost."""
        assert self._launcher is not None
        self._vacant = self._restarting = False
        try:
            self._present = self._launcher.fork(self._orders(), now)
        except OSError as error:
            _log.warning("stage=processing no worker can be asked for: %s", error)
            yield from self._lose("start_failed", now, with_launcher=True)

    def _look_at_present(self, now: float) -> Iterator[Event]:
        """Take the launcher's and the worker's words, and notice what is wrong with them."""
        launcher = self._launcher
        if launcher is None:
            return
        was_up = launcher.up
        alive = launcher.read()
        if launcher.up and not was_up:
            yield from self._fork(now)
        if self._launcher is not launcher:
            return
        if not alive:
            yield from self._lose("crashed", now, with_launcher=True)
        elif not launcher.up and now - launcher.since > self._limits.start_s:
            yield from self._lose("start_failed", now, with_launcher=True)
        elif self._present is not None:
            yield from self._look_at(self._present, now)

    def _look_at(self, present: WorkerLink, now: float) -> Iterator[Event]:
        messages, sound = present.read(now)
        if any(isinstance(message, protocol.Ready) for message in messages):
            self._failures = 0
        yield from messages
        fault = present.fault(now, self._limits) if sound else "crashed"
        if fault:
            yield from self._lose(fault, now, with_launcher=fault == "start_failed")

    def _lose(self, reason: str, now: float, *, with_launcher: bool = False) -> Iterator[Event]:
        """Kill what is left, report it, and have the next one started (later and later while it does not come up)."""
        held = () if self._present is None else tuple(self._present.in_flight)
        was_ready = self.ready
        if self._present is not None or with_launcher:
            self.n_replaced += 1
            yield Lost(reason, held[0] if held else None, held[1:])
        if not was_ready:
            self._failures += 1
        self._end_present()
        if with_launcher or self._failures > _QUICK_TRIES:
            beside = self._beside
            if beside is not None and beside.link is not None and beside.launcher is None:
                self._end_beside()
                yield Abandoned("crashed")
            self._end_launcher()
            self._not_before = now + (0.0 if self._failures < _QUICK_TRIES else min(4.0, 0.25 * 2**self._failures))
        else:
            self._vacant = True

    # The worker beside it -----------------------------------------------------------------------------------------

    def _look_beside(self, now: float) -> Iterator[Event]:
        """Bring the worker beside up, and take its words."""
        if self._beside is None or self._launcher is None:
            return
        try:
            fault = self._raise_beside(self._beside, self._launcher, now)
        except OSError as error:
            _log.warning("stage=processing no worker can be built beside: %s", error)
            fault = "start_failed"
        link = self._beside.link
        if link is not None and not fault:
            messages, sound = link.read(now)
            for message in messages:
                assert not isinstance(message, protocol.Done)  # it has no inputs, so that would not be sound
                yield Coming(message)
            fault = link.fault(now, self._limits) if sound else "crashed"
        if fault:
            self._end_beside()
            yield Abandoned(fault)

    def _raise_beside(self, beside: _Beside, launcher: Launcher, now: float) -> str:
        """Start what the worker beside lacks; gives why it cannot be had; OSError when the host cannot."""
        if beside.launcher is None and not beside.formats <= launcher.formats:
            beside.launcher = self._launch(beside.formats | launcher.formats, now)
        own = beside.launcher
        if own is not None:
            if not own.read():
                return "crashed"
            if not own.up and now - own.since > self._limits.start_s:
                return "start_failed"
        parent = own or launcher
        if beside.link is None and parent.up:
            beside.link = parent.fork(beside.orders(), now)
        return ""

    def _may_switch(self) -> bool:
        """Whether the worker beside may take over: the present one is idle, or there is none that works."""
        beside, present = self._beside, self._present
        if self._launcher is None or beside is None or beside.states is None or beside.link is None:
            return False
        return beside.link.ready and (present is None or not present.ready or not present.in_flight)

    def _switch(self) -> Iterator[Event]:
        """Let the worker beside go on where the present one stopped."""
        beside = self._beside
        assert beside is not None
        assert beside.link is not None
        assert beside.states is not None
        try:
            beside.link.resume(beside.states())
        except OSError as error:
            _log.warning("stage=processing the worker beside cannot take over: %s", error)
            self._end_beside()
            yield Abandoned("crashed")
            return
        self._beside = None
        self._end_present()
        self._present = beside.link
        if beside.launcher is not None and self._launcher is not None:
            self._launcher.end()
            self._launcher = beside.launcher
        self._formats |= beside.formats
        self._vacant = self._restarting = False
        self._failures = 0
        yield Switched()

    # The end ------------------------------------------------------------------------------------------------------

    def _end_present(self) -> None:
        if self._present is not None:
            self._present.end()
            self._present = None

    def _end_beside(self) -> None:
        beside, self._beside = self._beside, None
        if beside is not None and beside.link is not None:
            beside.link.end()
        if beside is not None and beside.launcher is not None:
            beside.launcher.end()

    def _end_launcher(self) -> None:
        self._vacant = False
        if self._launcher is not None:
            self._launcher.end()
            self._launcher = None

    def close(self) -> None:
        """End workers and launchers."""
        self._end_present()
        self._end_beside()
        self._end_launcher()

    def wait(self, timeout_s: float) -> bool:
        """Wait until ``poll`` has something to do; False after ``timeout_s``."""
        poller = select.poll()  # select(2) knows no descriptor beyond 1023
        for descriptor in self.filenos():
            poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(timeout_s * 1000))
