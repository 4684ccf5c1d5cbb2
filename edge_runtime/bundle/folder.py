"""The folder of the bundle store: where its files are, one writer at a time, and the ledger that names them."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.bundle.durable import TEMPORARY_SUFFIX, Disk, replace_durably
from edge_runtime.bundle.ledger import Ledger, StoredRelease, decode_ledger, empty_ledger
from edge_runtime.bundle.manifest import canonical_json
from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES, read_unverified
from edge_runtime.errors import BundleError, HostEnvironmentError, StoreBusyError

logger = logging.getLogger(__name__)

MAX_LEDGER_BYTES = 4 << 20


class StoreFolder:
    """Files of a store. Every change is written beside, synced and renamed into place.

    Parameters
    ----------
    root : Path
        The folder; it is made when something is first written.
    disk : Disk
        Writes the files; another one in tests.
    wait : bool
        Whether a change waits for another program that holds the store, or is refused.
    """

    def __init__(self, root: Path, disk: Disk, *, wait: bool = True) -> None:
        self.root = root
        self._lock = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        self._disk = disk

    @property
    def bundles(self) -> Path:
        """Bundle files, ``<sha256>.edgebundle``."""
        return self.root / "bundles"

    @property
    def exact(self) -> Path:
        """Recorded golden outputs, ``<sha256>.npz``."""
        return self.root / "exact"

    @property
    def trust(self) -> Path:
        """Trusted public keys, ``<key id>.pem``."""
        return self.root / "trust"

    def bundle_path(self, sha256: str) -> Path:
        """Give the place of a bundle file.

        Parameters
        ----------
        sha256 : str
            Its digest.

        Returns
        -------
        path : Path
            It need not exist.
        """
        return self.bundles / f"{sha256}.edgebundle"

    def exact_path(self, sha256: str) -> Path:
        """Give the place of recorded outputs.

        Parameters
        ----------
        sha256 : str
            The digest of their file.

        Returns
        -------
        path : Path
            It need not exist.
        """
        return self.exact / f"{sha256}.npz"

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the store's lock, and finish or forget what a killed process left.

        Raises
        ------
        StoreBusyError
            If another program holds it, and this one does not wait.
        HostEnvironmentError
            If the disk refuses, with its reason.
        """
        try:
            for folder in (self.bundles, self.exact, self.trust):
                folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                self._take(lock)
                for path in sorted(self.root.rglob(f"*{TEMPORARY_SUFFIX}")):
                    self.remove(path)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            reason = error.strerror or str(error)
            raise HostEnvironmentError(f"{self.root}: the bundle store cannot be written: {reason}") from error

    def _take(self, lock: int) -> None:
        """Take the lock."""
        try:
            fcntl.flock(lock, self._lock)
        except BlockingIOError as error:
            raise StoreBusyError(f"{self.root}: another program works in the bundle store; try again") from error

    def write(self, path: Path, data: bytes) -> None:
        """Put a file in place, atomically and durably; call with the lock held.

        Parameters
        ----------
        path : Path
            The file.
        data : bytes
            Its new content.

        Raises
        ------
        OSError
            If the disk refuses; the old content is still there.
        """
        replace_durably(self._disk, path, data)

    def remove(self, path: Path) -> None:
        """Remove a file for good; call with the lock held.

        Parameters
        ----------
        path : Path
            The file; it may be gone already.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        self._disk.remove(path)
        self._disk.sync_folder(path.parent)

    def read_ledger(self) -> Ledger:
        """Read the ledger; where it was lost, build one without an active bundle from the stored files.

        Returns
        -------
        ledger : Ledger
            Empty for a new store.

        Raises
        ------
        HostEnvironmentError
            If it is damaged or cannot be read.
        """
        path = self.root / "ledger.json"
        if not path.exists():
            return self._recover()
        try:
            return decode_ledger(read_limited(path, MAX_LEDGER_BYTES))
        except ValueError as error:
            raise HostEnvironmentError(
                f"{path}: damaged ({error}); remove it: the releases are then found again from the stored bundles;"
                ' choose the one to run with "edge-runtime bundle rollback NAME --release N"'
            ) from error

    def save_ledger(self, ledger: Ledger) -> None:
        """Put a new ledger in place; call with the lock held.

        Parameters
        ----------
        ledger : Ledger
            What is remembered from now on.

        Raises
        ------
        OSError
            If the disk refuses; the old ledger is still there.
        """
        self.write(self.root / "ledger.json", canonical_json(ledger))

    def _recover(self) -> Ledger:
        """Find the releases again from the bundle files; which was active is not known."""
        ledger = empty_ledger()
        for path in sorted(self.bundles.glob("*.edgebundle")):
            try:
                bundle = read_unverified(read_limited(path, MAX_BUNDLE_BYTES))
            except BundleError as error:
                logger.warning('event=stored_bundle_unreadable path="%s" reason="%s"', path, error)
                continue
            stored = StoredRelease(
                release=bundle.manifest.release,
                version=bundle.manifest.version,
                sha256=bundle.digest,
                size_bytes=len(bundle.data),
                key_id=bundle.key_id,
                installed_ms=int(path.stat().st_mtime * 1000),
            )
            name = bundle.manifest.name
            ledger = ledger.with_entry(name, ledger.entry(name).with_release(stored))
        return ledger


def read_limited(path: Path, limit: int) -> bytes:
    """Read a file that may not be larger than ``limit``.

    Parameters
    ----------
    path : Path
        The file.
    limit : int
        Bytes.

    Returns
    -------
    data : bytes
        Its content.

    Raises
    ------
    HostEnvironmentError
        If it cannot be read or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise HostEnvironmentError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise HostEnvironmentError(f"{path}: larger than the {limit} bytes that are allowed")
    return data
