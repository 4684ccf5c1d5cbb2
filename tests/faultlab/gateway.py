"""The daemon of a plant under a small service manager, with what it is wrapped in."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.integration.daemon_rig import COMMAND, Daemon, until

_RESTART_S = 0.5
_LOOK_S = 0.05
_IDS = "SELECT event_id FROM event WHERE series != ''"
_READ_IDS = f"""
import sqlite3, sys
for (name,) in sqlite3.connect(f"file:{{sys.argv[1]}}?mode=ro", uri=True).execute({_IDS!r}):
    print(name)
"""
_DROPPED = re.compile(r'^edge_dropped_total\{reason="([^"]*)",source="([^"]*)"\} (\S+)$', re.MULTILINE)


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
