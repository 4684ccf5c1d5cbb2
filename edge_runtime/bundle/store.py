"""The bundles on a gateway: installed atomically, one active per name, never back to an older release unasked.

Every change is written beside, synced and renamed into place, bundle files before the ledger that names them, so that
a process killed at any point leaves the old or the new state. A lock file keeps two processes apart.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec.structs import replace

from edge_runtime.bundle.archive import ArchiveLimits
from edge_runtime.bundle.arrays import Array, pack_arrays, unpack_arrays
from edge_runtime.bundle.durable import TEMPORARY_SUFFIX, Disk, replace_durably
from edge_runtime.bundle.golden import take_outputs
from edge_runtime.bundle.ledger import ExactSet, Ledger, StoredRelease, decode_ledger
from edge_runtime.bundle.manifest import Manifest, canonical_json
from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES, Bundle, read_bundle, read_unverified
from edge_runtime.bundle.signature import TrustedKeys, key_id, parse_public_key, public_pem
from edge_runtime.errors import BundleError, BundleFormatError, BundleRollbackError, HostEnvironmentError, UsageError

logger = logging.getLogger(__name__)

MAX_LEDGER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Triple:
    """Engine, its version and the instruction set: what an exact golden set belongs to."""

    engine: str
    version: str
    instruction_set: str


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
    """

    def __init__(
        self,
        root: Path,
        *,
        keep_per_name: int = 2,
        max_total_bytes: int = 256 << 20,
        disk: Disk | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.root = root
        self._keep_per_name = keep_per_name
        self._max_total_bytes = max_total_bytes
        self._disk = Disk() if disk is None else disk
        self._clock = clock

    # Trusted keys -----------------------------------------------------------------------------------------------

    @property
    def trust_folder(self) -> Path:
        """Where the trusted public keys are, ``<key id>.pem`` each."""
        return self.root / "trust"

    def trusted(self) -> TrustedKeys:
        """Give the keys whose bundles are accepted.

        Returns
        -------
        trusted : TrustedKeys
            Empty when none was added.

        Raises
        ------
        HostEnvironmentError, UsageError
            If a key file cannot be read or is not a key.
        """
        return TrustedKeys.from_directory(self.trust_folder)

    def add_trust(self, pem: bytes, origin: str = "the key") -> str:
        """Accept bundles by this key from now on.

        Parameters
        ----------
        pem : bytes
            Ed25519 public key.
        origin : str
            Where it comes from, for messages.

        Returns
        -------
        key_id : str
            Its id.

        Raises
        ------
        UsageError
            If it is not an Ed25519 public key.
        HostEnvironmentError
            If it cannot be stored.
        """
        key = parse_public_key(pem, origin)
        with self._changing():
            self._write(self.trust_folder / f"{key_id(key)}.pem", public_pem(key))
        return key_id(key)

    def remove_trust(self, identifier: str) -> None:
        """Accept bundles by this key no longer; active bundles by it are refused at the next start.

        Parameters
        ----------
        identifier : str
            The key id.

        Raises
        ------
        UsageError
            If no such key is trusted.
        """
        known = self.trusted().key_ids
        if identifier not in known:
            raise UsageError(f"key {identifier} is not trusted here; trusted: {', '.join(known) or 'none'}")
        with self._changing():
            for path in sorted(self.trust_folder.glob("*.pem")):
                if TrustedKeys([parse_public_key(path.read_bytes(), str(path))]).key_ids == (identifier,):
                    self._remove(path)

    # Bundles ----------------------------------------------------------------------------------------------------

    def list(self) -> tuple[StoredBundle, ...]:
        """Give every release that was installed, by name and release.

        Returns
        -------
        bundles : tuple of StoredBundle
            Names and releases ascending.
        """
        ledger = self._ledger()
        return tuple(
            StoredBundle(name, stored, stored.sha256 == entry.active, self._bundle_path(stored.sha256).is_file())
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
        entry = self._ledger().entry(name)
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
        entry = self._ledger().entry(name)
        stored = entry.find(sha256=entry.active or "") if release is None else entry.find(release=release)
        if stored is None:
            what = "no active bundle" if release is None else f"no release {release}"
            raise HostEnvironmentError(
                f'{what} of "{name}" in {self.root}; install one with "edge-runtime bundle install FILE"'
            )
        path = self._bundle_path(stored.sha256)
        bundle = read_bundle(_read_file(path, MAX_BUNDLE_BYTES), self.trusted())
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
        entry = self._ledger().entry(manifest.name)
        same = entry.find(sha256=bundle.digest)
        if manifest.release < entry.highest_release and not (by_hand and same is not None):
            raise BundleRollbackError(
                f'"{manifest.name}" release {manifest.release} is older than release {entry.highest_release}, which'
                f' was installed here; to go back to a release that was installed before, use "edge-runtime bundle'
                f' rollback {manifest.name} --release {manifest.release}"'
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
        with self._changing():
            self.require_release(bundle, by_hand=by_hand)
            self._write(self._bundle_path(bundle.digest), bundle.data)
            ledger = self._ledger()
            entry = ledger.entry(manifest.name).with_release(stored)
            self._save(ledger.with_entry(manifest.name, entry.with_active(bundle.digest) if activate else entry))
            self._collect_garbage()
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
        with self._changing():
            ledger = self._ledger()
            entry = ledger.entry(name)
            stored = entry.find(release=release)
            if stored is None:
                known = ", ".join(str(each.release) for each in entry.releases) or "none"
                raise BundleRollbackError(f'"{name}" release {release} was never installed here (installed: {known})')
            if not self._bundle_path(stored.sha256).is_file():
                raise BundleRollbackError(
                    f'"{name}" release {release} was removed to save room; give its file again with "edge-runtime'
                    ' bundle rollback --file FILE"'
                )
            self._save(ledger.with_entry(name, entry.with_active(stored.sha256)))
        return stored

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
        if release is None:
            entry = self._ledger().entry(name)
            before = entry.find(sha256=entry.previous or "")
            if before is None:
                raise BundleRollbackError(f'"{name}" has no previous release; name one with --release')
            release = before.release
        if self._ledger().entry(name).find(release=release) is not None:
            self.load(name, release=release)
        return self.activate(name, release)

    # Recorded golden sets ---------------------------------------------------------------------------------------

    def record_exact(self, bundle_sha256: str, triple: Triple, outputs: Sequence[Array]) -> None:
        """Keep what a bundle answered here, for later starts to equal.

        Parameters
        ----------
        bundle_sha256 : str
            Digest of the bundle.
        triple : Triple
            What the outputs belong to; an earlier set of the same triple is replaced.
        outputs : sequence of arrays
            One per output, samples on axis 0.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses.
        """
        data = pack_arrays({f"output_{index}": array for index, array in enumerate(outputs)})
        record = ExactSet(
            bundle_sha256=bundle_sha256,
            engine=triple.engine,
            version=triple.version,
            instruction_set=triple.instruction_set,
            sha256=hashlib.sha256(data).hexdigest(),
        )
        with self._changing():
            self._write(self._exact_path(record.sha256), data)
            ledger = self._ledger()
            others = tuple(each for each in ledger.exact if not _same_place(each, bundle_sha256, triple))
            self._save(replace(ledger, exact=(*others, record)))
            self._collect_garbage()

    def exact_sets(self, manifest: Manifest, bundle_sha256: str) -> dict[Triple, tuple[Array, ...]]:
        """Give what a bundle answered here before.

        Parameters
        ----------
        manifest : Manifest
            Of the bundle; says how the outputs look.
        bundle_sha256 : str
            Digest of the bundle.

        Returns
        -------
        sets : dict of Triple to tuple of arrays
            Damaged records are left out, which is logged.
        """
        sets: dict[Triple, tuple[Array, ...]] = {}
        for record in self._ledger().exact:
            if record.bundle_sha256 != bundle_sha256:
                continue
            path = self._exact_path(record.sha256)
            triple = Triple(record.engine, record.version, record.instruction_set)
            try:
                arrays = _read_recorded(path, record.sha256)
                sets[triple] = take_outputs(arrays, "output_", manifest.outputs, manifest.golden.n_samples)
            except (BundleFormatError, HostEnvironmentError) as error:
                logger.warning('event=exact_set_unusable path="%s" reason="%s"', path, error)
        return sets

    # The disk ---------------------------------------------------------------------------------------------------

    def _bundle_path(self, sha256: str) -> Path:
        return self.root / "bundles" / f"{sha256}.edgebundle"

    def _exact_path(self, sha256: str) -> Path:
        return self.root / "exact" / f"{sha256}.npz"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the store's lock; translate what the disk says."""
        try:
            for folder in ("bundles", "exact", "trust"):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise HostEnvironmentError(
                f"{self.root}: the bundle store cannot be written: {error.strerror or error}"
            ) from error

    def _write(self, path: Path, data: bytes) -> None:
        replace_durably(self._disk, path, data)

    def _remove(self, path: Path) -> None:
        self._disk.remove(path)
        self._disk.sync_folder(path.parent)

    def _save(self, ledger: Ledger) -> None:
        self._write(self.root / "ledger.json", canonical_json(ledger))

    def _ledger(self) -> Ledger:
        """Read the ledger; where it was lost, the highest releases are found again from the stored files."""
        path = self.root / "ledger.json"
        if not path.exists():
            return self._recover()
        try:
            return decode_ledger(_read_file(path, MAX_LEDGER_BYTES))
        except msgspec.MsgspecError as error:
            raise HostEnvironmentError(
                f"{path}: damaged ({error}); remove it: releases are then found again from the stored bundles, and"
                " activate the bundle to run again"
            ) from error

    def _recover(self) -> Ledger:
        """Build a ledger without an active bundle from the files alone."""
        ledger = Ledger()
        for path in sorted((self.root / "bundles").glob("*.edgebundle")):
            bundle = read_unverified(_read_file(path, MAX_BUNDLE_BYTES))
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

    def _collect_garbage(self) -> None:
        """Remove files that nothing names any more and those beyond the limits; call with the lock held."""
        ledger = self._ledger()
        kept = self._kept_digests(ledger)
        exact = tuple(record for record in ledger.exact if record.bundle_sha256 in kept)
        if exact != ledger.exact:
            self._save(replace(ledger, exact=exact))
        names = {self._bundle_path(sha256).name for sha256 in kept}
        names |= {self._exact_path(record.sha256).name for record in exact}
        for folder in ("bundles", "exact"):
            for path in sorted((self.root / folder).iterdir()):
                if path.name not in names:
                    self._remove(path)
        for path in sorted(self.root.rglob(f"*{TEMPORARY_SUFFIX}")):
            self._remove(path)

    def _kept_digests(self, ledger: Ledger) -> set[str]:
        """Choose which bundle files stay: active and previous always, then the newest of each name within limits."""
        kept: set[str] = set()
        spare: list[StoredRelease] = []
        used = 0
        for entry in ledger.bundles.values():
            pinned = {entry.active, entry.previous}
            others = [stored for stored in entry.releases if stored.sha256 not in pinned]
            spare += others[-self._keep_per_name :] if self._keep_per_name else []
            for stored in entry.releases:
                if stored.sha256 in pinned:
                    kept.add(stored.sha256)
                    used += stored.size_bytes
        for stored in sorted(spare, key=lambda each: each.installed_ms, reverse=True):
            used += stored.size_bytes
            if used > self._max_total_bytes:
                break
            kept.add(stored.sha256)
        return kept


def _same_place(record: ExactSet, bundle_sha256: str, triple: Triple) -> bool:
    """Tell whether a record is of this bundle and triple."""
    own = Triple(record.engine, record.version, record.instruction_set)
    return record.bundle_sha256 == bundle_sha256 and own == triple


def _read_file(path: Path, limit: int) -> bytes:
    """Read a file that may not be larger than ``limit``."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise HostEnvironmentError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise HostEnvironmentError(f"{path}: larger than the {limit} bytes that are allowed")
    return data


def _read_recorded(path: Path, sha256: str) -> dict[str, Array]:
    """Read a recorded set whose digest is known."""
    data = _read_file(path, MAX_BUNDLE_BYTES)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BundleFormatError("its digest is not the recorded one")
    return unpack_arrays(data, ArchiveLimits())
