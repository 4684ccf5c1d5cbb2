"""The thread that keeps a link to a broker up: connect, serve, wait, again."""

from __future__ import annotations

import abc
import contextlib
import random
import select
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Protocol

from edge_runtime.config import BrokerSettings
from edge_runtime.errors import BrokerAuthorizationError, BrokerConnectionError, BrokerError
from edge_runtime.mqtt.backoff import Backoff
from edge_runtime.mqtt.interface import (
    AckToken,
    Incoming,
    Outcome,
    Outgoing,
    SessionCallbacks,
    Subscription,
    require_publishable,
)
from edge_runtime.mqtt.ledger import AckLedger
from edge_runtime.mqtt.outgoing import OutgoingQueue

#: Messages beyond the receive-maximum before reading stops: brokers are seen to send one or two more.
_SLACK = 16
#: A subscription that the broker refuses is asked for again after this, s.
_ASK_AGAIN_S = 5.0


class Link(Protocol):
    """One connection, used from the network thread only."""

    ledger: AckLedger
    accepted: bool

    def close(self) -> None:
        """Leave: in good order where the link still stands."""
        ...

    def is_open(self) -> bool:
        """Whether the link can still be used."""
        ...

    def fileno(self) -> int:
        """Give the socket's descriptor."""
        ...

    def error(self) -> BrokerError:
        """Say why the link ended."""
        ...

    def wants_write(self) -> bool:
        """Whether bytes wait for the socket."""
        ...

    def has_credit(self) -> bool:
        """Whether the broker takes another QoS 1 message now."""
        ...

    def wait_ms(self, *, held: bool) -> int:
        """Say how long the thread may sleep."""
        ...

    def turn(self, events: int, *, held: bool) -> None:
        """Read, write and look after time-outs."""
        ...

    def subscribe(self, wanted: Sequence[Subscription], unwanted: Sequence[str]) -> None:
        """Ask for filters, and let go of others."""
        ...

    def acknowledge_due(self) -> None:
        """Send the acknowledgements that are due, in the order of receipt."""
        ...

    def send(self, token: int, message: Outgoing) -> None:
        """Send one message."""
        ...


