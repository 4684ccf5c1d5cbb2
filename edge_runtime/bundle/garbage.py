"""Which files of a store stay, and the removal of the rest."""

from __future__ import annotations

from msgspec.structs import replace

from edge_runtime.bundle.folder import StoreFolder
from edge_runtime.bundle.ledger import Ledger, StoredRelease


def kept_digests(ledger: Ledger, *, keep_per_name: int, max_total_bytes: int) -> set[str]:
    """Choose which bundle files stay.

    Parameters
    ----------
    ledger : Ledger
        What is stored.
    keep_per_name : int
        How many of each name stay besides the active and the previous one, the highest releases first.
    max_total_bytes : int
        Beyond it only active and previous ones stay; those installed last are kept first.

    Returns
    -------
    digests : set of str
        Of the files that stay.
    """
    kept: set[str] = set()
    spare: list[StoredRelease] = []
    used = 0
    for entry in ledger.bundles.values():
        pinned = {entry.active, entry.previous}
        others = [stored for stored in entry.releases if stored.sha256 not in pinned]
        spare += others[-keep_per_name:] if keep_per_name else []
        for stored in entry.releases:
            if stored.sha256 in pinned:
                kept.add(stored.sha256)
                used += stored.size_bytes
    for stored in sorted(spare, key=lambda each: each.installed_ms, reverse=True):
        used += stored.size_bytes
        if used > max_total_bytes:
            break
        kept.add(stored.sha256)
    return kept


def collect_garbage(folder: StoreFolder, *, keep_per_name: int, max_total_bytes: int) -> None:
    """Remove what nothing names any more and what exceeds the limits; call with the store's lock held.

    Parameters
    ----------
    folder : StoreFolder
        The store's folder.
    keep_per_name, max_total_bytes : int
        As ``kept_digests``.
    """
    ledger = folder.read_ledger()
    kept = kept_digests(ledger, keep_per_name=keep_per_name, max_total_bytes=max_total_bytes)
    exact = tuple(record for record in ledger.exact if record.bundle_sha256 in kept)
    if exact != ledger.exact:
        folder.save_ledger(replace(ledger, exact=exact))
    names = {folder.bundle_path(sha256).name for sha256 in kept}
    names |= {folder.exact_path(record.sha256).name for record in exact}
    for place in (folder.bundles, folder.exact):
        for path in sorted(place.iterdir()):
            if path.name not in names:
                folder.remove(path)
