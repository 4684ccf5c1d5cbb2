"""A plant in which everything can be made to fail: broker, link, disk, processes, clock, inputs.

The daemon is the real command, watched by a small service manager that starts it again when it ends, as systemd does.
Its link runs through the fault proxy, its disk and memory through the preloaded library. Publisher and consumer speak
to the broker directly: they are the yardstick, not the thing under test.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from tests.faultlab.load import LabPublisher, Load
from tests.faultlab.meddler import Meddler, can_compile
from tests.faultlab.proxy import FaultProxy
from tests.integration.certificates import Certificates, make_certificates
from tests.integration.daemon_rig import BASE, COMMAND, SOURCES, Consumer, Daemon, require_mosquitto, until
from tests.integration.mosquitto import Mosquitto, free_port

#: A camera behind a wildcard, and a gauge, for faults of inputs.
MORE_SOURCES = """
[[camera]]
id = "many"
topic = "plant/many/+/frame"
format = "png"
part = "none"
qos = 1
[[sensor]]
id = "press3"
topics = ["plant/sensor/press3"]
format = "f32"
qos = 0
rate_hz = 16.0
channel = [{ name = "vibration" }, { name = "temperature" }, { name = "current" }, { name = "pressure" }]
"""
LAB_SOURCES = (
    SOURCES.replace('["cam1", "fast"]', '["cam1", "fast", "many"]').replace('"press2"]\n', '"press2", "press3"]\n')
    + MORE_SOURCES
)
#: The shortest keepalive there is, so that silence is noticed within the bound of ten seconds.
KEEPALIVE_S = 5
_RESTART_S = 0.5
_IDS = "SELECT event_id FROM event WHERE series != ''"
_READ_IDS = f"""
import sqlite3, sys
for (name,) in sqlite3.connect(f"file:{{sys.argv[1]}}?mode=ro", uri=True).execute({_IDS!r}):
    print(name)
"""
_DROPPED = re.compile(r'^edge_dropped_total\{reason="([^"]*)",source="([^"]*)"\} (\S+)$', re.MULTILINE)
OK_PICTURE = 4
#: More than the 100 MB below which health complains.
SMALL_DISK_MB = 160
_LOOK_S = 0.05


@dataclass(frozen=True)
class Scene:
    """How a plant is set up; faults of one scene share a running plant.

    Attributes
    ----------
    name : str
        In the names of folders.
    tls : bool
        Whether the daemon speaks TLS with the broker.
    clock : bool
        Whether the daemon's wall clock can be set.
    small_disk : bool
        Whether the state folder is a small file system of its own.
    own_hosts : bool
        Whether the daemon has a hosts file of its own, and finds the broker by name.
    settings : str
        More of the configuration, TOML.
    broker : tuple of str
        More of the broker's configuration.
    """

    name: str
    tls: bool = False
    clock: bool = False
    small_disk: bool = False
    own_hosts: bool = False
    settings: str = ""
    broker: tuple[str, ...] = ()


class LabConsumer(Consumer):
    """A consumer that is not thrown by what is no JSON."""

    def __init__(self, broker: Mosquitto, name: str = "consumer") -> None:
        self.n_unreadable = 0
        self.reasons: set[str] = set()
        super().__init__(broker, name)

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


class LabDaemon(Daemon):
    """The daemon under a service manager, with what it is wrapped in."""

    def __init__(self, folder: Path, port: int, sources: str, *, broker: str, settings: str) -> None:
        super().__init__(folder, port, sources, broker=broker, settings=settings)
        self.environment: dict[str, str] = {}
        self.prefix: tuple[str, ...] = ()
        self.root: Path | None = None
        self.exits: list[int] = []
        self.watched = True
        self._ended = threading.Event()
        self._manager = threading.Thread(target=self._manage, name="service-manager", daemon=True)

    def start(self, *, ready: bool = True, within_s: float = 120.0) -> LabDaemon:
        """Start, and have it started again whenever it ends while it is ``watched``."""
        self._spawn()
        if not self._manager.is_alive():
            self._manager.start()
        self.watched = True
        if ready:
            until(self.ready, "the daemon is ready", within_s=within_s)
        return self

    def _spawn(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *COMMAND, "run", str(self.config)],
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )

    def _manage(self) -> None:
        while not self._ended.wait(_LOOK_S):
            if self.watched and self.process is not None and (code := self.process.poll()) is not None:
                self.exits.append(code)
                if not self._ended.wait(_RESTART_S) and self.watched:
                    self._spawn()

    def ready(self) -> bool:
        """Whether ``/ready`` says so."""
        try:
            return self.page("ready")[0] == 200
        except OSError:
            return False

    def health(self) -> dict[str, Any]:
        """The last report, over HTTP; empty when there is none."""
        try:
            status, text = self.page("health")
            return dict(json.loads(text)) if status == 200 else {}
        except (OSError, ValueError):
            return {}

    def drops(self) -> dict[tuple[str, str], float]:
        """Dropped inputs by source and reason; empty while nobody answers."""
        try:
            text = self.page("metrics")[1]
        except OSError:
            return {}
        return {(source, reason): float(count) for reason, source, count in _DROPPED.findall(text)}

    def note_exit(self) -> None:
        """Note an end that the service manager was not to see."""
        assert self.process is not None
        self.exits.append(self.process.wait(timeout=10))

    def stop(self, *, within_s: float = 10.0) -> float:
        """Stop in good order; the service manager lets it be."""
        self.watched = False
        return super().stop(within_s=within_s)

    def kill(self) -> None:
        """Kill it; the service manager lets it be until ``start``."""
        self.watched = False
        super().kill()

    def end(self) -> None:
        """Leave nothing behind."""
        self.watched = False
        self._ended.set()
        if self._manager.is_alive():
            self._manager.join(10)
        super().end()

    def committed_ids(self) -> set[str]:
        """Event ids of every numbered event in the outbox."""
        path = self.folder / "state" / "outbox.sqlite"
        if self.prefix:  # SQLite follows the link of a foreign root back to our own
            command = [*self.prefix, sys.executable, "-c", _READ_IDS, str(path)]
            return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return {row[0] for row in database.execute(_IDS)}

    @property
    def state(self) -> Path:
        """The state folder as the daemon sees it, which may have a file system of its own."""
        return self.rooted(self.folder / "state")

    def rooted(self, path: Path) -> Path:
        """A path as the daemon sees it."""
        return path if self.root is None else Path(f"{self.root}{path}")


@contextmanager
def again_and_again(action: Callable[[], object], *, every_s: float) -> Iterator[None]:
    """Do something at intervals, from a thread of its own, until the context is left."""
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            action()
            ended.wait(every_s)

    thread = threading.Thread(target=run, name="again-and-again", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(10)


class OwnMounts:
    """A mount namespace that stands as long as a process of ours: what is mounted there goes with it."""

    def __init__(self, script: str, *arguments: str) -> None:
        command = f"set -e; {script}; echo mounted; exec sleep infinity"
        self._process = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", command, "sh", *arguments], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"mounted\n", "the mounts of the scene cannot be made"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What starts a command there."""
        return ("nsenter", "-t", str(self._process.pid), "-m")

    @property
    def root(self) -> Path:
        """Its files, seen from outside."""
        return Path(f"/proc/{self._process.pid}/root")

    def run(self, *command: str) -> None:
        """Run a command there."""
        subprocess.run([*self.prefix, *command], check=True)

    def close(self) -> None:
        """Let it go."""
        self._process.kill()
        self._process.communicate()


