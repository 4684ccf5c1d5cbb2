"""A daemon in a folder of its own, with a publisher and a consumer such as a plant has them.

The daemon is the real command in a process of its own. The consumer keeps a persistent QoS 1 session, recognises
duplicates by ``event_id``, watches the numbers of each boot and series for gaps, and asks for what it lacks.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import paho.mqtt.client as paho
import psutil
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from prometheus_client.parser import text_string_to_metric_families

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.mqtt.metadata import Metadata, write_envelope
from tests.bundles import TRUSTED, image_bundle, trusting_store, window_bundle
from tests.integration.mosquitto import Mosquitto, find, free_port

GATEWAY = "gw1"
BASE = f"edge/{GATEWAY}"
COMMAND = (sys.executable, "-m", "edge_runtime.cli")

#: Two cameras and two machines on the tiny bundles; more sections may follow.
SOURCES = """
[[camera]]
id = "cam1"
topic = "plant/cam/cam1/frame"
format = "jpeg"
qos = 1
[[camera]]
id = "fast"
topic = "plant/cam/fast/frame"
format = "jpeg"
[[sensor]]
id = "press1"
topics = ["plant/sensor/press1"]
format = "f32"
rate_hz = 16.0
channel = [{ name = "vibration" }, { name = "temperature" }, { name = "current" }, { name = "pressure" }]
[[sensor]]
id = "press2"
topics = ["plant/sensor/press2"]
format = "json"
rate_hz = 16.0
channel = [{ name = "vibration" }, { name = "temperature" }, { name = "current" }, { name = "pressure" }]
[[pipeline]]
id = "surface"
kind = "inspection"
bundle = "tiny-surface"
cameras = ["cam1", "fast"]
[[pipeline]]
id = "life"
kind = "monitor"
bundle = "tiny-life"
sensors = ["press1", "press2"]
"""


def until(condition: Callable[[], object], what: str, *, within_s: float = 10.0) -> None:
    """Wait for something that another process does."""
    give_up_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up_at, f"not within {within_s:g} s: {what}"
        time.sleep(0.01)


def settle(figures: Callable[[], object], *, quiet_s: float = 1.0, within_s: float = 30.0) -> None:
    """Wait until figures stay the same for a while."""
    give_up_at = time.monotonic() + within_s
    last, since = figures(), time.monotonic()
    while time.monotonic() - since < quiet_s and time.monotonic() < give_up_at:
        time.sleep(0.1)
        now = figures()
        if now != last:
            last, since = now, time.monotonic()


def install_tiny_bundles(store: Path) -> None:
    """Install what the tests' pipelines run."""
    bundles = trusting_store(store)
    for data in (image_bundle(), window_bundle()):
        bundles.install(read_bundle(data, TRUSTED), activate=True)


class Daemon:
    """``edge-runtime run`` on a configuration in a folder; what it logs is kept in ``daemon.log``."""

    def __init__(
        self,
        folder: Path,
        port: int,
        sources: str = SOURCES,
        *,
        broker: str = "",
        settings: str = "",
        flood_n: int = 0,
        gateway: str = "",
        file: str = "gateway.toml",
    ) -> None:
        self.folder = folder
        self.http_port = free_port()
        self.config = folder / file
        self.log = folder / "daemon.log"
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f'[gateway]\nid = "{GATEWAY}"\n{gateway}\n[alarms]\nflood_n = {flood_n}\n'
            f"[http]\nport = {self.http_port}\n{settings}\n"
            f"[broker]\nport = {port}\nreconnect_min_s = 0.05\nreconnect_max_s = 0.2\n{broker}\n{sources}"
        )
        if not (folder / "bundles").exists():
            install_tiny_bundles(folder / "bundles")
        self.process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}

    def start(self, *, ready: bool = True, within_s: float = 20.0) -> Daemon:
        """Start, and by default wait until broker and worker are there."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "run", str(self.config)], stdout=log, stderr=log, env=os.environ | self.environment
            )
        if ready:
            until(self.ready, "the daemon is ready", within_s=within_s)
        return self

    def ready(self) -> bool:
        """Whether ``/ready`` says so; an early end is an error with the log."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        try:
            return self.page("ready")[0] == 200
        except OSError:
            return False

    def page(self, name: str) -> tuple[int, str]:
        """Fetch a page: status and text."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/{name}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, name: str, **labels: str) -> float:
        """Read one sample of ``/metrics``; 0 when it is not there."""
        for family in text_string_to_metric_families(self.page("metrics")[1]):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0

    def dropped(self, source: str, reason: str) -> float:
        """How many inputs of a source were dropped for a reason."""
        return self.metric("edge_dropped_total", source=source, reason=reason)

    @property
    def pid(self) -> int:
        """The supervisor."""
        assert self.process is not None
        return self.process.pid

    def worker_pid(self) -> int | None:
        """The worker: the launcher's child."""
        with suppress(psutil.NoSuchProcess):
            for launcher in psutil.Process(self.pid).children():
                for worker in launcher.children():
                    return int(worker.pid)
        return None

    def kill(self) -> None:
        """Kill the supervisor without warning."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self, *, within_s: float = 5.0) -> float:
        """Send SIGTERM and give the seconds it took to leave."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=within_s)
        return time.monotonic() - began

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process is not None and self.process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(self.pid).children(recursive=True):
                    child.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGCONT)
            try:
                self.stop(within_s=8)
            except subprocess.TimeoutExpired:
                self.kill()

    def committed(self, *, unsent: bool = False) -> dict[str, dict[str, Any]]:
        """Every numbered event in the outbox, or those that the broker lacks, by event id; read beside the daemon."""
        query = "SELECT event_id, payload FROM event WHERE series != ''" + (" AND acked_ms IS NULL" if unsent else "")
        with closing(sqlite3.connect(f"file:{self.folder / 'state' / 'outbox.sqlite'}?mode=ro", uri=True)) as database:
            rows = database.execute(query).fetchall()
        return {event_id: json.loads(payload) for event_id, payload in rows}


