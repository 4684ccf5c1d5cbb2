"""Backup of a gateway, also while its daemon runs: outbox, bundles, trusted keys, recorded answers, configuration.

No secret is in it: the configuration only names the files of passwords and keys, and those stay where they are.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from edge_runtime import __version__
from edge_runtime.bundle.signature import parse_public_key
from edge_runtime.config import load_config
from edge_runtime.daemon.archive import CONFIG, OUTBOX, Contents, limit_of, measure, write_archive
from edge_runtime.daemon.state import require_finished
from edge_runtime.errors import HostEnvironmentError, UsageError


@dataclass(frozen=True, slots=True)
class BackedUp:
    """What a backup holds.

    Attributes
    ----------
    path : Path
        The file.
    contents : Contents
        Its list.
    n_unsent : int
        Events in it that the broker lacked.
    """

    path: Path
    contents: Contents
    n_unsent: int

    def as_json(self) -> dict[str, object]:
        """Give it for machines."""
        return {
            "path": str(self.path),
            "gateway": self.contents.gateway,
            "bytes": self.path.stat().st_size,
            "files": len(self.contents.files),
            "unsent_events": self.n_unsent,
            "last_committed_lasting_ms": self.contents.last_committed_lasting_ms,
        }


def back_up(config_path: Path, target: Path) -> BackedUp:
    """Write a backup.

    The outbox is copied as it was at one moment; the daemon goes on meanwhile.

    Parameters
    ----------
    config_path : Path
        The gateway's configuration.
    target : Path
        The file to write; it must not exist.

    Raises
    ------
    ConfigError
        If the configuration has faults.
    HostEnvironmentError
        If there is no outbox, it is damaged, or something cannot be read or written.
    """
    config = load_config(config_path)
    if target.exists():
        raise HostEnvironmentError(f"{target}: exists already; name another file, or remove it")
    require_finished(Path(config.gateway.state_dir))
    part = target.with_name(f"{target.name}.part")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=target.absolute().parent) as folder:
            copy = Path(folder) / "outbox.sqlite"
            schema, last_ms, n_unsent = _copy_outbox(Path(config.gateway.state_dir) / "outbox.sqlite", copy)
            with _opened(Path(config.bundles.store)) as bundles:
                sources = {CONFIG: config_path, OUTBOX: copy, **bundles}
                contents = Contents(
                    gateway=config.gateway.id,
                    edge_runtime=__version__,
                    outbox_schema=schema,
                    last_committed_lasting_ms=last_ms,
                    files={name: measure(path) for name, path in sources.items()},
                )
                part.unlink(missing_ok=True)
                write_archive(part, contents, sources)
            part.rename(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise HostEnvironmentError(f"{target}: the backup cannot be written: {error}") from error
    return BackedUp(target, contents, n_unsent)


def _copy_outbox(path: Path, copy: Path) -> tuple[int, int | None, int]:
    """Copy the outbox in one read transaction; gives its schema, the time of its last event, and what is unsent."""
    if not path.exists():
        raise HostEnvironmentError(f"{path}: there is no outbox; the daemon of this configuration never ran")
    try:
        source = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        with closing(source), closing(sqlite3.connect(copy)) as database:
            source.backup(database)
            (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise HostEnvironmentError(f"{path}: damaged ({found}); restart the daemon, which mends it, first")
            (schema,) = database.execute("PRAGMA user_version").fetchone()
            query = "SELECT max(committed_ms), count(*) FILTER (WHERE acked_ms IS NULL) FROM event"
            last_ms, n_unsent = database.execute(query).fetchone()
            database.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise HostEnvironmentError(f"{path}: the outbox cannot be copied: {error}") from error
    return schema, last_ms, n_unsent


@contextmanager
def _opened(store: Path) -> Iterator[dict[str, Path]]:
    """Give the files of the bundle store by their names in a backup, as they are at one moment.

    The store's lock is held only while they are opened: the store replaces files and never writes into one, so that
    what is open stays as it is.
    """
    with ExitStack() as opened:
        sources = {}
        for path, file in _open_all(store, opened).items():
            source = Path(f"/proc/self/fd/{file.fileno()}")
            _require_public(path, source)
            sources[f"bundles/{path.relative_to(store).as_posix()}"] = source
        yield sources


def _open_all(store: Path, opened: ExitStack) -> dict[Path, BinaryIO]:
    """Open every file of the store that belongs into a backup, while nothing changes there."""
    lock_path = store / "lock"
    if not lock_path.exists():
        return {}
    lock = os.open(lock_path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        paths = [path for path in sorted(store.rglob("*")) if path.is_file() and not path.is_symlink()]
        wanted = [path for path in paths if limit_of(f"bundles/{path.relative_to(store).as_posix()}") is not None]
        return {path: opened.enter_context(path.open("rb")) for path in wanted}
    finally:
        os.close(lock)


def _require_public(path: Path, source: Path) -> None:
    """Refuse a private key that somebody put among the trusted ones."""
    if path.suffix == ".pem":
        try:
            parse_public_key(source.read_bytes(), str(path))
        except UsageError as error:
            raise HostEnvironmentError(f"{path}: no public key; remove it from the trusted keys: {error}") from error
