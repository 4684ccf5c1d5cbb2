"""From a message of the broker to an item in its source's mailbox: limits, codec, overflow policy.

Runs on the network thread. What it decides is told to the main loop as notices: a part was seen, an input was given up.
Pictures are not decoded here.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from edge_runtime.config import Camera, Config, Sensor
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.mailbox import Mailbox
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.sample_times import steadied
from edge_runtime.errors import MessageError
from edge_runtime.mqtt.codec import Arrival, FramePayload, SensorBlock, decode_frame, decode_sensor
from edge_runtime.mqtt.metadata import read_user_properties
from edge_runtime.topic_filters import filter_matches

#: What a fault of ours raises while it reads a message. The message is given up and acknowledged: it would come again,
#: and end the daemon each time.
UNFORESEEN = (ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError)


class Message(Protocol):
    """What intake needs of an incoming message."""

    @property
    def topic(self) -> str:
        """The topic it came on."""
        ...

    @property
    def payload(self) -> bytes:
        """As it came."""
        ...

    @property
    def user_properties(self) -> tuple[tuple[str, str], ...]:
        """MQTT 5 user properties."""
        ...

    @property
    def dup(self) -> bool:
        """Whether the broker may have delivered it before."""
        ...

    @property
    def token(self) -> object | None:
        """What releases the acknowledgement; None at QoS 0."""
        ...


@dataclass(slots=True)
class Item:
    """One input on its way to the worker.

    Attributes
    ----------
    id : int
        Number of the input in this run.
    source : str
        Camera or sensor.
    payload : FramePayload or SensorBlock
        What came.
    token : object or None
        Releases the acknowledgement.
    arrived_at : float, s
        Monotonic.
    tries : int
        How many workers died of it.
    again : bool
        Whether the broker may have delivered it before.
    shift_s : float
        By how much its samples' times are off the wall clock: see ``sample_times``.
    """

    id: int
    source: str
    payload: FramePayload | SensorBlock
    token: object | None
    arrived_at: float
    tries: int = 0
    again: bool = False
    shift_s: float = 0.0


#: So much is read beyond the depths of mailboxes at the most, and one message.
_MAX_SURPLUS_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class PartSeen:
    """The first word of a part: its frame is in the mailbox."""

    source: str
    part: str
    received_at: float
    captured_at: float
    again: bool = False


@dataclass(frozen=True, slots=True)
class GivenUp:
    """An input gives no result; its part must be told, its acknowledgement released."""

    source: str
    reason: str
    token: object | None
    part: str | None
    received_at: float


Notice = PartSeen | GivenUp


class Intake:
    """All sources of the configuration.

    Parameters
    ----------
    config : Config
        Sources, their formats and mailboxes.
    metrics : Metrics
        Counts what comes and what is dropped.
    complaints : Complaints
        Logs refusals.
    clock : Clock
        Both clocks.
    notify : callable
        Takes notices for the main loop; thread-safe.
    overload : callable
        Says why nothing more can be kept or worked on; empty while it can. Inputs at QoS 0 are dropped for that reason
        without a look at them, since nobody holds them back; thread-safe.
    lasting : callable, optional
        Seconds that never jump: the clock of samples whose time is that of their arrival; by default the wall clock.
    """

    def __init__(
        self,
        config: Config,
        *,
        metrics: Metrics,
        complaints: Complaints,
        clock: Clock,
        notify: Callable[[Notice], None],
        overload: Callable[[], str] = str,
        lasting: Callable[[], float] | None = None,
    ) -> None:
        self._worker = config.worker
        self._metrics = metrics
        self._complaints = complaints
        self._clock = clock
        self._notify = notify
        self._overload = overload
        self._lasting = lasting
        self._with_times: set[str] = set()
        self._ids = itertools.count(1)
        self._lock = threading.RLock()
        self._waiting: dict[str, list[Message]] = {}
        self._sources: dict[str, Camera | Sensor] = {}
        self.mailboxes: dict[str, Mailbox[Item]] = {}
        self._declare(config)

    def _declare(self, config: Config) -> None:
        """Take over sources; a mailbox whose policy stays is kept, and what waits in one whose policy changes."""
        self._max_surplus = config.broker.receive_maximum
        self._sources = {camera.id: camera for camera in config.cameras}
        self._sources |= {sensor.id: sensor for sensor in config.sensors}
        mailboxes: dict[str, Mailbox[Item]] = {}
        for name, source in self._sources.items():
            queue, old = source.queue, self.mailboxes.get(name)
            if old is None or (old.depth, old.overflow) != (queue.depth, queue.overflow):
                mailboxes[name] = Mailbox(name, queue.depth, queue.overflow)
                mailboxes[name].put_back([] if old is None else old.remove(lambda _item: True))
            else:
                mailboxes[name] = old
        self.mailboxes = mailboxes
        self._filters = [(pattern, name) for name, source in self._sources.items() for pattern in topics_of(source)]
        self._find = lru_cache(maxsize=16_384)(self._match)

    def keep_waiting(self, sources: Iterable[str]) -> None:
        """Look at nothing more of these sources until ``reconfigure`` or ``go_on``; what comes of them waits unread."""
        with self._lock:
            for name in sources:
                self._waiting.setdefault(name, [])

    def go_on(self, refuse: Callable[[Message], None]) -> None:
        """Take what waited unread.

        Parameters
        ----------
        refuse : callable
            Takes a message whose topic is that of no source.
        """
        with self._lock:
            waited, self._waiting = self._waiting, {}
            for message in (each for messages in waited.values() for each in messages):
                if not self.take(message):
                    refuse(message)

    def reconfigure(self, config: Config, refuse: Callable[[Message], None]) -> list[Item]:
        """Take over other sources, then what waited unread.

        Parameters
        ----------
        config : Config
            From now on.
        refuse : callable
            Takes a message whose topic is that of no source any more.

        Returns
        -------
        left : list of Item
            Inputs of sources that are gone.
        """
        with self._lock:
            before = self.mailboxes
            self._declare(config)
            gone = [mailbox for name, mailbox in before.items() if name not in self.mailboxes]
            left = [item for mailbox in gone for item in mailbox.remove(lambda _item: True)]
            self.go_on(refuse)
        return left

    def subscriptions(self) -> list[tuple[str, int]]:
        """Topic filters and their QoS."""
        return [(pattern, source.qos) for source in self._sources.values() for pattern in topics_of(source)]

    def listens_to(self, topic: str) -> bool:
        """Whether a message on a topic would be an input."""
        return self._match(topic) is not None

    def source_of(self, topic_filter: str) -> str:
        """Give the source that one of the subscriptions is for; ``unknown`` when it is gone."""
        return next((name for pattern, name in self._filters if pattern == topic_filter), "unknown")

    def forget(self) -> None:
        """Remove what came on a link that is gone and that the broker delivers again, since nobody acknowledged it."""
        with self._lock:
            for name, messages in self._waiting.items():
                self._waiting[name] = [message for message in messages if message.token is None]
            for name, mailbox in self.mailboxes.items():
                for _ in mailbox.remove(lambda item: item.token is not None):
                    self._metrics.drop(name, "redelivered")

    def wants_pause(self) -> bool:
        """Whether reading must stop, since sources are to change or mailboxes that may not drop have too much.

        One that is full does not stop the others: as much as the broker may have on its way is read beyond, as long as
        it is small. So what it sent after a burst of one source is seen, and worked on in its turn.
        """
        if self._waiting:
            return True
        surplus = [item for mailbox in self.mailboxes.values() for item in mailbox.surplus()]
        return len(surplus) >= self._max_surplus or sum(map(_size, surplus)) >= _MAX_SURPLUS_BYTES

    def take(self, message: Message) -> bool:
        """Put a message into its source's mailbox.

        Returns
        -------
        known : bool
            False when no source has this topic; it is counted, and its acknowledgement is the caller's.
        """
        with self._lock:
            return self._take(message)

    def _take(self, message: Message) -> bool:
        name = self._find(message.topic)
        if name is None:
            self._metrics.drop("unknown", "unknown_topic")
            self._complaints.say("receiving", "unknown", "unknown_topic", f"topic={message.topic[:128]!r}")
            return False
        if name in self._waiting:
            self._waiting[name].append(message)
            return True
        source = self._sources[name]
        self._metrics.received.labels(name).inc()
        overload = self._overload() if message.token is None else ""
        if overload:
            self._metrics.drop(name, overload)
            self._complaints.say("receiving", name, overload, "inputs at QoS 0 are dropped")
            return True
        arrival = Arrival(message.topic, self._clock.wall(), message.user_properties)
        try:
            payload = self._decode(source, message.payload, arrival)
        except MessageError as error:
            self._refuse(source, error, message, arrival)
            return True
        except UNFORESEEN as error:
            refusal = MessageError(f"this release cannot read it: {error!r}"[:500], reason="internal")
            self._refuse(source, refusal, message, arrival)
            return True
        item = Item(next(self._ids), name, payload, message.token, self._clock.monotonic(), again=message.dup)
        if isinstance(payload, SensorBlock) and self._lasting is not None:
            self._steady(item, payload)
        if isinstance(payload, FramePayload) and payload.part is not None:
            self._notify(PartSeen(name, payload.part, arrival.arrived_at, payload.captured_at, message.dup))
        dropped = self.mailboxes[name].put(item)
        if dropped is not None:
            reason = "overtaken" if dropped is not item else "mailbox_full"
            self._metrics.drop(name, reason)
            self._notify(give_up(dropped, reason))
        return True

    def _steady(self, item: Item, block: SensorBlock) -> None:
        """Keep arrival times off a clock that may jump, unless this source tells times of its own now and then."""
        if block.from_source:
            self._with_times.add(item.source)
        elif item.source not in self._with_times and self._lasting is not None:
            item.shift_s = self._lasting() - block.arrived_at
            item.payload = steadied(block, item.shift_s)

    def _decode(self, source: Camera | Sensor, payload: bytes, arrival: Arrival) -> FramePayload | SensorBlock:
        if isinstance(source, Camera):
            limits = self._worker
            return decode_frame(payload, source, arrival, max_bytes=limits.max_frame_bytes, max_px=limits.max_frame_px)
        block = decode_sensor(payload, source, arrival)
        self._metrics.values.labels(source.id).inc(block.values.size)
        return block

    def _refuse(self, source: Camera | Sensor, error: MessageError, message: Message, arrival: Arrival) -> None:
        """Count a message that is not what its source declares, and tell the part that was to be seen."""
        self._metrics.drop(source.id, error.reason)
        self._complaints.say("receiving", source.id, error.reason, str(error))
        part = None
        if isinstance(source, Camera) and source.part == "metadata":
            try:
                part = read_user_properties(message.user_properties).part
            except MessageError:
                part = None
        if part is not None:
            self._notify(PartSeen(source.id, part, arrival.arrived_at, arrival.arrived_at, message.dup))
        self._notify(GivenUp(source.id, error.reason, message.token, part, arrival.arrived_at))

    def _match(self, topic: str) -> str | None:
        return next((name for pattern, name in self._filters if filter_matches(pattern, topic)), None)


def topics_of(source: Camera | Sensor) -> Iterable[str]:
    """Give the topic filters of a source."""
    return (source.topic,) if isinstance(source, Camera) else source.topics


def _size(item: Item) -> int:
    """Bytes of an input's picture or samples."""
    payload = item.payload
    return len(payload.payload) if isinstance(payload, FramePayload) else payload.values.nbytes


def give_up(item: Item, reason: str) -> GivenUp:
    """Say that an item gives no result."""
    part = item.payload.part if isinstance(item.payload, FramePayload) else None
    return GivenUp(item.source, reason, item.token, part, item.payload.arrived_at)
