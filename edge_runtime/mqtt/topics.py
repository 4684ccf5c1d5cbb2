"""Every topic that this gateway publishes on or listens to: builders, the parser of commands, and the whole table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from edge_runtime import messages
from edge_runtime.topic_filters import filter_fault

_SEGMENT = re.compile(r"[a-z0-9_.-]{1,128}")
_FORBIDDEN = re.compile(r"[^a-z0-9_.-]+")
_MAX_SEGMENT = 128

Evidence = Literal["snapshot.jpg", "snapshot.png", "heatmap.png", "window.cbor"]


def segment(text: str) -> str:
    """Make a topic level of any text, such as a label: lower case, other characters become ``_``.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    level : str
        1 to 128 characters ``[a-z0-9_.-]``, the first of them a letter or digit.

    Examples
    --------
    >>> segment("Crack / deep"), segment("Ölfleck"), segment("")
    ('crack_deep', 'x_lfleck', 'x')
    """
    level = _FORBIDDEN.sub("_", text.lower())[:_MAX_SEGMENT]
    return level if level[:1].isalnum() else f"x{level}"[:_MAX_SEGMENT]


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one gateway.

    Attributes
    ----------
    root : str
        First level or levels, ``gateway.root`` of the configuration.
    gateway : str
        The gateway's id.

    Examples
    --------
    >>> topics = Topics("edge", "press-4")
    >>> topics.alert_state("inspect.cam1.crack")
    'edge/press-4/alert/state/inspect.cam1.crack'
    >>> topics.command_of("edge/press-4/cmd/alert/ack")
    'alert/ack'
    """

    root: str
    gateway: str

    def _join(self, *levels: str) -> str:
        """Join levels, each of which must be one that we publish."""
        for level in levels:
            if not _SEGMENT.fullmatch(level):
                raise ValueError(f"{level[:64]!r} cannot be a topic level; see topics.segment")
        return "/".join((self.root, self.gateway, *levels))

    def availability(self) -> str:
        """Give the topic of ``online``, ``offline`` (the will) and ``stopped``; retained."""
        return self._join("availability")

    def birth(self) -> str:
        """Give the topic of :class:`~edge_runtime.messages.Birth`; retained."""
        return self._join("birth")

    def health(self) -> str:
        """Give the topic of :class:`~edge_runtime.messages.Health`; retained."""
        return self._join("health")

    def metric(self, name: str) -> str:
        """Give the topic of one :class:`~edge_runtime.messages.MetricValue`."""
        return self._join("metric", name)

    def pipe_status(self, pipeline: str) -> str:
        """Give the topic of :class:`~edge_runtime.messages.PipeStatus`; retained."""
        return self._join("pipe", pipeline, "status")

    def pipe_result(self, pipeline: str) -> str:
        """Give the topic of :class:`~edge_runtime.messages.PipeResult`; QoS 0."""
        return self._join("pipe", pipeline, "result")

    def part_verdict(self) -> str:
        """Give the topic of :class:`~edge_runtime.messages.PartVerdict`; QoS 1."""
        return self._join("part", "verdict")

    def process_advice(self) -> str:
        """Give the topic of :class:`~edge_runtime.messages.ProcessAdvice`."""
        return self._join("process", "advice")

    def alert_event(self) -> str:
        """Give the topic of every :class:`~edge_runtime.messages.Alert`; QoS 1."""
        return self._join("alert", "event")

    def alert_state(self, key: str) -> str:
        """Give the topic of an alarm's last :class:`~edge_runtime.messages.Alert`; retained, empty at the end."""
        return self._join("alert", "state", key)

    def alert_summary(self) -> str:
        """Give the topic of :class:`~edge_runtime.messages.AlertSummary`; retained."""
        return self._join("alert", "summary")

    def evidence(self, alert_id: str, name: Evidence) -> str:
        """Give the topic of a picture or window that belongs to an alarm."""
        return self._join("evidence", alert_id, name)

    def model(self, model: str, word: Literal["installed", "candidate", "rollout"]) -> str:
        """Give the topic of a model's state; retained."""
        return self._join("model", model, word)

    def reply(self, command_id: str) -> str:
        """Give the topic of a :class:`~edge_runtime.messages.Reply` to a command without response topic."""
        return self._join("reply", segment(command_id))

    def may_reply_on(self, topic: str) -> bool:
        """Tell whether a reply may go to a topic that a command names.

        Parameters
        ----------
        topic : str
            Any text.

        Returns
        -------
        allowed : bool
            False for wildcards and other illegal topics, those of brokers (``$``), of the fleet's bundles and of this
            gateway, except below its own ``reply/``: nobody may have us write a message of ours, or a command to us.

        Examples
        --------
        >>> topics = Topics("edge", "press-4")
        >>> topics.may_reply_on("panel/7/answers"), topics.may_reply_on("edge/press-4/alert/event")
        (True, False)
        """
        if filter_fault(topic) is not None or "+" in topic or "#" in topic or topic.startswith("$"):
            return False
        own = f"{self.root}/{self.gateway}/"
        if f"{topic}/".startswith(own):
            return topic.startswith(f"{own}reply/")
        return not topic.startswith(f"{self.root}/fleet/")

    def commands(self) -> str:
        """Give the filter of all commands."""
        return f"{self.root}/{self.gateway}/cmd/+/+"

    def command_of(self, topic: str) -> str | None:
        """Find ``noun/verb`` in a command's topic.

        Parameters
        ----------
        topic : str
            Any topic.

        Returns
        -------
        name : str or None
            None when it is no command to this gateway.
        """
        prefix = f"{self.root}/{self.gateway}/cmd/"
        name = topic.removeprefix(prefix)
        return name if name != topic and name.count("/") == 1 else None

    def fleet_bundle(self, sha256: str) -> str:
        """Give the topic of a bundle's bytes, retained for the whole fleet."""
        return f"{self.root}/fleet/bundle/{sha256}"


