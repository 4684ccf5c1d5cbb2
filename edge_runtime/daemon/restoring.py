"""A backup put back into place. What is there already is moved aside, never deleted, and only with consent.

A step that fails undoes those before it. For a process that is killed in between a mark is left, by which the daemon
refuses to start with half a state.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle.durable import Disk
from edge_runtime.bundle.folder import StoreFolder
from edge_runtime.config import Config, load_config, parse_config
from edge_runtime.daemon.archive import CONFIG, OUTBOX, Archive, open_archive
from edge_runtime.daemon.outbox_schema import SCHEMA_VERSION, find_foreign, rename_durably
from edge_runtime.daemon.state import UNFINISHED, claim_state_dir
from edge_runtime.errors import ConfigError, HostEnvironmentError

_BUNDLES = "bundles/"
_NEW_CONFIG = "new.toml"
_KEPT_BY_STORE = ("bundles", "exact", "trust", "ledger.json")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back.

    Attributes
    ----------
    gateway : str
        Whose it is.
    n_unsent : int
        Events that will be sent; those that were sent since the backup come again with the same ``event_id``.
    n_bundles : int
        Installed models.
    replaced : Path or None
        Where lies what was there before.
    config_written : bool
        Whether the configuration came from the backup; False where there was one, which stays.
    """

    gateway: str
    n_unsent: int
    n_bundles: int
    replaced: Path | None
    config_written: bool

    def as_json(self) -> dict[str, object]:
        """Give it for machines."""
        return {
            "gateway": self.gateway,
            "unsent_events": self.n_unsent,
            "bundles": self.n_bundles,
            "replaced": None if self.replaced is None else str(self.replaced),
            "config_written": self.config_written,
        }


def restore(backup: Path, config_path: Path, *, force: bool = False) -> Restored:
    """Put a backup back for the gateway of a configuration, whose daemon does not run.

    Parameters
    ----------
    backup : Path
        As ``back_up`` wrote it.
    config_path : Path
        Says where state and bundles lie. Where there is none, the one in the backup is written there.
    force : bool
        Whether state that is there may be moved aside.

    Raises
    ------
    ConfigError
        If the configuration has faults.
    HostEnvironmentError
        If the backup is refused, a daemon runs, state is there and ``force`` is not given, or the disk refuses.
    """
    try:
        with open_archive(backup) as archive:
            return _restore(archive, config_path, force=force)
    except OSError as error:
        raise HostEnvironmentError(f"the backup cannot be put back: {error}") from error


def _restore(archive: Archive, config_path: Path, *, force: bool) -> Restored:
    text = archive.read(CONFIG)
    written = not config_path.exists()
    config = parse_config(text, path=str(config_path)) if written else load_config(config_path)
    contents = archive.contents
    if contents.gateway != config.gateway.id:
        fault = f'$.gateway.id: is "{config.gateway.id}", the backup is of "{contents.gateway}"'
        raise ConfigError(str(config_path), [fault])
    if contents.outbox_schema > SCHEMA_VERSION:
        raise HostEnvironmentError(
            f"the backup was written by edge-runtime {contents.edge_runtime}, whose outbox this release cannot read;"
            " upgrade first"
        )
    config_path.parent.mkdir(parents=True, exist_ok=True)
    state = claim_state_dir(Path(config.gateway.state_dir))
    try:
        staged = state.folder / ".restore"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir(mode=0o750)
        try:
            n_unsent = _stage(archive, staged)
            if written:
                (staged / _NEW_CONFIG).write_bytes(text)
            replaced = _put(config, state.folder, staged, config_path, force=force)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    finally:
        state.release()
    n_bundles = sum(name.endswith(".edgebundle") for name in contents.files)
    return Restored(contents.gateway, n_unsent, n_bundles, replaced, written)


def _stage(archive: Archive, staged: Path) -> int:
    """Write everything beside, digests compared; gives how many events are unsent."""
    for name in archive.contents.files:
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        archive.extract(name, target)
    try:
        with closing(sqlite3.connect(staged / OUTBOX)) as database:
            (schema,) = database.execute("PRAGMA user_version").fetchone()
            listed = archive.contents.outbox_schema
            if schema != listed:
                raise HostEnvironmentError(
                    f"the backup holds no outbox that can be read: it has schema {schema}, the list says {listed}"
                )
            foreign = find_foreign(database)
            if foreign:
                raise HostEnvironmentError(
                    f"the backup is refused: its outbox holds what is not this release's: {foreign}"
                )
            (found,) = database.execute("PRAGMA integrity_check(1)").fetchone()
            (n_unsent,) = database.execute("SELECT count(*) FROM event WHERE acked_ms IS NULL").fetchone()
    except sqlite3.Error as error:
        raise HostEnvironmentError(f"the backup holds no outbox that can be read: {error}") from error
    if found != "ok":
        raise HostEnvironmentError(f"the backup holds a damaged outbox: {found}")
    return int(n_unsent)


