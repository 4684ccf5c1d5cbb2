"""A plant in which everything can be made to fail: broker, link, disk, processes, clock, inputs.

The daemon is the real command, watched by a small service manager that starts it again when it ends, as systemd does.
Its link runs through the fault proxy, its disk and memory through the preloaded library. Publisher and consumer speak
to the broker directly: they are the yardstick, not the thing under test.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import psutil

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from tests.bundles import TRUSTED
from tests.faultlab.gateway import LabDaemon
from tests.faultlab.load import LabConsumer, LabPublisher, Load
from tests.faultlab.meddler import Meddler, can_compile
from tests.faultlab.proxy import FaultProxy
from tests.faultlab.scene import LAB_SOURCES, TRAP, Scene
from tests.faultlab.surroundings import OwnMounts, faketime_library
from tests.integration.certificates import Certificates, make_certificates
from tests.integration.daemon_rig import require_mosquitto, until
from tests.integration.hanging_bundle import hanging_bundle
from tests.integration.mosquitto import Mosquitto, free_port

#: The shortest keepalive there is, so that silence is noticed within the bound of ten seconds.
KEEPALIVE_S = 5
OK_PICTURE = 4
#: More than the 100 MB below which health complains.
SMALL_DISK_MB = 160


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
        sources = LAB_SOURCES + (TRAP if scene.trap else "")
        daemon = LabDaemon(folder, self.proxy.port, sources, broker=broker, settings=scene.settings)
        if scene.trap:
            BundleStore(folder / "bundles").install(read_bundle(hanging_bundle(), TRUSTED), activate=True)
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
