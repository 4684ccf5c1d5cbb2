"""The bundles on a gateway: installed atomically, one active per name, never back to an older release unasked.

Every change is written beside, synced and renamed into place, bundle files before the ledger that names them, so that
a process killed at any point leaves the old or the new state. A lock file keeps two processes apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.bundle.durable import Disk
from edge_runtime.bundle.folder import StoreFolder, read_limited
from edge_runtime.bundle.garbage import collect_garbage
from edge_runtime.bundle.ledger import NameEntry, StoredRelease
from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES, Bundle, read_bundle
from edge_runtime.bundle.recorded import RecordedSets
from edge_runtime.bundle.trust import TrustStore
from edge_runtime.errors import BundleError, BundleFormatError, BundleRollbackError, HostEnvironmentError


@dataclass(frozen=True, slots=True)
class StoredBundle:
    """One line of ``BundleStore.list``.

    Attributes
    ----------
    name : str
        Name of the bundle.
    stored : StoredRelease
        Release, version, digest, size, signer and time of installation.
    active : bool
        True for the one that runs.
    present : bool
        False when its file was removed to save room.
    """

    name: str
    stored: StoredRelease
    active: bool
    present: bool


class BundleStore:
    """The bundles, trusted keys and recorded golden sets under one folder.

    Parameters
    ----------
    root : Path
        The folder; it is made when something is first written.
    keep_per_name : int
        Files kept per name besides the active and the previous one.
    max_total_bytes : int
        Files beyond it are removed, oldest release first, never an active or previous one.
    disk : Disk
        Writes the files; another one in tests.
    clock : callable
        Wall clock, s since the epoch.
    wait : bool
        Whether a change waits for another program that works in the store; else it raises ``StoreBusyError``.

    Attributes
    ----------
    trust : TrustStore
        The keys whose bundles are accepted.
    recorded : RecordedSets
        Golden outputs that this gateway recorded.
    """

    def __init__(
        self,
        root: Path,
        *,
        keep_per_name: int = 2,
        max_total_bytes: int = 256 << 20,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
        wait: bool = True,
    ) -> None:
        self._folder = StoreFolder(root, Disk() if disk is None else disk, wait=wait)
        self._keep_per_name = keep_per_name
        self._max_total_bytes = max_total_bytes
        self._clock = clock
        self.trust = TrustStore(self._folder)
        self.recorded = RecordedSets(self._folder)

    @property
    def root(self) -> Path:
        """The folder."""
        return self._folder.root

    def list(self) -> tuple[StoredBundle, ...]:
        """Give every release that was installed, by name and release.

        Returns
        -------
        bundles : tuple of StoredBundle
            Names and releases ascending.
        """
        ledger = self._folder.read_ledger()
        return tuple(
            StoredBundle(name, stored, stored.sha256 == entry.active, self._folder.bundle_path(stored.sha256).is_file())
            for name, entry in sorted(ledger.bundles.items())
            for stored in entry.releases
        )

    def active(self, name: str) -> StoredRelease | None:
        """Give the release of a name that runs.

        Parameters
        ----------
        name : str
            Name of the bundle.

        Returns
        -------
        stored : StoredRelease or None
            None where nothing was activated.
        """
        entry = self._entry(name)
        return None if entry.active is None else entry.find(sha256=entry.active)

    def load(self, name: str, *, release: int | None = None) -> Bundle:
        """Read a stored bundle, by default the active one, and verify it against the keys trusted today.

        Parameters
        ----------
        name : str
            Name of the bundle.
        release : int, optional
            Another than the active release.

        Returns
        -------
        bundle : Bundle
            Verified.

        Raises
        ------
        HostEnvironmentError
            If there is none, or its file is gone or unreadable.
        BundleError
            If the file is damaged or its signer is no longer trusted.
        """
        entry = self._entry(name)
        stored = entry.find(sha256=entry.active or "") if release is None else entry.find(release=release)
        if stored is None:
            what = "no active bundle" if release is None else f"no release {release}"
            raise HostEnvironmentError(
                f'{what} of "{name}" in {self.root}; install one with "edge-runtime bundle install FILE"'
            )
        path = self._folder.bundle_path(stored.sha256)
        bundle = read_bundle(read_limited(path, MAX_BUNDLE_BYTES), self.trust.keys())
        if bundle.digest != stored.sha256:
            raise BundleFormatError(f"{path}: another bundle than was installed; install it again")
        return bundle

    def require_release(self, bundle: Bundle, *, by_hand: bool = False) -> None:
        """Refuse a bundle that is older than what was ever installed under its name.

        Parameters
        ----------
        bundle : Bundle
            The candidate.
        by_hand : bool
            A person asks: a release that was installed before is accepted.

        Raises
        ------
        BundleRollbackError
            If it is older, or has the release number of other bytes that were installed.
        """
        manifest = bundle.manifest
        entry = self._entry(manifest.name)
        same = entry.find(sha256=bundle.digest)
        if manifest.release < entry.highest_release and not (by_hand and same is not None):
            advice = (
                "give a new bundle a higher release number"
                if same is None
                else f'it was here before: go back with "edge-runtime bundle rollback {manifest.name} --release'
                f' {manifest.release}"'
            )
            raise BundleRollbackError(
                f'"{manifest.name}" release {manifest.release} is older than release {entry.highest_release}, which was'
                f" installed here; {advice}"
            )
        other = entry.find(release=manifest.release)
        if same is None and other is not None:
            raise BundleRollbackError(
                f'"{manifest.name}" release {manifest.release} is installed with other content'
                f" ({other.sha256[:12]}, this is {bundle.digest[:12]}); give the new bundle a higher release number"
            )

    def install(self, bundle: Bundle, *, activate: bool = False, by_hand: bool = False) -> StoredRelease:
        """Store a verified bundle, and switch to it when asked. Probe it first: see ``inference.loading``.

        Parameters
        ----------
        bundle : Bundle
            From ``read_bundle``.
        activate : bool
            Switch to it in the same step.
        by_hand : bool
            As in ``require_release``.

        Returns
        -------
        stored : StoredRelease
            Its entry.

        Raises
        ------
        BundleError
            If the bundle was not verified.
        BundleRollbackError
            As ``require_release``.
        HostEnvironmentError
            If the disk refuses.
        """
        if not bundle.verified:
            raise BundleError("the bundle was read without verification; read it with the trusted keys")
        manifest = bundle.manifest
        stored = StoredRelease(
            release=manifest.release,
            version=manifest.version,
            sha256=bundle.digest,
            size_bytes=len(bundle.data),
            key_id=bundle.key_id,
            installed_ms=int(self._clock() * 1000),
        )
        with self._folder.changing():
            self.require_release(bundle, by_hand=by_hand)
            self._folder.write(self._folder.bundle_path(bundle.digest), bundle.data)
            ledger = self._folder.read_ledger()
            entry = ledger.entry(manifest.name).with_release(stored)
            self._folder.save_ledger(
                ledger.with_entry(manifest.name, entry.with_active(bundle.digest) if activate else entry)
            )
            collect_garbage(self._folder, keep_per_name=self._keep_per_name, max_total_bytes=self._max_total_bytes)
        return stored

    def activate(self, name: str, release: int) -> StoredRelease:
        """Switch to a stored release in one step; the one before stays stored.

        Parameters
        ----------
        name : str
            Name of the bundle.
        release : int
            A release in the store.

        Returns
        -------
        stored : StoredRelease
            Its entry.

        Raises
        ------
        BundleRollbackError
            If that release was never installed here, or its file was removed since.
        """
        with self._folder.changing():
            ledger = self._folder.read_ledger()
            entry = ledger.entry(name)
            stored = self._require_stored(name, release, entry)
            self._folder.save_ledger(ledger.with_entry(name, entry.with_active(stored.sha256)))
        return stored

    def require_writable(self) -> None:
        """Write the ledger as it is, so that a disk that refuses is known before anything depends on it.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses.
        """
        with self._folder.changing():
            self._folder.save_ledger(self._folder.read_ledger())

    def rollback(self, name: str, release: int | None = None) -> StoredRelease:
        """Go back by hand to a release that was installed before, by default the one that ran before this.

        Parameters
        ----------
        name : str
            Name of the bundle.
        release : int, optional
            Which.

        Returns
        -------
        stored : StoredRelease
            What is active now.

        Raises
        ------
        BundleRollbackError
            If there is no such release in the store.
        BundleError
            If its file is damaged or its signer is no longer trusted.
        """
        bundle = self.load_earlier(name, release)
        return self.activate(name, bundle.manifest.release)

    def load_earlier(self, name: str, release: int | None = None) -> Bundle:
        """Read the bundle that a rollback would go to, and verify it against the keys trusted today.

        Parameters
        ----------
        name : str
            Name of the bundle.
        release : int, optional
            Which; by default the one that ran before this.

        Returns
        -------
        bundle : Bundle
            Verified.

        Raises
        ------
        BundleRollbackError
            If that release was never installed here, or its file was removed since.
        BundleError
            If its file is damaged or its signer is no longer trusted.
        """
        entry = self._entry(name)
        if release is None:
            before = entry.find(sha256=entry.previous or "")
            if before is None:
                raise BundleRollbackError(f'"{name}" has no previous release; name one with --release')
            release = before.release
        self._require_stored(name, release, entry)
        return self.load(name, release=release)

    def _require_stored(self, name: str, release: int, entry: NameEntry) -> StoredRelease:
        """Give the entry of a release whose file is here."""
        stored = entry.find(release=release)
        if stored is None:
            known = ", ".join(str(each.release) for each in entry.releases) or "none"
            raise BundleRollbackError(f'"{name}" release {release} was never installed here (installed: {known})')
        if not self._folder.bundle_path(stored.sha256).is_file():
            raise BundleRollbackError(
                f'"{name}" release {release} was removed to save room; give its file again with "edge-runtime bundle'
                ' rollback --file FILE"'
            )
        return stored

    def _entry(self, name: str) -> NameEntry:
        return self._folder.read_ledger().entry(name)
