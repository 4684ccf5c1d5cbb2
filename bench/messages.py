"""Sensor messages from a socket to arrays: session and codec against a bare paho callback.

A process of its own plays the broker with packets made beforehand, so that only the receiving side's CPU time is
counted. One call receives and acknowledges ``BATCH`` messages. The plain script is what one writes first: paho's own
thread, its automatic acknowledgement, and ``json.loads`` or ``np.frombuffer`` in the callback. Messages carry two user
properties (time and sequence number) except at MQTT 3.1.1, which has none.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from bench.harness import Candidate, Case, Goal, run_benchmark
from edge_runtime.config import BrokerSettings, Sensor, SensorChannel
from edge_runtime.mqtt.codec import Arrival, decode_sensor
from edge_runtime.mqtt.interface import Incoming, SessionCallbacks
from edge_runtime.mqtt.session import Session

BATCH = 200
TOPIC = "in/m1"
OURS, PLAIN = "session + codec", "bare paho callback"
Version = Literal["5", "3.1.1"]
Values = npt.NDArray[np.float64]


def remaining_length(length: int) -> bytes:
    """Encode MQTT's variable length."""
    out = bytearray()
    while True:
        length, low = divmod(length, 128)
        out.append(low | (128 if length else 0))
        if not length:
            return bytes(out)


def publish_packets(payloads: Sequence[bytes], qos: int, version: Version, properties: bytes) -> bytes:
    """Make the packets of one batch."""
    out = bytearray()
    for index, payload in enumerate(payloads):
        name = struct.pack(">H", len(TOPIC)) + TOPIC.encode()
        mid = struct.pack(">H", index + 1) if qos else b""
        body = name + mid + (remaining_length(len(properties)) + properties if version == "5" else b"") + payload
        out += bytes([0x30 | qos << 1]) + remaining_length(len(body)) + body
    return bytes(out)


def play_broker(control: Connection, batch: bytes, version: Version, acknowledged_bytes: int) -> None:
    """Serve receivers one after the other; each message on the control pipe asks for a batch."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        control.send(listener.getsockname()[1])
        links: list[socket.socket] = []
        while True:
            asked = control.recv()
            if asked is None:
                return
            if asked == "accept":
                link, _ = listener.accept()
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.recv(4096)
                link.sendall(b"\x20\x03\x00\x00\x00" if version == "5" else b"\x20\x02\x00\x00")
                links.append(link)
                continue
            link = links[asked]
            link.sendall(batch)
            missing = acknowledged_bytes
            while missing:
                missing -= len(link.recv(missing))


class Feed:
    """The receiving ends of one case: a broker process and both receivers, connected."""

    def __init__(
        self,
        sensor: Sensor,
        payloads: Sequence[bytes],
        plain: Callable[[bytes], Values],
        qos: int,
        version: Version = "5",
    ) -> None:
        self._sensor, self._plain = sensor, plain
        self.version = version
        properties = b"".join(
            b"\x26" + struct.pack(">H", len(key)) + key + struct.pack(">H", len(value)) + value
            for key, value in ((b"ts_ms", b"1700000000000"), (b"seq", b"12345"))
        )
        batch = publish_packets(payloads, qos, self.version, properties)
        self._control, other = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        arguments = (other, batch, self.version, 4 * len(payloads) if qos else 0)
        context.Process(target=play_broker, args=arguments, daemon=True).start()
        self._port = self._control.recv()
        self._n_messages = len(payloads)
        self._done = threading.Event()
        self._values: list[Values] = []
        self._session = self._open_session()
        self._client = self._open_client()

    def _take(self, values: npt.NDArray[Any]) -> None:
        """Keep one message's values."""
        self._values.append(values)
        if len(self._values) == self._n_messages:
            self._done.set()

    def _open_session(self) -> Session:
        """Connect ours."""

        def on_message(message: Incoming) -> None:
            arrival = Arrival(message.topic, 1.7e9, message.user_properties)
            self._take(decode_sensor(message.payload, self._sensor, arrival).values)
            session.acknowledge(message.token)

        settings = BrokerSettings(port=self._port, client_id="ours", protocol=self.version, keepalive_s=3600)
        session = Session(settings, SessionCallbacks(on_message=on_message))
        session.start()
        self._control.send("accept")
        session.wait_connected(10)
        return session

    def _open_client(self) -> object:
        """Connect the plain one."""
        protocol = paho.MQTTv5 if self.version == "5" else paho.MQTTv311
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id="plain", protocol=protocol)
        connected = threading.Event()
        client.on_connect = lambda *_: connected.set()
        client.on_message = lambda _client, _userdata, message: self._take(self._plain(message.payload))
        client.connect("127.0.0.1", self._port, keepalive=3600)
        client.loop_start()
        self._control.send("accept")
        if not connected.wait(10):
            raise TimeoutError("the plain client does not connect")
        return client

    def receive(self, which: int) -> Values:
        """Ask for a batch and wait for all of it."""
        self._values.clear()
        self._done.clear()
        self._control.send(which)
        if not self._done.wait(30):
            raise TimeoutError(f"{len(self._values)} of {self._n_messages} messages came")
        return np.concatenate(self._values)

    def candidates(self) -> list[Candidate]:
        """Both, for the harness."""
        return [Candidate(PLAIN, lambda _: self.receive(1)), Candidate(OURS, lambda _: self.receive(0))]


