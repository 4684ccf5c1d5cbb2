"""Sends kept events again when a consumer asks for them: a bounded number in one turn of the loop."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edge_runtime.daemon.commands import Obey, Promise
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.errors import HostEnvironmentError, PayloadFormatError
from edge_runtime.messages import Command, EventsResend

#: So many sequence numbers are looked at in one transaction: about 0.1 s on a slow disk.
BATCH = 2000
_WAITING = 64


@dataclass(slots=True)
class _Request:
    """What somebody asked for, as far as it is not done."""

    boot_id: str
    series: str
    next_seq: int
    last_seq: int
    count: int = 0
    promise: Promise = field(default_factory=Promise)


class Resends:
    """The requests for events, one after the other.

    A request that a kill interrupts was not answered, and its command not acknowledged: the broker delivers it again,
    and it begins anew. What was put back into the queue before is sent all the same.

    Parameters
    ----------
    outbox : Outbox
        Keeps the events.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._requests: deque[_Request] = deque()

    @property
    def busy(self) -> bool:
        """Whether there is something for the next turn."""
        return bool(self._requests)

    def obeying(self) -> Obey:
        """Make the obedience to ``events/resend``."""

        def obey(command: Command) -> Promise:
            assert isinstance(command, EventsResend)
            return self.begin(command.boot_id, command.series, command.from_seq)

        return obey

    def begin(self, boot_id: str, series: str, from_seq: int) -> Promise:
        """Take a request for the acknowledged events of a run's series, from a number on, up to the present one.

        Raises
        ------
        PayloadFormatError
            If too many requests wait.
        HostEnvironmentError
            If the outbox cannot be read.
        """
        if len(self._requests) >= _WAITING:
            raise PayloadFormatError(f"{_WAITING} requests for events wait already", reason="too_many_requests")
        found = self._outbox.kept_range(boot_id, series, from_seq)
        request = _Request(boot_id, series, *(found or (1, 0)))
        if found is None:
            self._end(request)
        else:
            self._requests.append(request)
        return request.promise

    def tick(self) -> None:
        """Do the next batch of the oldest request."""
        if not self._requests:
            return
        request = self._requests[0]
        below = request.next_seq + BATCH
        try:
            request.count += self._outbox.resend(request.boot_id, request.series, request.next_seq, below=below)
        except HostEnvironmentError as error:
            self._requests.popleft().promise.keep(
                f"{error}; {request.count} events are sent again, ask again for the others", reason="failed"
            )
            return
        request.next_seq = below
        if below > request.last_seq:
            self._end(self._requests.popleft())

    def _end(self, request: _Request) -> None:
        request.promise.keep(f"{request.count} events are sent again")