def can_mount() -> bool:
    """Whether this user may mount file systems in a namespace of its own."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    try:
        OwnMounts("mount -t tmpfs -o size=1m none /mnt").close()
    except AssertionError:
        return False
    return True


def faketime_library() -> str | None:
    """Path of libfaketime; None where it is not installed."""
    for folder in ("/usr/lib", "/usr/local/lib"):
        for path in Path(folder).glob("**/faketime/libfaketime.so.1"):
            return str(path)
    return None


class Lab:
    """One plant under load.

    Parameters
    ----------
    folder : Path
        Where everything is kept.
    scene : Scene
        How it is set up.
    """

    def __init__(self, folder: Path, scene: Scene) -> None:
        self.scene = scene
        self.folder = folder
        self._stack = ExitStack()
        self.excused: set[str] = set()
        self.kept: dict[str, Any] = {}
        self.start_s = 0.0
        self.seed = 1
        self._n_probes = 0

    def __enter__(self) -> Self:
        require_mosquitto()
        try:
            self._set_up()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _set_up(self) -> None:
        scene, folder, stack = self.scene, self.folder, self._stack
        self.tls_port = free_port()
        options = scene.broker
        self.certificates = make_certificates(folder / "certificates") if scene.tls else None
        if self.certificates is not None:
            options = (*options, *self._tls_listener(self.certificates))
        self.broker = Mosquitto(folder / "mosquitto", options=options)
        stack.callback(self.broker.kill)
        self.broker.start()
        self.proxy = FaultProxy(self.tls_port if scene.tls else self.broker.port).start()
        stack.callback(self.proxy.close)
        self.daemon = self._make_daemon()
        stack.callback(self.daemon.end)
        began = time.monotonic()
        self.daemon.start()
        self.start_s = time.monotonic() - began
        self.consumer = LabConsumer(self.broker)
        stack.callback(self.consumer.close)
        self.publisher = LabPublisher(self.broker, "publisher")
        stack.callback(self.publisher.close)
        self.load = Load(self.publisher, self.consumer)
        stack.callback(self.load.end)
        self.load.begin()
        until(lambda: len(self.consumer.verdicts()) > 3, "verdicts flow", within_s=20)

    def _tls_listener(self, certificates: Certificates) -> tuple[str, ...]:
        return (
            f"listener {self.tls_port} 127.0.0.1",
            f"certfile {certificates.server_file}",
            f"keyfile {certificates.server_key_file}",
        )

    def _make_daemon(self) -> LabDaemon:
        scene, folder = self.scene, self.folder / "gateway"
        name = "broker.plant.test" if scene.own_hosts else "localhost" if scene.tls else "127.0.0.1"
        broker = f'host = "{name}"\nkeepalive_s = {KEEPALIVE_S}\nconnect_timeout_s = 3.0'
        if self.certificates is not None:
            broker += f'\n[broker.tls]\nca_file = "{self.certificates.ca_file}"'
        daemon = LabDaemon(folder, self.proxy.port, LAB_SOURCES, broker=broker, settings=scene.settings)
        preloaded = []
        if can_compile():
            self.meddler = Meddler(self.folder / "tools", folder / "state")
            daemon.environment |= self.meddler.environment()
            preloaded.append(self.meddler.environment()["LD_PRELOAD"])
        if scene.clock:
            self.set_clock("+0")
            daemon.environment |= {
                "FAKETIME_TIMESTAMP_FILE": str(self._clock_file),
                "FAKETIME_CACHE_DURATION": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }
            preloaded.append(faketime_library() or "")
        daemon.environment["LD_PRELOAD"] = ":".join(preloaded)
        if scene.small_disk or scene.own_hosts:
            self.mounts = self._make_mounts(folder)
            self._stack.callback(self.mounts.close)
            daemon.prefix, daemon.root = self.mounts.prefix, self.mounts.root
        return daemon

    def _make_mounts(self, folder: Path) -> OwnMounts:
        if self.scene.small_disk:
            (folder / "state").mkdir(parents=True)
            return OwnMounts(f'mount -t tmpfs -o size={SMALL_DISK_MB}m none "$1"', str(folder / "state"))
        self.set_hosts("127.0.0.1 localhost broker.plant.test")
        return OwnMounts('mount --bind "$1" /etc/hosts', str(self._hosts_file))

    @property
    def _clock_file(self) -> Path:
        return self.folder / "clock"

    @property
    def _hosts_file(self) -> Path:
        return self.folder / "hosts"

    def set_clock(self, offset: str) -> None:
        """Move the daemon's wall clock, such as ``+3600``; it notices within a second."""
        self._clock_file.write_text(offset + "\n")

    def set_hosts(self, text: str) -> None:
        """Write the daemon's hosts file."""
        with self._hosts_file.open("w") as file:  # the same file: a mount holds on to it
            file.write(text + "\n")

    def suits(self, scene: Scene, lasting: Iterable[str]) -> bool:
        """Whether a fault of a scene can be seen here: what it leaves in health is not there yet."""
        return self.scene == scene and self.complaints().isdisjoint(lasting)

    def reload_broker(self) -> None:
        """Let the broker read its certificates, users and rights again."""
        process = self.broker._process
        assert process is not None
        process.send_signal(signal.SIGHUP)

    def send_probe(self) -> str:
        """Show a part whose verdict is "ok"; gives its name."""
        self._n_probes += 1
        name = f"probe-{self._n_probes}"
        self.publisher.show(name, OK_PICTURE)
        return name

    def is_ok(self, part: str) -> bool:
        """Whether a part's verdict is "ok"."""
        return any(verdict["verdict"] == "ok" for verdict in self.consumer.verdicts().get(part, ()))

    def n_alerts(self) -> int:
        """Alert events that the consumer has."""
        return sum(len(numbers) for (_, series), numbers in list(self.consumer.order.items()) if series == "alert")

    def n_dropped(self, reason: str) -> float:
        """Inputs dropped for a reason, of all sources; 0 while nobody answers."""
        return sum(count for (_, word), count in self.daemon.drops().items() if word == reason)

    def complaints(self) -> set[str]:
        """Reasons in health, over HTTP and as the broker keeps it."""
        kept = json.loads(self.consumer.retained.get("health", b'{"reasons": ["nothing said"]}'))
        return {*self.daemon.health().get("reasons", ["/health"]), *kept["reasons"]}

    def excuse(self, begin: float, end: float) -> None:
        """Owe nothing to the parts of a time (monotonic, s) in which something else forgot them."""
        self.excused |= {part for part, at in list(self.publisher.taken.items()) if begin <= at <= end}

    def wait_until_gone(self) -> None:
        """Wait until the daemon that was killed has gone."""
        assert self.daemon.process is not None
        self.daemon.process.wait(timeout=10)

    def worker(self) -> int:
        """The worker's process id."""
        until(self.daemon.worker_pid, "there is a worker")
        pid = self.daemon.worker_pid()
        assert pid is not None
        return pid

    def launcher(self) -> int:
        """The launcher's process id."""
        (launcher,) = psutil.Process(self.daemon.pid).children()
        return int(launcher.pid)
