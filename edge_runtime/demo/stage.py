"""Sets the demo up and takes it down: broker, daemon and simulator, each a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.bundle.store import BundleStore
from edge_runtime.demo.released import released_bundle, released_key
from edge_runtime.errors import HostEnvironmentError
from edge_runtime.inference.loading import install_bundle
from edge_runtime.simulator.line import LineSettings
from edge_runtime.simulator.machines import CHANNELS, RATE_HZ, UNITS

MODELS = ("surface-defect", "machine-failure")
GATEWAY = "demo"
_BROKER_S = 20.0


def free_port() -> int:
    """Find a TCP port that nobody uses on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(folder: Path, line: LineSettings, *, broker_port: int, http_port: int) -> Path:
    """Write the gateway's configuration for a line.

    Returns
    -------
    path : Path
        ``gateway.toml``, to be read by whoever wants to know how it is done.
    """
    words = [f'[gateway]\nid = "{GATEWAY}"\nstate_dir = "state"\n']
    words.append(f'[broker]\nport = {broker_port}\nprotocol = "3.1.1"\n')
    words.append(f'[http]\nport = {http_port}\n[bundles]\nstore = "bundles"\n')
    words.append("[alarms]\nflood_n = 0  # machines live for seconds here")
    words += [
        f'[[camera]]\nid = "{camera}"\ntopic = "{line.topic}/cam/{camera}/frame"\nformat = "jpeg"\nqos = 1\n'
        for camera in line.cameras
    ]
    for asset in line.assets:
        words.append(f'[[sensor]]\nid = "{asset}"\ntopics = ["{line.topic}/sensor/{asset}/telemetry"]')
        words.append(f'format = "f32"\nrate_hz = {RATE_HZ}')
        words += [
            f'[[sensor.channel]]\nname = "{name}"\nunit = "{unit}"' for name, unit in zip(CHANNELS, UNITS, strict=True)
        ]
    words.append('\n[[pipeline]]\nid = "surface"\nkind = "inspection"\nbundle = "surface-defect"')
    words.append(f"cameras = {list(line.cameras)}\ndeadline_ms = 1000\nresult_every = 10")
    words.append('[[pipeline.rule]]\nlabel = "*"\nseverity = "medium"')
    words.append('\n[[pipeline]]\nid = "machines"\nkind = "monitor"\nbundle = "machine-failure"')
    words.append(f"sensors = {list(line.assets)}\nresult_every = 10")
    words.append('[[pipeline.rule]]\nlabel = "*"\nn = 4\nm = 5\nclear_after = 5\nseverity = "high"')
    path = folder / "gateway.toml"
    path.write_text("\n".join(words).replace("'", '"') + "\n")
    return path


@dataclass(slots=True)
class Stage:
    """The processes of one demo.

    Attributes
    ----------
    folder : Path
        Everything that is written lies here.
    line : LineSettings
        The factory.
    broker_port, http_port : int
        Free ports.
    """

    folder: Path
    line: LineSettings
    broker_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start_broker(self) -> None:
        """Start the embedded broker and wait until it listens."""
        self._start("broker", ["-m", "edge_runtime.demo.broker", str(self.broker_port)])
        until = time.monotonic() + _BROKER_S
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.broker_port), timeout=1):
                return
            time.sleep(0.05)
        raise HostEnvironmentError(f"the embedded broker did not start; see {self.folder / 'broker.log'}")

    def install_models(self) -> None:
        """Trust the project's key and install its two models as a plant would: verified and probed."""
        store = BundleStore(self.folder / "bundles")
        store.trust.add(released_key())
        for name in MODELS:
            install_bundle(released_bundle(name), store)

    def start_daemon(self) -> None:
        """Start the daemon."""
        path = write_config(self.folder, self.line, broker_port=self.broker_port, http_port=self.http_port)
        self._start("daemon", ["-m", "edge_runtime.cli", "run", str(path)])

    def start_line(self, duration_s: float) -> None:
        """Start the simulated line."""
        words = ["simulate", "--port", self.broker_port, "--protocol", "3.1.1", "--duration", duration_s]
        words += ["--seed", self.line.seed, "--cameras", self.line.n_cameras, "--machines", self.line.n_machines]
        words += ["--parts-per-s", self.line.parts_per_s, "--defect-share", self.line.defect_share]
        words += ["--failing-share", self.line.failing_share, "--difficulty", self.line.difficulty]
        self._start("line", ["-m", "edge_runtime.cli", *map(str, words)])

    def is_over(self, name: str) -> bool:
        """Whether a process has ended; one that failed is told with the end of its log."""
        status = self._processes[name].poll()
        if status not in {None, 0}:
            log = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
            raise HostEnvironmentError(f"the {name} process ended with status {status}:\n{log}")
        return status is not None

    def metrics(self) -> dict[str, float]:
        """Read the daemon's Prometheus page: value by name with labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/metrics", timeout=5) as page:
            lines = page.read().decode().splitlines()
        found = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in found}

    def stop(self, name: str) -> None:
        """End a process as a plant would, and wait for it."""
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def committed_events(self) -> set[str]:
        """Read from the stopped daemon's outbox which events it promised."""
        database = sqlite3.connect(self.folder / "state" / "outbox.sqlite")
        try:
            return {row[0] for row in database.execute("SELECT event_id FROM event WHERE series != ''")}
        finally:
            database.close()

    def close(self) -> None:
        """End whatever still runs."""
        for name in ("line", "daemon", "broker"):
            self.stop(name)

    def _start(self, name: str, arguments: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
