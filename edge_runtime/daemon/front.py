"""The gateway's face towards the broker: which message goes on which topic, and which of them are retained.

The session takes a bounded number of messages at a time, and the outbox may have filled it. What is only state then
waits here, one message per topic, and goes before the next event of the outbox.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from edge_runtime.config import Pipeline
from edge_runtime.daemon.alarm_desk import Addresses
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.messages import (
    AlertSummary,
    Birth,
    ClockQuality,
    Health,
    MetricValue,
    ModelCandidate,
    ModelInstalled,
    ModelRollout,
    PipeResult,
    PipeStatus,
    Reply,
    encode,
)
from edge_runtime.mqtt.interface import BrokerSession, Incoming, Outgoing, Subscription
from edge_runtime.mqtt.topics import Topics

_ANSWERS = 256
_RELEASE_WORDS: tuple[Literal["candidate", "rollout"], ...] = ("candidate", "rollout")


def availability(topics: Topics, word: bytes) -> Outgoing:
    """Write the availability: published now, or left with the broker as the will."""
    return Outgoing(topics.availability(), word, 1, retain=True)


class Front:
    """Publishes what is only state: it may be lost, and is published again when it changes or after a reconnection.

    Parameters
    ----------
    session : BrokerSession
        The link.
    topics : Topics
        The gateway's topics.
    complaints : Complaints
        Logs what can never be published.
    quality : callable
        How far the wall clock can be trusted now; written into every message that does not say it yet.
    is_input : callable
        Whether a topic is one that inputs come on; no reply goes there.
    """

    def __init__(
        self,
        session: BrokerSession,
        topics: Topics,
        complaints: Complaints,
        quality: Callable[[], ClockQuality],
        is_input: Callable[[str], bool],
    ) -> None:
        self._session = session
        self._topics = topics
        self._complaints = complaints
        self._quality = quality
        self._is_input = is_input
        self._waiting: dict[str, Outgoing] = {}
        self._answers: deque[Outgoing] = deque(maxlen=_ANSWERS)

    def addresses(self, max_payload_bytes: int) -> Addresses:
        """Topics of what goes through the outbox, and how long it may be."""
        topics = self._topics
        names = (topics.alert_event(), topics.alert_state, topics.part_verdict(), topics.evidence)
        return Addresses(*names, max_payload_bytes)

    @property
    def commands(self) -> Subscription:
        """What orders come on."""
        return Subscription(self._topics.commands(), 1)

    def kept_topics(self, pipelines: Iterable[Pipeline]) -> list[str]:
        """Topics of pipelines and their models that the broker keeps for later subscribers."""
        topics = self._topics
        return [
            topic
            for each in pipelines
            for topic in (topics.pipe_status(each.id), topics.model(each.bundle, "installed"))
        ]

    def release_topics(self, models: Iterable[str]) -> list[str]:
        """Topics of new models that the broker keeps for later subscribers."""
        return [self._topics.model(name, word) for name in models for word in _RELEASE_WORDS]

    def command_name(self, topic: str) -> str | None:
        """Give ``noun/verb`` of a command's topic; None for any other topic."""
        return self._topics.command_of(topic)

    def say_available(self, word: bytes) -> None:
        """Publish the availability."""
        self._say(availability(self._topics, word))

    def begin(self) -> None:
        """Forget what waited for a link that is gone: everything is said again on the new one."""
        self._waiting.clear()

    def flush(self) -> bool:
        """Hand over what waited for room.

        Returns
        -------
        empty : bool
            False when something still waits.
        """
        while self._answers and self._hand_over(self._answers[0]):
            self._answers.popleft()
        while self._waiting:
            topic = next(iter(self._waiting))
            if not self._hand_over(self._waiting[topic]):
                return False
            del self._waiting[topic]
        return not self._answers

    def say_birth(self, message: Birth) -> None:
        """Publish what started."""
        self._retain(self._topics.birth(), message)

    def say_health(self, message: Health, figures: Mapping[str, MetricValue]) -> None:
        """Publish how the gateway is, and its figures."""
        self._retain(self._topics.health(), message)
        for name, figure in figures.items():
            self._hand_over(Outgoing(self._topics.metric(name), encode(figure)))

    def say_status(self, pipeline: str, message: PipeStatus) -> None:
        """Publish a pipeline's status."""
        self._retain(self._topics.pipe_status(pipeline), message)

    def say_summary(self, message: AlertSummary) -> None:
        """Publish how many alarms stand."""
        self._retain(self._topics.alert_summary(), message)

    def say_installed(self, message: ModelInstalled) -> None:
        """Publish which model runs."""
        self._retain(self._topics.model(message.model, "installed"), message)

    def say_candidate(self, message: ModelCandidate) -> None:
        """Publish how far a new model is on its way into the store."""
        self._retain(self._topics.model(message.model, "candidate"), message)

    def say_rollout(self, message: ModelRollout) -> None:
        """Publish how a new model replaces the old one."""
        self._retain(self._topics.model(message.model, "rollout"), message)

    def say_result(self, message: PipeResult) -> None:
        """Publish what a pipeline saw; not retained, QoS 0."""
        self._hand_over(Outgoing(self._topics.pipe_result(message.pipeline), self._write(message)))

    def answer(self, command: Incoming, reply: Reply) -> None:
        """Answer a command where its sender wants it, if a reply may go there, else on ``reply/<id>``.

        An unreadable command without such a response topic stays unanswered.
        """
        topic = command.response_topic
        if topic and (not self._topics.may_reply_on(topic) or self._is_input(topic)):
            self._complaints.say("sending", "broker", "response_topic_refused", f"no reply goes to {topic[:128]!r}")
            topic = None
        if not (reply.id or topic):
            return
        topic = topic or self._topics.reply(reply.id)
        answer = Outgoing(topic, encode(reply), 1, correlation_data=command.correlation_data)
        if not self._hand_over(answer):
            self._answers.append(answer)

    def _retain(self, topic: str, message: Struct) -> None:
        self._say(Outgoing(topic, self._write(message), 1, retain=True))

    def _write(self, message: Struct) -> bytes:
        """Encode a message, and say in it how good its time is."""
        if getattr(message, "clock", "") is None:
            message = replace(message, clock=self._quality())
        return encode(message)

    def _say(self, message: Outgoing) -> None:
        """Publish now, or when there is room; of several messages on one topic the last."""
        if message.topic in self._waiting or not self._hand_over(message):
            self._waiting[message.topic] = message

    def _hand_over(self, message: Outgoing) -> bool:
        """Publish; False when there is no room now. What can never be published is dropped, and logged."""
        try:
            return self._session.publish(message) is not None
        except ValueError as error:
            self._complaints.say("sending", "broker", "not_publishable", str(error))
            return True