class LinkKeeper(abc.ABC):
    """Keeps a link to a broker up, with a thread of its own; ``Session`` makes the links.

    Parameters
    ----------
    settings : BrokerSettings
        Where and how.
    callbacks : SessionCallbacks
        Whom to tell; called from the network thread.
    subscriptions : sequence of Subscription
        Wanted from the start.
    rng : random.Random or None
        Source of the jitter of reconnects.

    Notes
    -----
    The broker keeps the session for ``settings.session_expiry_s``; 0 means a clean one (also at 3.1.1, which knows
    only for ever). A callback that raises ends the thread: the traceback goes to ``threading.excepthook`` and the
    exception to :attr:`failure`.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        callbacks: SessionCallbacks | None = None,
        *,
        subscriptions: Sequence[Subscription] = (),
        rng: random.Random | None = None,
    ) -> None:
        self._settings = settings
        self._callbacks = callbacks or SessionCallbacks()
        self._subscriptions = tuple(subscriptions)
        self._backoff = Backoff(settings.reconnect_min_s, settings.reconnect_max_s, rng or random.Random())  # noqa: S311 - jitter
        self._queue = OutgoingQueue(settings.inflight_maximum)
        self._wakes: tuple[socket.socket, socket.socket] | None = None
        self._paused = threading.Event()
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._connected = False
        self._error: BrokerError | None = None
        self._failure: BaseException | None = None
        self._link: Link | None = None
        self._generation = 0
        self._resubscribe = True
        self._subscribed: set[str] = set()
        self._refused: set[str] = set()
        self._ask_again_at = 0.0
        self._thread: threading.Thread | None = None

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us and the link stands."""
        return self._connected

    @property
    def last_error(self) -> BrokerError | None:
        """Why the link is down; None while it stands."""
        return self._error

    @property
    def failure(self) -> BaseException | None:
        """What ended the network thread; None while it runs, and after ``stop``."""
        return self._failure

    def start(self) -> None:
        """Begin to connect; returns at once."""
        self._wakes = socket.socketpair()
        for end in self._wakes:
            end.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="mqtt-session", daemon=True)
        self._thread.start()

    def stop(self, *, flush_s: float = 2.0) -> None:
        """Send what is queued, then leave in good order, so that the broker does not publish the will.

        Parameters
        ----------
        flush_s : float
            Longest wait for the broker's acknowledgements.
        """
        if self._connected:
            self._queue.wait_empty(flush_s)
        self._queue.accept(accepting=False)
        self._stopping.set()
        self._wake()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=max(1.0, flush_s))

    def wait_connected(self, timeout_s: float) -> None:
        """Wait for the link.

        Parameters
        ----------
        timeout_s : float
            How long.

        Raises
        ------
        BrokerAuthorizationError
            If the broker refuses us; at once.
        BrokerConnectionError
            If there is no link by then.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._connected or isinstance(self._error, BrokerAuthorizationError) or self._failure, timeout_s
            )
            if self._connected:
                return
            where = f"{self._settings.host}:{self._settings.port}"
            raise self._error or BrokerConnectionError(f"no answer from the broker at {where} within {timeout_s:g} s")

    def subscribe(self, subscriptions: Sequence[Subscription]) -> None:
        """Replace the wanted subscriptions.

        Parameters
        ----------
        subscriptions : sequence of Subscription
            Sent now, or at the next connection.
        """
        with self._changed:
            self._subscriptions = tuple(subscriptions)
            self._resubscribe = True
        self._wake()

    def publish(self, message: Outgoing) -> int | None:
        """Hand over a message; see :meth:`edge_runtime.mqtt.interface.BrokerSession.publish`.

        Parameters
        ----------
        message : Outgoing
            What to send.

        Returns
        -------
        token : int or None
            None: not taken.

        Raises
        ------
        ValueError
            If the topic cannot be published to, or the payload is too long.
        """
        require_publishable(message, self._settings.max_payload_bytes)
        token = self._queue.put(message)
        if token is not None:
            self._wake()
        return token

    def wait_room(self, *, qos: int = 1, timeout_s: float) -> bool:
        """Wait until ``publish`` would take a message: for senders that may block.

        Parameters
        ----------
        qos : int
            Of the message.
        timeout_s : float
            How long.

        Returns
        -------
        room : bool
            False when the time ran out.
        """
        return self._queue.wait_room(qos, timeout_s)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all is sent and acknowledged.

        Parameters
        ----------
        timeout_s : float
            How long.

        Returns
        -------
        empty : bool
            False when the time ran out.
        """
        return self._queue.wait_empty(timeout_s)

    def acknowledge(self, token: AckToken | None) -> None:
        """Let the broker forget a message, in the order of receipt.

        Parameters
        ----------
        token : AckToken or None
            One of an earlier connection does nothing: the broker sends that message again.
        """
        link = self._link
        if link is not None and token is not None:
            link.ledger.settle(token)
            self._wake()

    def pause(self) -> None:
        """Stop reading from the broker; TCP makes it wait. Longer than two keepalives, the broker gives us up."""
        self._paused.set()
        self._wake()

    def resume(self) -> None:
        """Read again."""
        self._paused.clear()
        self._wake()

    def _wake(self) -> None:
        """Break the network thread's wait; a full pipe has been noticed anyway."""
        wakes = self._wakes
        if wakes is not None and threading.current_thread() is not self._thread:
            with contextlib.suppress(OSError):
                wakes[1].send(b"\0")

    def _run(self) -> None:
        """Connect, serve, wait, again; until told to stop."""
        try:
            while not self._stopping.is_set():
                error = self._serve_one_connection()
                if not self._stopping.is_set():
                    self._report_loss(error)
                    self._stopping.wait(self._backoff.next_s())
        finally:
            self._failure = sys.exception()
            crashed = (
                None if self._failure is None else BrokerConnectionError(f"the session crashed: {self._failure!r}")
            )
            for end in self._wakes or ():
                end.close()
            self._report_loss(crashed)

    @abc.abstractmethod
    def _open_link(self, generation: int) -> Link:
        """Make a link and begin to connect it; BrokerError when that fails."""

    def _serve_one_connection(self) -> BrokerError:
        """Make one connection and serve it to its end."""
        self._generation += 1
        try:
            link = self._open_link(self._generation)
        except BrokerError as error:
            return error
        self._link = link
        try:
            self._serve(link)
        finally:
            link.close()
        return link.error()

    def _serve(self, link: Link) -> None:
        """Move bytes in both directions until the link ends."""
        assert self._wakes is not None
        wake = self._wakes[0]
        poller = select.poll()
        poller.register(wake, select.POLLIN)
        if link.is_open():
            poller.register(link.fileno(), select.POLLIN)
        while link.is_open() and not self._stopping.is_set():
            self._send_due(link)
            if not link.is_open():
                return
            held, descriptor = self.is_held(link), link.fileno()
            poller.modify(descriptor, (0 if held else select.POLLIN) | (select.POLLOUT if link.wants_write() else 0))
            ready = dict(poller.poll(link.wait_ms(held=held)))
            if wake.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    wake.recv(4096)
            link.turn(ready.get(descriptor, 0), held=held or self.is_held(link))
        if link.is_open():
            self._send_due(link)

    def is_held(self, link: Link) -> bool:
        """Whether reading stands still: on request, or because a broker does not keep to the receive-maximum."""
        return self._paused.is_set() or len(link.ledger) > 2 * self._settings.receive_maximum + _SLACK

    def _send_due(self, link: Link) -> None:
        """Send subscriptions, acknowledgements and messages as long as the socket takes them."""
        if not link.accepted:
            return
        if self._resubscribe:
            with self._changed:
                wanted, self._resubscribe = self._subscriptions, False
            filters = {item.topic_filter for item in wanted}
            link.subscribe(wanted, sorted(self._subscribed - filters))
            self._subscribed = filters
            self._refused &= filters
        elif self._refused and time.monotonic() >= self._ask_again_at:  # rights change while links stand
            self._ask_again_at = time.monotonic() + _ASK_AGAIN_S
            link.subscribe([item for item in self._subscriptions if item.topic_filter in self._refused], [])
        link.acknowledge_due()
        while link.is_open() and not link.wants_write() and link.has_credit():
            item = self._queue.take()
            if item is None:
                break
            link.send(*item)

    def accepted(self, session_present: bool) -> None:
        """Take note that the broker has accepted us; called by the link."""
        self._backoff.reset()
        with self._changed:
            self._resubscribe = self._resubscribe or not session_present
            self._connected, self._error = True, None
            self._changed.notify_all()
        self._queue.accept(accepting=True)
        self._callbacks.on_connected(session_present)

    def received(self, message: Incoming) -> None:
        """Pass a message on; called by the link."""
        self._callbacks.on_message(message)

    def dropped(self, topic: str, reason: str) -> None:
        """Pass on that a message was dropped; called by the link."""
        self._callbacks.on_dropped(topic, reason)

    def published(self, token: int, outcome: Outcome, text: str) -> None:
        """Pass on what became of a publish; called by the link."""
        if self._queue.close(token):
            self._callbacks.on_published(token, outcome, text)

    def refused(self, topic_filter: str, error: BrokerError) -> None:
        """Pass on that a subscription was refused; called by the link."""
        self._refused.add(topic_filter)
        self._ask_again_at = time.monotonic() + _ASK_AGAIN_S
        self._callbacks.on_refused(topic_filter, error)

    def granted(self, topic_filter: str) -> None:
        """Pass on that a subscription is taken that was refused before; called by the link."""
        if topic_filter in self._refused:
            self._refused.discard(topic_filter)
            self._callbacks.on_granted(topic_filter)

    def _report_loss(self, error: BrokerError | None) -> None:
        """Tell once per connection, or attempt, that there is no link, and what that leaves open."""
        self._link = None
        self._queue.accept(accepting=False)
        with self._changed:
            self._connected, self._error = False, error
            self._changed.notify_all()
        for token in self._queue.clear():
            self._callbacks.on_published(token, "lost", "the link to the broker broke")
        self._callbacks.on_disconnected(error)
