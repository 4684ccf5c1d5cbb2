"""What a plant sends and hears all the time: parts before a camera, a machine's samples, video; verdicts and alerts.

What the broker took is owed an answer, once. Frames at QoS 0 are owed nothing.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.integration.daemon_rig import BASE, Consumer, Publisher
from tests.integration.factory_inputs import RATE_HZ, ROWS, picture, samples
from tests.integration.mosquitto import Mosquitto

PICTURES = 32
_EVERY_S = 0.1
_AHEAD = 60
_ANSWERS_KEPT = 10_000
_SCHEMAS = frozenset({"edge.alert/1", "edge.verdict/1"})
_BLOCK_MS = round(1000 * ROWS / RATE_HZ)
_DAY_MS = 86_400_000


class LabPublisher(Publisher):
    """A publisher that remembers which parts the broker took."""

    def __init__(self, broker: Mosquitto, name: str) -> None:
        self._underway: dict[int, str] = {}
        self._answers: dict[int, bool] = {}
        self.taken: dict[str, float] = {}
        super().__init__(broker, name)
        self.client.on_publish = self._published

    def show(self, part: str, number: int, *, camera: str = "cam1") -> None:
        """Publish a part's frame at QoS 1."""
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = [("part", part), ("ts_ms", str(round(time.time() * 1000)))]
        topic, payload = f"plant/cam/{camera}/frame", picture(number)
        mid = self.client.publish(topic, payload, qos=1, properties=properties).mid
        self._underway[mid] = part
        self._settle(mid)

    def _published(self, _client: Any, _userdata: Any, mid: int, code: Any, _properties: Any) -> None:
        """Note the broker's answer, which may come before ``publish`` has returned."""
        if len(self._answers) > _ANSWERS_KEPT:  # those of other messages; their numbers will be used again
            self._answers.clear()
        self._answers[mid] = not code.is_failure
        self._settle(mid)

    def _settle(self, mid: int) -> None:
        """Note a frame that the broker took; one that it refused is nobody's. No lock: paho calls with its own held."""
        if mid in self._underway and mid in self._answers:
            part, taken = self._underway.pop(mid, None), self._answers.pop(mid, False)
            if part is not None and taken:
                self.taken[part] = time.monotonic()


class LabConsumer(Consumer):
    """A consumer that is not thrown by what is no JSON."""

    def __init__(self, broker: Mosquitto, name: str = "consumer") -> None:
        self.n_unreadable = 0
        self.reasons: set[str] = set()
        super().__init__(broker, name)

    def _keep(self, series: str, event: dict[str, Any]) -> None:
        """Keep an event; one that was damaged on its way is not taken for one, and asked for again by its number."""
        if event["schema"] not in _SCHEMAS or not isinstance(event["seq"], int):
            raise ValueError(event)
        if series == "verdict" and event["part"] is None:
            raise ValueError(event)
        super()._keep(series, event)

    def leave(self) -> None:
        """Go away; the broker keeps what it is told to keep."""
        self.client.disconnect()
        self.client.loop_stop()

    def come_back(self) -> None:
        """Come back to the session."""
        self._up.clear()
        self.client.reconnect()
        self.client.loop_start()
        assert self._up.wait(10)

    def _take(self, client: Any, userdata: Any, message: Any) -> None:
        try:
            super()._take(client, userdata, message)
            if message.topic == f"{BASE}/health":
                self.reasons.update(json.loads(message.payload)["reasons"])
        except (ValueError, KeyError, TypeError, AttributeError):
            self.n_unreadable += 1


class Load:
    """Publishes from a thread of its own until it is ended.

    Parameters
    ----------
    publisher : LabPublisher
        Whose link never fails: it is not under test.
    consumer : Consumer
        A plant that sees no verdicts for long stops its line; so does this one.
    """

    def __init__(self, publisher: LabPublisher, consumer: Consumer) -> None:
        self.publisher = publisher
        self._consumer = consumer
        self._first_ms = round(time.time() * 1000) - _DAY_MS
        self._ended = threading.Event()
        self._one_machine = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.n_frames = 0
        self.n_blocks = 0
        self.every_s = _EVERY_S

    def begin(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Stop publishing."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def unanswered(self, *, before: float = float("inf")) -> set[str]:
        """Parts that the broker took before a moment (monotonic, s) and that have no verdict yet."""
        verdicts = self._consumer.verdicts()
        return {part for part, at in list(self.publisher.taken.items()) if at < before and part not in verdicts}

    def send_block(self) -> None:
        """Publish the machine's next samples; a score of them holds a cycle, with an alarm that comes and goes."""
        with self._one_machine:
            number = self.n_blocks
            self.n_blocks += 1
            ts_ms = self._first_ms + number * _BLOCK_MS
            self.publisher.publish("plant/sensor/press1", samples(number).tobytes(), seq=number, ts_ms=ts_ms)

    def _run(self) -> None:
        while not self._ended.wait(self.every_s):
            if len(self.unanswered()) > _AHEAD:
                continue
            number = self.n_frames
            self.n_frames += 1
            self.publisher.show(f"part-{number}", number % PICTURES)
            self.send_block()
            self.publisher.publish("plant/cam/fast/frame", picture(number % PICTURES), qos=0, part=f"fast-{number}")
