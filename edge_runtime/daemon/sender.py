"""Moves the outbox to the broker: the most urgent first, a bounded number on the way, rate-limited after an outage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.outbox import Outbox, Priority, Stored
from edge_runtime.daemon.refusals import Refusals
from edge_runtime.errors import HostEnvironmentError

#: Hands a message to the broker: topic, payload, retain. Gives a ticket, or None when it cannot take it now.
Publish = Callable[[str, bytes, bool], int | None]

_MARK_EVERY_S = 0.1
_MARK_BATCH = 64
_BURST_S = 0.25
_PAUSE_S = 1.0


class Sender:
    """The way out.

    Parameters
    ----------
    outbox : Outbox
        What waits.
    publish : callable
        Hands one message over at QoS 1.
    clock : Clock
        Both clocks.
    drain_per_s : float
        Events per second at the most.
    in_flight : int
        Events that may be without the broker's acknowledgement.

    Attributes
    ----------
    fault : str
        Why the disk refuses; empty when it does not.
    """

    def __init__(self, outbox: Outbox, publish: Publish, *, clock: Clock, drain_per_s: float, in_flight: int) -> None:
        self._outbox = outbox
        self._publish = publish
        self._clock = clock
        self._rate = drain_per_s
        self._in_flight = in_flight
        self._burst = max(1.0, drain_per_s * _BURST_S)
        self._allowance = self._burst
        self._allowed_at = clock.monotonic()
        self._tickets: dict[int, int] = {}
        self._latest: dict[str, int] = {}
        self._refused: list[int] = []
        self._refusals = Refusals(clock.monotonic)
        self._blocked = False
        self._acknowledged: list[int] = []
        self._mark_at = 0.0
        self._is_connected = False
        self._last_id = 0
        self._pause_until = 0.0
        self._n_removed = outbox.n_removed
        self.fault = ""

    def connected(self) -> None:
        """Start again: what the broker did not acknowledge is sent once more, with the same event id."""
        self._is_connected = True
        try:
            self._last_id = self._outbox.last_id
        except HostEnvironmentError as error:
            self.fault = str(error)
        self._tickets.clear()
        self._refusals.end_trial()

    def set_rate(self, drain_per_s: float) -> None:
        """Send at most so many events per second from now on."""
        self._rate = drain_per_s
        self._burst = max(1.0, drain_per_s * _BURST_S)
        self._allowance = min(self._allowance, self._burst)

    def disconnected(self) -> None:
        """Forget what was on its way; it stays unsent in the outbox."""
        self._tickets.clear()
        self._refusals.end_trial()

    def acknowledged(self, ticket: int) -> bool:
        """Note that the broker has a message; False when it was none of the outbox's."""
        stored = self._tickets.pop(ticket, None)
        if stored is None:
            return False
        self._refusals.take(stored)
        self._acknowledged.append(stored)
        return True

    def failed(self, ticket: int) -> bool:
        """Note that the broker did not take a message; False when it was none of the outbox's.

        That one is tried again later and later, the others go on.
        """
        stored = self._tickets.pop(ticket, None)
        if stored is None:
            return False
        self._refusals.refuse(stored)
        self._refused.append(stored)
        return True

    def lost(self, ticket: int) -> None:
        """Note that the link broke before the broker said anything; the event goes again as soon as there is one."""
        stored = self._tickets.pop(ticket, None)
        if stored is not None:
            self._refusals.lose(stored)

    @property
    def n_refused(self) -> int:
        """Events that the broker refuses and that are tried again."""
        return len(self._refusals)

    @property
    def n_waiting(self) -> int:
        """Events that could go and were not handed over yet: the link, the rate or the broker holds them up."""
        return self._outbox.ready - len(self._tickets) - len(self._acknowledged) - len(self._refusals)

    def pump(self) -> int:
        """Hand over what may go now, and write down what arrived.

        Returns
        -------
        count : int
            How many events were handed over.
        """
        now = self._clock.monotonic()
        if now < max(self._pause_until, self._refusals.pause_until):
            return 0
        try:
            self._mark(now)
            count = self._hand_over(now)
        except HostEnvironmentError as error:
            self.fault = str(error)
            self._pause_until = self._mark_at = now + _PAUSE_S
            return 0
        self.fault = ""
        return count

    def _hand_over(self, now: float) -> int:
        """Publish what may go."""
        self._forget_what_is_gone()
        room = min(self._in_flight - len(self._tickets), int(self._allow(now)))
        self._blocked = self._refusals.is_trying
        if self._blocked or room <= 0 or self._outbox.ready <= len(self._tickets) + len(self._acknowledged):
            return 0
        count = 0
        underway = [*self._tickets.values(), *self._acknowledged, *self._refusals.waiting(now)]
        for event in self._outbox.unsent(room, exclude=underway):
            suspect = self._refusals.is_suspect(event.id)
            if suspect and self._tickets:
                self._blocked = True
                break
            if self._is_superseded(event):
                self._acknowledged.append(event.id)
                self._refusals.drop({event.id})
                continue
            try:
                ticket = self._publish(event.topic, self._stamped(event), event.retain)
            except ValueError:  # longer than the broker's session takes
                self._refusals.refuse(event.id)
                continue
            if ticket is None:
                break
            self._sent(ticket, event)
            count += 1
            if suspect:
                self._refusals.send_alone(event.id)
                self._blocked = True
                break
        return count

    def _sent(self, ticket: int, event: Stored) -> None:
        """Note what is on its way."""
        self._tickets[ticket] = event.id
        self._allowance -= 1
        if event.retain:
            self._latest[event.topic] = event.id

    def _is_superseded(self, event: Stored) -> bool:
        """Whether a later value of its topic went out before: this one was refused then, and must not replace it."""
        return event.retain and event.id < self._latest.get(event.topic, 0)

    def _forget_what_is_gone(self) -> None:
        """Refuse no longer what waits no longer: dropped evidence, and what a later value of its topic replaced."""
        suspects = self._refused
        if self._n_removed != self._outbox.n_removed:
            suspects = self._refusals.numbers()
        if suspects:
            self._refusals.drop(set(suspects) - self._outbox.still_unsent(suspects))
        self._n_removed, self._refused = self._outbox.n_removed, []

    def due_in(self, now: float) -> float | None:
        """Seconds until ``pump`` has something to do by itself; None when nothing waits."""
        due = max(0.0, self._mark_at - now, self._pause_until - now) if self._acknowledged else None
        if self.n_waiting > 0 and not self._blocked and len(self._tickets) < self._in_flight and self._is_connected:
            refill = max(
                0.0, (1.0 - self._allow(now)) / self._rate, self._pause_until - now, self._refusals.pause_until - now
            )
            due = refill if due is None else min(due, refill)
        return due

    def finish(self) -> None:
        """Write down at once what arrived; where the disk refuses, it is only sent once more."""
        self._mark_at = 0.0
        try:
            self._mark(self._clock.monotonic())
        except HostEnvironmentError as error:
            self.fault = str(error)

    def _allow(self, now: float) -> float:
        """Refill the allowance and give it."""
        self._allowance = min(self._burst, self._allowance + (now - self._allowed_at) * self._rate)
        self._allowed_at = now
        return self._allowance

    def _mark(self, now: float) -> None:
        """Write acknowledgements to the outbox, a batch at a time; lost ones only cause a duplicate."""
        if self._acknowledged and (now >= self._mark_at or len(self._acknowledged) >= _MARK_BATCH):
            self._outbox.mark_acknowledged(self._acknowledged)
            marked = set(self._acknowledged)  # with all that is older on their topics
            self._latest = {topic: stored for topic, stored in self._latest.items() if stored not in marked}
            self._acknowledged = []
            self._mark_at = now + _MARK_EVERY_S

    def _stamped(self, event: Stored) -> bytes:
        """Say in the payload when it was handed over, and whether it waited for the broker or is sent again."""
        if not event.payload or event.priority == Priority.EVIDENCE:
            return event.payload
        try:
            fields = msgspec.json.decode(event.payload, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            self._outbox.distrust(f"event {event.id} is no JSON")
            raise HostEnvironmentError(f"event {event.id} in the outbox makes no sense: {error}") from error
        fields["publish_ms"] = round(self._clock.wall() * 1000)
        fields["buffered"] = event.id <= self._last_id
        fields["replayed"] = event.replayed
        return msgspec.json.encode(fields)
