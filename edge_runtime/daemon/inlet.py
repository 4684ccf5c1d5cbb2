"""The session that inputs come on, apart from the one that events leave on.

Brokers send more than the receive maximum (mosquitto 2.0.11 does), so inputs are held back by not reading. On one
session that would also hold back the acknowledgements of events, and a flood of inputs would silence the alarms.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from edge_runtime.config import BrokerSettings, Config
from edge_runtime.daemon.complaints import Complaints
from edge_runtime.daemon.intake import GivenUp, Intake, Item, Message, Notice
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.errors import BrokerError
from edge_runtime.mqtt.interface import AckToken, Incoming, SessionCallbacks, Subscription
from edge_runtime.mqtt.session import Session


class Inlet:
    """Subscribes to every source, and reads only while each mailbox that may not drop has room.

    Parameters
    ----------
    settings : BrokerSettings
        Of the gateway; this session's client id is that with ``-in`` behind it.
    intake : Intake
        Sorts what comes; called from the network thread.
    notify : callable
        Takes notices for the main loop; thread-safe.
    metrics, complaints : Metrics, Complaints
        Count and log.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        intake: Intake,
        *,
        notify: Callable[[Notice | None], None],
        metrics: Metrics,
        complaints: Complaints,
    ) -> None:
        self._intake = intake
        self._notify = notify
        self._metrics = metrics
        self._complaints = complaints
        self._is_held = False
        self._is_shut = False
        self._not_subscribed: dict[str, str] = {}
        callbacks = SessionCallbacks(
            on_message=self._receive,
            on_connected=self._arrived,
            on_disconnected=self._disconnected,
            on_refused=self._refused,
            on_granted=self._granted,
            on_dropped=self.count_dropped,
        )
        own = replace(settings, client_id=f"{settings.client_id}-in")
        self._session = Session(
            own, callbacks, subscriptions=[Subscription(*each) for each in self._intake.subscriptions()]
        )

    @property
    def connected(self) -> bool:
        """Whether inputs can come."""
        return self._session.connected

    @property
    def failure(self) -> BaseException | None:
        """What ended the network thread; None while it runs."""
        return self._session.failure

    @property
    def troubles(self) -> tuple[str, ...]:
        """Why inputs do not come, as reasons for health: for as long as each holds."""
        link = () if self.connected else ("inputs_disconnected",)
        return link + tuple(f"not_subscribed:{source}" for source in dict.fromkeys(self._not_subscribed.values()))

    def start(self) -> None:
        """Begin to connect."""
        self._session.start()

    def acknowledge(self, token: AckToken) -> None:
        """Let the broker forget an input."""
        self._session.acknowledge(token)

    def hold_or_resume(self) -> None:
        """Read again when there is room, or when the link is gone and another must be made."""
        wanted = self.connected and self._intake.wants_pause()
        if wanted != self._is_held:
            self._is_held = wanted
            if wanted:
                self._session.pause()
            else:
                self._session.resume()

    def reconfigure(self, config: Config) -> list[Item]:
        """Take over other sources and subscribe to them.

        Returns
        -------
        left : list of Item
            Inputs of sources that are gone.
        """
        left = self._intake.reconfigure(config, self._refuse)
        wanted = [Subscription(*each) for each in self._intake.subscriptions()]
        self._session.subscribe(wanted)
        refused = [each.topic_filter for each in wanted if each.topic_filter in self._not_subscribed]
        self._not_subscribed = {pattern: self._intake.source_of(pattern) for pattern in refused}
        return left

    def go_on(self) -> None:
        """Take what waited for sources to change, which they do not."""
        self._intake.go_on(self._refuse)

    def _refuse(self, message: Message) -> None:
        """Give up a message that belongs to no source."""
        self._notify(GivenUp("unknown", "unknown_topic", message.token, None, 0.0))

    def shut(self) -> None:
        """Take nothing any more: what comes during the goodbye the broker delivers again."""
        self._is_shut = True

    def stop(self) -> None:
        """Leave; the broker keeps what comes from now on."""
        self._session.stop(flush_s=0.1)

    def count_dropped(self, topic: str, reason: str) -> None:
        """Count a message that a session did not even look at; called from the network thread."""
        self._metrics.drop("unknown", reason)
        self._complaints.say("receiving", "unknown", reason, f"topic={topic[:128]!r}")

    def _receive(self, message: Incoming) -> None:
        """Sort a message; called from the network thread."""
        if self._is_shut:
            return
        if not self._intake.take(message):
            self._refuse(message)
            return
        if self._intake.wants_pause():
            self._is_held = True
            self._session.pause()
        self._notify(None)

    def _arrived(self, present: bool) -> None:
        """Make room for what comes again, and wake the main loop; called from the network thread.

        A broker that forgot the session delivers nothing again and is asked for everything anew.
        """
        if present:
            self._intake.forget()
        else:
            self._not_subscribed = {}
        self._notify(None)

    def _refused(self, topic_filter: str, error: BrokerError) -> None:
        """Note a source that does not come; called from the network thread."""
        self._complaints.say("receiving", topic_filter, "not_subscribed", str(error))
        self._not_subscribed = {**self._not_subscribed, topic_filter: self._intake.source_of(topic_filter)}
        self._notify(None)

    def _granted(self, topic_filter: str) -> None:
        """Note a source that comes after all; called from the network thread."""
        left = {each: source for each, source in self._not_subscribed.items() if each != topic_filter}
        self._not_subscribed = left
        self._notify(None)

    def _disconnected(self, error: BrokerError | None) -> None:
        """Say why inputs cannot come; called from the network thread."""
        if error is not None:
            self._complaints.say("receiving", "broker", "disconnected", str(error))
        self._notify(None)
