"""Orders over MQTT: each is understood as a whole, obeyed once, answered, and written to the audit log.

Who may send which is the broker's ACL; the issuer that a command names is what the audit log keeps.
"""

from __future__ import annotations

import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec.structs import replace

from edge_runtime.daemon.clock import Clock, clock_quality
from edge_runtime.daemon.intake import UNFORESEEN
from edge_runtime.daemon.trail import KEPT, Trail
from edge_runtime.errors import EdgeRuntimeError, MessageError, PayloadFormatError
from edge_runtime.messages import (
    MAX_COMMAND_BYTES,
    AlertAck,
    AlertShelve,
    AlertUnshelve,
    Command,
    Reply,
    decode_command,
)
from edge_runtime.mqtt.interface import Incoming

_log = logging.getLogger(__name__)
audit = logging.getLogger("edge_runtime.audit")

#: As many as the trail keeps: what it names as obeyed is not obeyed again.
_REMEMBERED = KEPT
_WAITING = 64


class Promise:
    """The result of an order that takes a while; kept once, whoever waits for it."""

    def __init__(self) -> None:
        self._result: tuple[str, str] | None = None
        self._listeners: list[Callable[[str, str], None]] = []

    def keep(self, text: str, *, reason: str = "") -> None:
        """Tell what happened; ``reason`` is a stable word when the order could not be carried out."""
        self._result = text, reason
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener(text, reason)

    def then(self, listener: Callable[[str, str], None]) -> None:
        """Have the text and the reason told, now or later."""
        if self._result is None:
            self._listeners.append(listener)
        else:
            listener(*self._result)


#: Obeys one command and says what happened, or promises to; raises when it cannot.
Obey = Callable[[Command], "str | Promise"]


class OrderQueue:
    """Commands between the network thread and the main loop.

    Those at QoS 1 are bounded by the broker's receive-maximum, the others here. A payload that is longer than any
    command is cut: it is answered as too long all the same.
    """

    def __init__(self) -> None:
        self._waiting: deque[Incoming] = deque()

    def put(self, message: Incoming) -> bool:
        """Add a command; False when it is dropped because too many wait."""
        if message.token is None and len(self._waiting) >= _WAITING:
            return False
        if len(message.payload) > MAX_COMMAND_BYTES:
            message = replace(message, payload=message.payload[: MAX_COMMAND_BYTES + 1])
        self._waiting.append(message)
        return True

    def take(self) -> Incoming | None:
        """Remove and return the oldest command, or None."""
        return self._waiting.popleft() if self._waiting else None