class _Client:
    """A paho client with a persistent session that comes back by itself."""

    def __init__(self, broker: Mosquitto, name: str, *, version: int = paho.MQTTv5) -> None:
        self._version, self._name = version, name
        persistent: dict[str, Any] = {} if version == paho.MQTTv5 else {"clean_session": False}
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, protocol=version, **persistent)
        self.client.reconnect_delay_set(0.05, 0.2)
        self.client.max_inflight_messages_set(200)
        self.client.on_connect = self._connected
        self.client.on_message = self._take
        if broker.certificates is not None:
            self.client.tls_set(ca_certs=str(broker.certificates.ca_file))
        self._up = threading.Event()
        options: dict[str, Any] = {}
        if version == paho.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600
            options = {"clean_start": False, "properties": properties}
        self.client.connect("127.0.0.1", broker.port, keepalive=10, **options)
        self.client.loop_start()
        assert self._up.wait(10)

    def _connected(self, _client: Any, _userdata: Any, _flags: Any, _code: Any, _properties: Any) -> None:
        self._up.set()

    def _take(self, _client: Any, _userdata: Any, message: Any) -> None:
        """Nothing comes to a publisher."""

    def close(self) -> None:
        """Leave; the session stays with the broker."""
        self.client.disconnect()
        self.client.loop_stop()


class Publisher(_Client):
    """Publishes as cameras and machines do, at QoS 1 unless told otherwise."""

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, wait: bool = False, **metadata: Any) -> None:
        """Publish with metadata: user properties over MQTT 5, an envelope over 3.1.1."""
        if self._version != paho.MQTTv5:
            if metadata:
                payload = write_envelope(Metadata(**metadata), payload)
            info = self.client.publish(topic, payload, qos=qos)
        else:
            properties = Properties(PacketTypes.PUBLISH)
            if metadata:
                properties.UserProperty = [(key, str(value)) for key, value in metadata.items()]
            info = self.client.publish(topic, payload, qos=qos, properties=properties)
        if wait:
            info.wait_for_publish(10)

    def flush(self, within_s: float = 30.0) -> None:
        """Wait until the broker has everything."""
        until(lambda: not self.client._out_messages, "the broker has everything", within_s=within_s)