def sensor(kind: Literal["json", "f32"]) -> Sensor:
    """Declare a sensor of one channel."""
    channels = (SensorChannel(name="vibration", unit="mm/s"),)
    return Sensor(id="m1", topics=(TOPIC,), format=kind, rate_hz=100.0, channels=channels)


def read_value(payload: bytes) -> Values:
    """Read one value, as a plain script does."""
    return np.array([[json.loads(payload)["value"]]])


def read_values(payload: bytes) -> Values:
    """Read a block, as a plain script does."""
    return np.array(json.loads(payload)["values"])[:, None]


def read_raw(payload: bytes) -> Values:
    """Read raw samples, as a plain script does."""
    return np.frombuffer(payload, np.float32).astype(np.float64)[:, None]


def cases(quick: bool) -> list[Case]:
    """Small JSON at QoS 0 and 1, a JSON block, a raw block."""
    random = np.random.default_rng(3)
    single = [
        json.dumps({"value": float(value), "timestamp_ms": 1_700_000_000_000, "unit": "mm/s"}).encode()
        for value in random.normal(size=BATCH)
    ]
    blocks = [
        json.dumps({"t0_ms": 1_700_000_000_000, "rate_hz": 100.0, "values": random.normal(size=256).tolist()}).encode()
        for _ in range(BATCH)
    ]
    raw = [random.normal(size=1024).astype("<f4").tobytes() for _ in range(BATCH)]
    feeds = {
        f"{BATCH} JSON values of 70 bytes, QoS 0": Feed(sensor("json"), single, read_value, 0),
        f"{BATCH} JSON values of 70 bytes, QoS 1": Feed(sensor("json"), single, read_value, 1),
        f"{BATCH} JSON values of 70 bytes, QoS 1, MQTT 3.1.1": Feed(sensor("json"), single, read_value, 1, "3.1.1"),
        f"{BATCH} JSON blocks of 256 samples, QoS 1": Feed(sensor("json"), blocks, read_values, 1),
        f"{BATCH} raw blocks of 1024 float32, QoS 1": Feed(sensor("f32"), raw, read_raw, 1),
    }
    goals = (Goal(OURS, PLAIN, 1.0),)
    rounds = 20 if quick else 100
    return [Case(name, feed.candidates(), goals, rounds=rounds) for name, feed in feeds.items()]


if __name__ == "__main__":
    run_benchmark("messages", cases)