class Orders:
    """The commands that this daemon obeys.

    Parameters
    ----------
    obey : mapping of str to callable
        By ``noun/verb``.
    clock : Clock
        All clocks.
    trail : Trail, optional
        Keeps what was obeyed and refused, and knows what earlier runs answered.
    """

    def __init__(self, obey: Mapping[str, Obey], clock: Clock, trail: Trail | None = None) -> None:
        self._obey = obey
        self._clock = clock
        self._trail = trail
        self._answered: OrderedDict[tuple[str, str, str], Reply] = OrderedDict()
        self._promised: dict[tuple[str, str, str], list[Callable[[Reply], None]]] = {}
        for issuer, reply in trail.answered(_REMEMBERED) if trail is not None else ():
            self._answered[issuer, reply.command, reply.id] = reply

    def take(self, name: str, payload: bytes, answer: Callable[[Reply], None], *, retained: bool = False) -> None:
        """Obey a command, or say why not.

        Parameters
        ----------
        name : str
            ``noun/verb`` of its topic.
        payload : bytes
            As it came.
        answer : callable
            Takes the reply, now or when what was promised has happened: the same one again for an id of the same
            issuer that was answered before, also by an earlier run. It may be sent when the journal has committed.
        retained : bool
            The broker kept it: nobody knows when it was given, and it comes again at every new session. One that was
            not answered before is refused.
        """
        received_ms = round(self._clock.wall() * 1000)
        try:
            command = decode_command(name, payload)
        except MessageError as error:
            answer(self._unreadable(name, error.reason, str(error)))
            return
        except UNFORESEEN as error:
            answer(self._unreadable(name, "internal", f"this release cannot read it: {error!r}"))
            return
        key = (command.issuer, name, command.id)
        if key in self._promised:
            self._promised[key].append(answer)
            return
        before = self._answered.get(key)
        if before is not None:
            audit.info("command=%s issuer=%r id=%s answered_before=True", name, command.issuer, command.id)
            answer(before)
            return
        self._promised[key] = [answer]
        outcome = self._refuse_retained(name, command) if retained else self._carry_out(name, command)
        if isinstance(outcome, Reply):
            self._settle(name, command, outcome, received_ms)
        else:
            outcome.then(
                lambda text, reason: self._settle(
                    name, command, self._reply(command.id, name, reason=reason, text=text), received_ms
                )
            )

    def _settle(self, name: str, command: Command, reply: Reply, received_ms: int) -> None:
        """Write a reply down and give it to everyone who asked."""
        key = (command.issuer, name, command.id)
        audit.info("command=%s issuer=%r id=%s ok=%s text=%r", name, command.issuer, command.id, reply.ok, reply.text)
        if self._trail is not None:
            self._trail.write(command, reply, received_ms=received_ms)
        self._answered[key] = reply
        while len(self._answered) > _REMEMBERED:
            self._answered.popitem(last=False)
        for answer in self._promised.pop(key):
            answer(reply)

    def _unreadable(self, name: str, reason: str, text: str) -> Reply:
        """Refuse what is no command."""
        audit.info("command=%r reason=%s text=%r", name[:128], reason, text[:256])
        return self._reply("", name, reason=reason, text=text)

    def _refuse_retained(self, name: str, command: Command) -> Reply:
        text = "the broker kept this command, so it may be old; remove it there and give it unretained with a new id"
        return self._reply(command.id, name, reason="retained", text=text)

    def _carry_out(self, name: str, command: Command) -> Reply | Promise:
        obey = self._obey.get(name)
        if obey is None:
            known = ", ".join(sorted(self._obey))
            return self._reply(command.id, name, reason="unsupported", text=f"this release obeys {known}")
        try:
            result = obey(command)
        except MessageError as error:
            return self._reply(command.id, name, reason=error.reason, text=str(error))
        except EdgeRuntimeError as error:
            return self._reply(command.id, name, reason="failed", text=str(error))
        except UNFORESEEN as error:
            _log.exception("stage=processing command=%s", name)
            return self._reply(command.id, name, reason="internal", text=f"a fault of this release: {error!r}")
        return result if isinstance(result, Promise) else self._reply(command.id, name, text=result)

    def _reply(self, command_id: str, name: str, *, reason: str = "", text: str) -> Reply:
        return Reply(
            id=command_id,
            command=name[:128],
            ok=not reason,
            reason=reason,
            text=text[:2048],
            timestamp_ms=round(self._clock.wall() * 1000),
            clock=clock_quality(self._clock.wall()),
        )


def acknowledging(acknowledge: Callable[[str], bool]) -> Obey:
    """Make the obedience to ``alert/ack``.

    Parameters
    ----------
    acknowledge : callable
        Takes an alert id; False when there is no such unacknowledged alarm.
    """

    def obey(command: Command) -> str:
        assert isinstance(command, AlertAck)
        if not acknowledge(command.alert_id):
            raise PayloadFormatError(f"no unacknowledged alarm {command.alert_id}", reason="unknown_alert")
        return f"acknowledged {command.alert_id}"

    return obey


class Shelve(Protocol):
    """Sets an alarm aside and says why not; empty when it is done."""

    def __call__(self, alert_id: str, *, duration_s: float, one_shot: bool) -> str:
        """Take the alarm's last occurrence, for how long, and whether its clearing ends it."""
        ...


def shelving(shelve: Shelve) -> Obey:
    """Make the obedience to ``alert/shelve``.

    Parameters
    ----------
    shelve : callable
        Sets an alarm aside.
    """

    def obey(command: Command) -> str:
        assert isinstance(command, AlertShelve)
        refusal = shelve(command.alert_id, duration_s=command.duration_s, one_shot=command.one_shot)
        if refusal == "not_active":
            text = f"alarm {command.alert_id} is not active; one-shot shelving is for one that is"
            raise PayloadFormatError(text, reason=refusal)
        if refusal:
            raise PayloadFormatError(f"no alarm {command.alert_id}", reason=refusal)
        until = ", or until it clears" if command.one_shot else ""
        return f"shelved {command.alert_id} for {command.duration_s:g} s{until}"

    return obey


def unshelving(unshelve: Callable[[str], bool]) -> Obey:
    """Make the obedience to ``alert/unshelve``.

    Parameters
    ----------
    unshelve : callable
        Takes an alert id; False when no shelved alarm has it.
    """

    def obey(command: Command) -> str:
        assert isinstance(command, AlertUnshelve)
        if not unshelve(command.alert_id):
            raise PayloadFormatError(f"no shelved alarm {command.alert_id}", reason="unknown_alert")
        return f"unshelved {command.alert_id}"

    return obey
