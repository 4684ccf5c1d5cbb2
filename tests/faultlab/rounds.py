"""One fault, or two at once, on a plant under load: injected, seen, healed; time to recover, and the account."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tests.faultlab.lab import Lab
from tests.faultlab.table import Fault

RECOVERY_S = 10.0
_SEEN_WITHIN_S = 20.0
_LOOK_S = 0.05
_PROBE_EVERY_S = 0.5
_PATIENCE_S = 20.0
_BEFORE_S = 2.0
_WORK = 200_000
_MOST = 8.0
_CYCLE = 20


@dataclass(frozen=True)
class Outcome:
    """What came of one round.

    Attributes
    ----------
    names : tuple of str
        The faults.
    seen : tuple of str
        Reasons in health, ends of the daemon, and reasons of dropped inputs that were not there before.
    missing : tuple of str
        Reasons that had to be seen and were not.
    recovery_s : float
        From the end of the last fault until everything worked again.
    still_missing : tuple of str
        What did not work even then.
    lost : int
        Events that are committed in the outbox and that the consumer lacks.
    silent : int
        Parts that the broker took and that have no verdict, less those that the fault itself lost.
    judged_twice : int
        Parts with more than one verdict.
    exits : tuple of int
        How the daemon ended meanwhile, which it should not.
    allowance : float
        By how much the bound of recovery is stretched on a slow machine.
    """

    names: tuple[str, ...]
    seen: tuple[str, ...]
    missing: tuple[str, ...]
    recovery_s: float
    still_missing: tuple[str, ...]
    lost: int
    silent: int
    judged_twice: int
    exits: tuple[int, ...]
    allowance: float = 1.0

    def problems(self) -> list[str]:
        """Say what is wrong with it; empty when nothing is."""
        found = [f"not seen in health: {reason}" for reason in self.missing]
        found += [f"does not work after {self.recovery_s:.1f} s: {what}" for what in self.still_missing]
        for name, count in (("lost", self.lost), ("without a verdict", self.silent), ("twice", self.judged_twice)):
            found += [f"{count} {name}"] if count else []
        return found + [f"the daemon ended with {code}" for code in self.exits]


class ProcessorShare:
    """How much slower this machine is just now than alone, by a little work that is timed again and again."""

    def __init__(self) -> None:
        self._wall_s = self._busy_s = 0.0

    def measure(self) -> None:
        """Work for a moment."""
        wall, busy = time.perf_counter(), time.thread_time()
        sum(range(_WORK))
        self._wall_s += time.perf_counter() - wall
        self._busy_s += time.thread_time() - busy

    @property
    def allowance(self) -> float:
        """Wall time that a second of work takes, at least 1; few measurements are no reason to wait for ever."""
        return min(_MOST, max(1.0, self._wall_s / self._busy_s)) if self._busy_s else 1.0


class _Watcher:
    """Gathers what is seen of the faults."""

    def __init__(self, lab: Lab, faults: Sequence[Fault]) -> None:
        self._lab = lab
        self._faults = faults
        self._before = set(lab.daemon.health().get("reasons", ()))
        self._dropped = self._count_dropped()
        self._n_exits = len(lab.daemon.exits)
        self._seen: set[str] = set()
        lab.consumer.reasons.clear()

    def _count_dropped(self) -> dict[str, float]:
        wanted = {reason for fault in self._faults for reason in fault.counted}
        return {reason: self._lab.n_dropped(reason) for reason in wanted}

    @property
    def exits(self) -> tuple[int, ...]:
        """Ends of the daemon that no fault explains."""
        if any(fault.restarts for fault in self._faults):
            return ()
        return tuple(self._lab.daemon.exits[self._n_exits :])

    @property
    def allowed(self) -> set[str]:
        """Reasons that may stay."""
        return self._before | {reason for fault in self._faults for reason in fault.lasting}

    def look(self) -> set[str]:
        """Take a look; gives everything seen so far."""
        self._seen.update(self._lab.daemon.health().get("reasons", ()))
        self._seen.update(self._lab.consumer.reasons)
        word = self._lab.consumer.retained.get("availability", b"online").decode(errors="replace")
        if word != "online":
            self._seen.add(f"availability {word}")
        self._seen.update(f"exit {code}" for code in self._lab.daemon.exits[self._n_exits :])
        for reason, before in self._dropped.items():
            if self._lab.n_dropped(reason) > before:
                self._seen.add(reason)
        return self._seen - (self._before - {reason for fault in self._faults for reason in fault.reasons})

    def missing(self) -> list[str]:
        """What must be seen and was not, so far."""
        seen = self.look() | self._before
        wanted = [reason for fault in self._faults for reason in (*fault.reasons, *fault.counted)]
        return [each for each in wanted if not any(word == each or word.startswith(f"{each}:") for word in seen)]


def run_round(lab: Lab, *faults: Fault) -> Outcome:
    """Inject faults one after the other, heal them, and count.

    Parameters
    ----------
    lab : Lab
        Under load, and well.
    faults : Fault
        One or two of its scene.
    """
    watcher = _Watcher(lab, faults)
    began = time.monotonic()
    stack = ExitStack()
    try:
        for fault in faults:
            stack.enter_context(fault.act(lab))
        _stand(watcher, max(fault.lasts_s for fault in faults))
    finally:
        stack.close()
    healed_at = time.monotonic()
    still_missing, allowance = _recover(lab, watcher)
    recovery_s = time.monotonic() - healed_at
    missing = watcher.missing() if len(faults) == 1 else []  # of two, one may hide the other
    if any(fault.forgets for fault in faults):
        lab.excuse(began - _BEFORE_S, healed_at + _BEFORE_S)
    lost_ids = _lost(lab, _PATIENCE_S * allowance)
    damages = any(fault.damages for fault in faults)
    lost = len(_without_number(lab, lost_ids) if damages else lost_ids)
    _wait_until_answered(lab, _PATIENCE_S * allowance)
    silent = lab.load.unanswered(before=healed_at) - lab.excused
    twice = {part for part, given in lab.consumer.verdicts().items() if len(given) > 1} - lab.excused
    if damages:  # an event whose id was changed on its way looks like another one
        lab.excused |= twice
        twice = set()
    return Outcome(
        names=tuple(fault.name for fault in faults),
        seen=tuple(sorted(watcher.look())),
        missing=tuple(missing),
        recovery_s=recovery_s,
        still_missing=tuple(still_missing),
        lost=lost,
        silent=len(silent),
        judged_twice=len(twice),
        exits=watcher.exits,
        allowance=allowance,
    )


def _stand(watcher: _Watcher, lasts_s: float) -> None:
    """Let the faults stand, until all that must be seen of them was seen."""
    began = time.monotonic()
    while lasts_s and ((stood := time.monotonic() - began) < lasts_s or (watcher.missing() and stood < _SEEN_WITHIN_S)):
        watcher.look()
        time.sleep(_LOOK_S)


def _recover(lab: Lab, watcher: _Watcher) -> tuple[list[str], float]:
    """Wait until everything works again; gives what does not in the end, and by how much the bound was stretched."""
    began, share = time.monotonic(), ProcessorShare()
    n_alerts, probes, probed_at = lab.n_alerts(), list[str](), 0.0
    while True:
        share.measure()
        if time.monotonic() - probed_at > _PROBE_EVERY_S:
            probes.append(lab.send_probe())
            for _ in range(_CYCLE):
                lab.load.send_block()
            probed_at = time.monotonic()
        missing = [
            what
            for what, works in (
                ("/ready", lab.daemon.ready()),
                ("availability", lab.consumer.retained.get("availability") == b"online"),
                ("a verdict on a new part", any(lab.is_ok(part) for part in probes)),
                ("a new alert", lab.n_alerts() > n_alerts),
            )
            if not works
        ]
        missing += [f"health still says {reason}" for reason in lab.complaints() - watcher.allowed]
        watcher.look()
        if not missing or time.monotonic() - began > RECOVERY_S * share.allowance:
            return missing, share.allowance
        time.sleep(_LOOK_S)


def _lost(lab: Lab, patience_s: float) -> set[str]:
    """Wait for what is committed by now, then ask for what is missing; gives what stays lost."""
    wanted = lab.daemon.committed_ids()
    began = asked_at = time.monotonic()
    while lost := wanted - lab.consumer.events.keys():
        now = time.monotonic()
        if now - began > patience_s:
            return lost
        if now - asked_at > _BEFORE_S:
            asked_at = now
            lab.consumer.ask_for_gaps()
        time.sleep(_LOOK_S)
    return set()


def _without_number(lab: Lab, lost: set[str]) -> set[str]:
    """Leave out events of whose number the consumer has one: their id was changed on the way, and nobody can tell."""
    committed, order = lab.daemon.committed(), lab.consumer.order
    found = {event_id: committed[event_id] for event_id in lost & committed.keys()}
    series = {"edge.alert/1": "alert", "edge.verdict/1": "verdict"}
    return {
        event_id
        for event_id, event in found.items()
        if event["seq"] not in order.get((event["boot_id"], series[event["schema"]]), ())
    }


def _wait_until_answered(lab: Lab, patience_s: float) -> None:
    """Wait for the verdicts that are still owed."""
    give_up_at = time.monotonic() + patience_s
    before = time.monotonic()
    while lab.load.unanswered(before=before) - lab.excused and time.monotonic() < give_up_at:
        time.sleep(_LOOK_S)