class Consumer(_Client):
    """Keeps everything under the gateway's topic, and notices what it lacks."""

    def __init__(self, broker: Mosquitto, name: str = "consumer") -> None:
        self._lock = threading.Lock()
        self.messages: list[tuple[str, bytes, bool]] = []
        self.retained: dict[str, bytes] = {}
        self.events: dict[str, dict[str, Any]] = {}
        self.order: dict[tuple[str, str], list[int]] = defaultdict(list)
        self.duplicates = 0
        self._last_told: dict[tuple[str, str], int] = {}
        self._n_commands = 0
        super().__init__(broker, name)

    def _connected(self, client: Any, userdata: Any, flags: Any, code: Any, properties: Any) -> None:
        client.subscribe(f"{BASE}/#", qos=1)
        super()._connected(client, userdata, flags, code, properties)

    def _take(self, _client: Any, _userdata: Any, message: Any) -> None:
        topic, payload = message.topic.removeprefix(f"{BASE}/"), bytes(message.payload)
        with self._lock:
            self.messages.append((topic, payload, bool(message.retain)))
            self.retained[topic] = payload
            if topic in {"alert/event", "part/verdict"}:
                self._keep(topic.partition("/")[0].replace("part", "verdict"), json.loads(payload))
            elif topic == "health":
                health = json.loads(payload)
                for series in ("alert", "verdict"):
                    self._last_told[health["boot_id"], series] = health[f"last_{series}_seq"]

    def _keep(self, series: str, event: dict[str, Any]) -> None:
        if event["event_id"] in self.events:
            self.duplicates += 1
            return
        self.events[event["event_id"]] = event
        self.order[event["boot_id"], series].append(event["seq"])

    def gaps(self) -> dict[tuple[str, str], list[int]]:
        """Numbers that are missing, by boot and series: up to the highest seen or told of in ``health``."""
        with self._lock:
            missing = {}
            for key in self.order.keys() | self._last_told.keys():
                seen = set(self.order.get(key, ()))
                last = max(*seen, self._last_told.get(key, 0), 0)
                lacking = sorted(set(range(1, last + 1)) - seen)
                if lacking:
                    missing[key] = lacking
            return missing

    def ask_for_gaps(self) -> None:
        """Ask for what is missing of each boot and series, and for what an earlier boot may have said at its end."""
        wanted = {key: missing[0] for key, missing in self.gaps().items()}
        present = json.loads(self.retained["birth"])["boot_id"]
        for (boot_id, series), seen in list(self.order.items()):
            if boot_id != present:
                wanted.setdefault((boot_id, series), max(seen) + 1)
        for (boot_id, series), number in wanted.items():
            self.command("events/resend", boot_id=boot_id, series=series, from_seq=number)

    def command(self, name: str, **fields: Any) -> str:
        """Send a command and give its id."""
        self._n_commands += 1
        order = {"issuer": self._name, "id": f"c{self._n_commands}", **fields}
        self.client.publish(f"{BASE}/cmd/{name}", json.dumps(order), qos=1)
        return str(order["id"])

    def reply(self, command_id: str) -> dict[str, Any]:
        """Wait for the answer to a command."""
        until(lambda: f"reply/{command_id}" in self.retained, f"a reply to {command_id}")
        answer: dict[str, Any] = json.loads(self.retained[f"reply/{command_id}"])
        return answer

    def all_of(self, topic: str) -> list[dict[str, Any]]:
        """Every JSON payload of a topic, in the order of arrival."""
        with self._lock:
            return [json.loads(payload) for name, payload, _ in self.messages if name == topic and payload]

    def verdicts(self) -> dict[str, list[dict[str, Any]]]:
        """Verdicts by part, duplicates removed."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        with self._lock:
            for event in self.events.values():
                if event["schema"] == "edge.verdict/1":
                    found[event["part"]].append(event)
        return found

    def recover(self, daemon: Daemon, *, patience_s: float = 10.0) -> set[str]:
        """Wait for what is on its way, then ask for what is missing; gives the event ids that stay lost."""
        give_up_at = time.monotonic() + patience_s
        asked_at, last = 0.0, -1
        while (lost := daemon.committed().keys() - self.events.keys()) and time.monotonic() < give_up_at:
            if len(lost) != last:
                last, give_up_at = len(lost), time.monotonic() + patience_s
            elif time.monotonic() - asked_at > 2.0 and not daemon.committed(unsent=True):
                asked_at = time.monotonic()
                self.ask_for_gaps()
            time.sleep(0.1)
        return set(lost)


Member = TypeVar("Member", bound=_Client)


class Plant:
    """Broker, daemon, publisher and consumer."""

    def __init__(self, broker: Mosquitto, daemon: Daemon) -> None:
        self.broker = broker
        self.daemon = daemon
        self._clients: list[_Client] = []
        self.consumer = self.join(Consumer(broker))
        self.publisher = self.join(Publisher(broker, "publisher"))

    def join(self, client: Member) -> Member:
        """Close a client with the plant."""
        self._clients.append(client)
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.daemon.end()
        for client in self._clients:
            client.close()


def alive(pids: list[int]) -> list[int]:
    """Those of the processes that still run; the dead that nobody collected do not count."""
    return [pid for pid in pids if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


def suspend(pid: int) -> None:
    """Let a process hang."""
    os.kill(pid, signal.SIGSTOP)


def require_mosquitto() -> None:
    """Leave a test out, with an explanation, where there is no mosquitto; CI fails."""
    if find("mosquitto") is None:
        message = "mosquitto is not installed; this test needs it and is left out (apt-get install mosquitto)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@contextmanager
def running_plant(folder: Path, sources: str = SOURCES, **arguments: Any) -> Iterator[Plant]:
    """Start a broker and a daemon in a folder, and end them."""
    require_mosquitto()
    broker = Mosquitto(folder / "mosquitto")
    broker.start()
    try:
        with Plant(broker, Daemon(folder / "gateway", broker.port, sources, **arguments)) as plant:
            plant.daemon.start()
            yield plant
    finally:
        broker.kill()
