"""The ledger remembers many releases, and never forgets the one that runs."""

from __future__ import annotations

from edge_runtime.bundle.ledger import MAX_HISTORY, NameEntry, StoredRelease


def stored(release: int) -> StoredRelease:
    return StoredRelease(
        release=release, version="1", sha256=f"{release:064x}", size_bytes=1, key_id="0" * 16, installed_ms=release
    )


def filled(entry: NameEntry, releases: range) -> NameEntry:
    for release in releases:
        entry = entry.with_release(stored(release))
    return entry


def test_many_releases_are_remembered_and_the_oldest_forgotten() -> None:
    entry = filled(NameEntry(), range(1, MAX_HISTORY + 11))
    assert [each.release for each in entry.releases] == list(range(11, MAX_HISTORY + 11))


def test_release_that_runs_is_remembered_however_old() -> None:
    entry = filled(NameEntry(), range(1, 3)).with_active(stored(2).sha256).with_active(stored(1).sha256)
    entry = filled(entry, range(3, 2 * MAX_HISTORY))
    assert [each.release for each in entry.releases[:3]] == [1, 2, MAX_HISTORY]


def test_highest_release_only_rises() -> None:
    assert filled(NameEntry(highest_release=9), range(1, 4)).highest_release == 9


def test_activating_what_is_active_keeps_the_previous() -> None:
    entry = filled(NameEntry(), range(1, 3)).with_active(stored(1).sha256).with_active(stored(2).sha256)
    assert entry.with_active(stored(2).sha256).previous == stored(1).sha256
