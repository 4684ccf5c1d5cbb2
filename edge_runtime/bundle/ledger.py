"""What a gateway remembers about its bundles: one JSON file, specified in ``docs/formats/bundle.md``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from edge_runtime.bundle.manifest import Count, Digest, Name

MAX_HISTORY = 256


class StoredRelease(Struct, frozen=True, kw_only=True):
    """One release that was installed at some time. Its file may be gone; that it was here is kept."""

    release: Annotated[int, Meta(ge=1)]
    version: str
    sha256: Digest
    size_bytes: Count
    key_id: str
    installed_ms: Count


class ExactSet(Struct, frozen=True, kw_only=True):
    """Golden outputs that this gateway recorded; ``sha256`` is of their file."""

    bundle_sha256: Digest
    engine: str
    version: str
    instruction_set: str
    sha256: Digest


class NameEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The bundles of one name: which is active, which was before, and the highest release ever installed."""

    highest_release: Count = 0
    active: Digest | None = None
    previous: Digest | None = None
    releases: tuple[StoredRelease, ...] = ()

    def find(self, *, release: int | None = None, sha256: str | None = None) -> StoredRelease | None:
        """Find a release by its number or its digest.

        Parameters
        ----------
        release : int, optional
            Its number.
        sha256 : str, optional
            The digest of its file.

        Returns
        -------
        stored : StoredRelease or None
            None where neither was ever installed.
        """
        for stored in self.releases:
            if stored.release == release or stored.sha256 == sha256:
                return stored
        return None

    def with_release(self, stored: StoredRelease) -> NameEntry:
        """Give an entry that has one release more.

        Parameters
        ----------
        stored : StoredRelease
            The release; it replaces an entry of the same digest. Of more than 256 the oldest are forgotten, but never
            the active or the previous one.

        Returns
        -------
        entry : NameEntry
            With ``highest_release`` raised where this one is higher.
        """
        others = [each for each in self.releases if each.sha256 != stored.sha256]
        releases = sorted([*others, stored], key=lambda each: each.release)
        kept = {each.sha256 for each in releases[-MAX_HISTORY:]} | {self.active, self.previous}
        releases = [each for each in releases if each.sha256 in kept]
        highest = max(self.highest_release, stored.release)
        return replace(self, releases=tuple(releases), highest_release=highest)

    def with_active(self, sha256: str) -> NameEntry:
        """Give an entry in which another release is active.

        Parameters
        ----------
        sha256 : str
            Its digest.

        Returns
        -------
        entry : NameEntry
            The one that was active before is ``previous``; nothing changes where it is active already.
        """
        if sha256 == self.active:
            return self
        return replace(self, active=sha256, previous=self.active)


class Ledger(Struct, frozen=True, kw_only=True):
    """Everything that the store remembers. Nothing has a default: an emptied file must not pass for an empty store."""

    schema: Literal["edge.store/1"]
    bundles: dict[Name, NameEntry]
    exact: tuple[ExactSet, ...]

    def entry(self, name: str) -> NameEntry:
        """Give the entry of a name.

        Parameters
        ----------
        name : str
            Name of the bundle.

        Returns
        -------
        entry : NameEntry
            An empty one where there is none.
        """
        return self.bundles.get(name, NameEntry())

    def with_entry(self, name: str, entry: NameEntry) -> Ledger:
        """Give a ledger with another entry of a name.

        Parameters
        ----------
        name : str
            Name of the bundle.
        entry : NameEntry
            Its entry.

        Returns
        -------
        ledger : Ledger
            All else is the same.
        """
        return replace(self, bundles={**self.bundles, name: entry})


def empty_ledger() -> Ledger:
    """Give the ledger of a new store.

    Returns
    -------
    ledger : Ledger
        Nothing is remembered.
    """
    return Ledger(schema="edge.store/1", bundles={}, exact=())


def decode_ledger(data: bytes) -> Ledger:
    """Read a ledger.

    Parameters
    ----------
    data : bytes
        Its JSON.

    Returns
    -------
    ledger : Ledger
        What is remembered.

    Raises
    ------
    ValueError
        If it is not one.
    """
    try:
        return msgspec.json.decode(data, type=Ledger)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