@dataclass(frozen=True, slots=True)
class Channel:
    """One row of the table of topics.

    Attributes
    ----------
    name : str
        Name in the AsyncAPI document.
    address : str
        Topic with ``{parameters}``.
    payload : type or str
        The Struct, or a media type where it is not JSON.
    qos : int
        Of the publish.
    retained : bool
        The broker keeps the last one.
    action : {"send", "receive"}
        Seen from the gateway.
    """

    name: str
    address: str
    payload: type[Struct] | str
    qos: int = 0
    retained: bool = False
    action: Literal["send", "receive"] = "send"


_GATEWAY = "{root}/{gateway}/"

#: Every topic of the gateway itself; input topics are whatever the plant has.
CHANNELS: tuple[Channel, ...] = (
    Channel("availability", f"{_GATEWAY}availability", "text/plain", qos=1, retained=True),
    Channel("birth", f"{_GATEWAY}birth", messages.Birth, qos=1, retained=True),
    Channel("health", f"{_GATEWAY}health", messages.Health, qos=1, retained=True),
    Channel("metric", f"{_GATEWAY}metric/{{name}}", messages.MetricValue),
    Channel("pipeStatus", f"{_GATEWAY}pipe/{{pipeline}}/status", messages.PipeStatus, qos=1, retained=True),
    Channel("pipeResult", f"{_GATEWAY}pipe/{{pipeline}}/result", messages.PipeResult),
    Channel("partVerdict", f"{_GATEWAY}part/verdict", messages.PartVerdict, qos=1),
    Channel("processAdvice", f"{_GATEWAY}process/advice", messages.ProcessAdvice, qos=1),
    Channel("alertEvent", f"{_GATEWAY}alert/event", messages.Alert, qos=1),
    Channel("alertState", f"{_GATEWAY}alert/state/{{key}}", messages.Alert, qos=1, retained=True),
    Channel("alertSummary", f"{_GATEWAY}alert/summary", messages.AlertSummary, qos=1, retained=True),
    Channel("snapshot", f"{_GATEWAY}evidence/{{alert_id}}/snapshot.jpg", "image/jpeg", qos=1),
    Channel("snapshotPng", f"{_GATEWAY}evidence/{{alert_id}}/snapshot.png", "image/png", qos=1),
    Channel("heatmap", f"{_GATEWAY}evidence/{{alert_id}}/heatmap.png", "image/png", qos=1),
    Channel("window", f"{_GATEWAY}evidence/{{alert_id}}/window.cbor", "application/cbor", qos=1),
    Channel("modelInstalled", f"{_GATEWAY}model/{{model}}/installed", messages.ModelInstalled, qos=1, retained=True),
    Channel("modelCandidate", f"{_GATEWAY}model/{{model}}/candidate", messages.ModelCandidate, qos=1, retained=True),
    Channel("modelRollout", f"{_GATEWAY}model/{{model}}/rollout", messages.ModelRollout, qos=1, retained=True),
    Channel("reply", f"{_GATEWAY}reply/{{id}}", messages.Reply, qos=1),
    *(
        Channel(f"command.{name.replace('/', '.')}", f"{_GATEWAY}cmd/{name}", payload, qos=1, action="receive")
        for name, payload in messages.COMMANDS.items()
    ),
    Channel("fleetBundle", "{root}/fleet/bundle/{sha256}", "application/zip", qos=1, retained=True, action="receive"),
)