def _put(config: Config, state: Path, staged: Path, config_path: Path, *, force: bool) -> Path | None:
    """Move what is there aside, and the backup's files into place, the outbox last; all of it or nothing."""
    store = Path(config.bundles.store)
    old = {state / f"outbox.sqlite{ending}" for ending in ("", "-wal", "-shm", ".mended")}
    old |= {store / name for name in _KEPT_BY_STORE}
    present = sorted(path for path in old if path.exists() and not _is_bare(path))
    mark = state / UNFINISHED
    unfinished = mark.exists()
    if (present or unfinished) and not force:
        raise HostEnvironmentError(
            f"{[*present, mark][0]}: there is state already; stop and think, then repeat with --force, which moves it"
            " aside"
        )
    with StoreFolder(store, Disk()).changing():
        folder = _new_folder(state)
        with ExitStack() as undo:  # whatever ends this before the last step undoes all steps before it
            if not unfinished:
                undo.callback(mark.unlink, missing_ok=True)
            _write_mark(mark, folder, store / folder.name, undo)
            for path in present:
                _move_aside(path, folder / ("state" if path.parent == state else "bundles"), folder.name, undo)
            for name in _KEPT_BY_STORE:
                _place(staged / _BUNDLES / name, store / name, undo)
            _place(staged / _NEW_CONFIG, config_path, undo)
            _place(staged / OUTBOX, state / "outbox.sqlite", undo)
            undo.pop_all()
    mark.unlink()
    return folder if present else None


def _is_bare(path: Path) -> bool:
    """Whether a folder holds nothing: there is nothing to lose in it."""
    return path.is_dir() and not any(path.iterdir())


def _new_folder(state: Path) -> Path:
    """Name a new folder for what was there before."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    number, folder = 1, state / f"replaced-{stamp}"
    while folder.exists():
        number += 1
        folder = state / f"replaced-{stamp}.{number}"
    return folder


def _write_mark(mark: Path, folder: Path, elsewhere: Path, undo: ExitStack) -> None:
    """Say for a process that is killed where everything is; a mark that is there names an older folder and stays."""
    earlier = f" Before: {mark.read_text(errors='replace')[:1000]}" if mark.exists() else ""
    words = (
        f"a restore was not finished; what was there before lies in {folder} (bundles of another file system in"
        f" {elsewhere}). Repeat the restore with --force, or move that back and remove this file.{earlier}\n"
    )
    beside = mark.with_name(f"{mark.name}.new")
    undo.callback(_remove, beside)
    with beside.open("w") as file:
        file.write(words)
        file.flush()
        os.fsync(file.fileno())
    rename_durably(beside, mark)


def _move_aside(path: Path, folder: Path, name: str, undo: ExitStack) -> None:
    """Rename what is there into a folder of the state folder or, on another file system, beside."""
    target = _made(folder, undo) / path.name
    try:
        rename_durably(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        target = _made(path.parent / name, undo) / path.name
        rename_durably(path, target)
    undo.callback(rename_durably, target, path)


def _made(folder: Path, undo: ExitStack) -> Path:
    """Make a folder, which goes again when everything is undone."""
    for each in (folder.parent, folder):
        if not each.exists():
            each.mkdir(parents=True, mode=0o750)
            undo.callback(each.rmdir)
    return folder


def _place(source: Path, target: Path, undo: ExitStack) -> None:
    """Move a file or folder to where nothing is; across file systems it is copied and then renamed."""
    if not source.exists():
        return
    if target.is_dir():
        target.rmdir()
        undo.callback(target.mkdir)
    beside = target.with_name(f"{target.name}.restored")
    _remove(beside)
    undo.callback(_remove, beside)
    shutil.move(source, beside)
    undo.callback(_remove, target)
    rename_durably(beside, target)


def _remove(path: Path) -> None:
    """Remove a file or folder that was put there by this restore, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
