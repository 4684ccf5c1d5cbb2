"""The store installs, switches, goes back only by hand, and remembers."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.bundle.reader import Bundle, read_bundle, read_unverified
from edge_runtime.bundle.recorded import Triple
from edge_runtime.bundle.signature import key_id, public_pem
from edge_runtime.bundle.store import BundleStore
from edge_runtime.errors import (
    BundleError,
    BundleFormatError,
    BundleIntegrityError,
    BundleRollbackError,
    BundleSignatureError,
    HostEnvironmentError,
    UsageError,
)
from tests.bundles import SIGNER, STRANGER, TRUSTED, TRUSTED_PEM, image_bundle, trusting_store, window_bundle

NAME = "tiny-surface"
HERE = Triple("litert", "2.3.0", "x86-64-avx2")


def bundle(release: int = 1, **changes: Any) -> Bundle:
    return read_bundle(image_bundle(release=release, **changes), TRUSTED)


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return trusting_store(tmp_path / "store", clock=lambda: 1000.0)


def active(store: BundleStore) -> int | None:
    stored = store.active(NAME)
    return None if stored is None else stored.release


def test_new_store_is_empty_and_makes_nothing(tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "store")
    assert store.list() == ()
    assert store.active(NAME) is None
    assert not (tmp_path / "store").exists()


def test_installed_bundle_is_listed(store: BundleStore) -> None:
    store.install(bundle())
    (line,) = store.list()
    assert (line.name, line.stored.release, line.active, line.present) == (NAME, 1, False, True)
    assert line.stored.installed_ms == 1_000_000
    assert line.stored.key_id == key_id(SIGNER.public_key())


def test_installing_alone_does_not_switch(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(2))
    assert active(store) == 1


def test_installing_and_activating_switches(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(2), activate=True)
    assert active(store) == 2


def test_active_bundle_is_loaded_and_verified(store: BundleStore) -> None:
    store.install(bundle(), activate=True)
    loaded = store.load(NAME)
    assert loaded.verified
    assert loaded.data == image_bundle()


def test_any_stored_release_is_loaded(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(2), activate=True)
    assert store.load(NAME, release=1).manifest.release == 1


def test_nothing_active_is_one_clear_error(store: BundleStore) -> None:
    with pytest.raises(HostEnvironmentError, match="bundle install"):
        store.load(NAME)


def test_unknown_release_is_one_clear_error(store: BundleStore) -> None:
    store.install(bundle(), activate=True)
    with pytest.raises(HostEnvironmentError, match="no release 7"):
        store.load(NAME, release=7)


def test_names_do_not_disturb_each_other(store: BundleStore) -> None:
    store.install(bundle(5), activate=True)
    store.install(read_bundle(window_bundle(release=1), TRUSTED), activate=True)
    assert [(line.name, line.stored.release) for line in store.list()] == [("tiny-life", 1), (NAME, 5)]


def test_unverified_bundle_is_refused(store: BundleStore) -> None:
    with pytest.raises(BundleError, match="without verification"):
        store.install(read_unverified(image_bundle()))


def test_older_bundle_is_refused_after_upgrade(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(3), activate=True)
    with pytest.raises(BundleRollbackError, match="release 2 is older than release 3"):
        store.install(bundle(2), activate=True)
    assert active(store) == 3


def test_older_bundle_that_was_installed_is_refused_too(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(2), activate=True)
    with pytest.raises(BundleRollbackError, match="bundle rollback"):
        store.install(bundle(1), activate=True)


def test_older_bundle_is_refused_after_its_files_were_deleted(store: BundleStore) -> None:
    store.install(bundle(3), activate=True)
    for path in (store.root / "bundles").iterdir():
        path.unlink()
    with pytest.raises(BundleRollbackError, match="older than release 3"):
        store.install(bundle(2), activate=True)


def test_older_bundle_is_refused_after_the_ledger_was_deleted(store: BundleStore) -> None:
    store.install(bundle(3), activate=True)
    (store.root / "ledger.json").unlink()
    with pytest.raises(BundleRollbackError, match="older than release 3"):
        store.install(bundle(2), activate=True)


def test_older_bundle_is_refused_after_a_rollback(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(4), activate=True)
    store.rollback(NAME)
    with pytest.raises(BundleRollbackError, match="older than release 4"):
        store.install(bundle(3), activate=True)


def test_same_release_with_other_content_is_refused(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    with pytest.raises(BundleRollbackError, match="other content"):
        store.install(bundle(1, version="1.0.1"), activate=True)


def test_same_bundle_may_be_installed_again(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    (store.root / "bundles" / f"{bundle(1).digest}.edgebundle").unlink()
    store.install(bundle(1), activate=True)
    assert store.load(NAME).manifest.release == 1
    assert len(store.list()) == 1


def test_rollback_goes_to_the_release_before(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(2), activate=True)
    assert store.rollback(NAME).release == 1
    assert active(store) == 1


def test_rollback_twice_returns(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(2), activate=True)
    store.rollback(NAME)
    assert store.rollback(NAME).release == 2


def test_rollback_to_a_named_release(store: BundleStore) -> None:
    for release in (1, 2, 3):
        store.install(bundle(release), activate=True)
    assert store.rollback(NAME, 1).release == 1


def test_rollback_without_a_previous_release_is_refused(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    with pytest.raises(BundleRollbackError, match="no previous release"):
        store.rollback(NAME)


def test_rollback_to_a_release_that_was_never_here_is_refused(store: BundleStore) -> None:
    store.install(bundle(2), activate=True)
    with pytest.raises(BundleRollbackError, match=r"never installed here \(installed: 2\)"):
        store.rollback(NAME, 1)


def test_rollback_verifies_the_file_again(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(2), activate=True)
    path = store.root / "bundles" / f"{bundle(1).digest}.edgebundle"
    path.write_bytes(path.read_bytes().replace(b"TFL3", b"TFL4"))
    with pytest.raises(BundleIntegrityError):
        store.rollback(NAME)
    assert active(store) == 2


def test_activating_a_release_whose_file_is_gone_says_what_to_do(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(2), activate=True)
    (store.root / "bundles" / f"{bundle(1).digest}.edgebundle").unlink()
    with pytest.raises(BundleRollbackError, match="give its file again"):
        store.activate(NAME, 1)


def test_file_that_is_gone_is_given_again_by_hand(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(2), activate=True)
    (store.root / "bundles" / f"{bundle(1).digest}.edgebundle").unlink()
    store.install(bundle(1), activate=True, by_hand=True)
    assert active(store) == 1


def test_going_back_by_hand_needs_a_release_that_was_installed_before(store: BundleStore) -> None:
    store.install(bundle(2), activate=True)
    with pytest.raises(BundleRollbackError):
        store.install(bundle(1), activate=True, by_hand=True)


def test_exchanged_file_is_refused(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    path = store.root / "bundles" / f"{bundle(1).digest}.edgebundle"
    path.write_bytes(image_bundle(release=9))
    with pytest.raises(BundleFormatError, match="another bundle than was installed"):
        store.load(NAME)


def test_vanished_file_is_one_clear_error(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    (store.root / "bundles" / f"{bundle(1).digest}.edgebundle").unlink()
    with pytest.raises(HostEnvironmentError, match="cannot be read"):
        store.load(NAME)


def test_bundle_of_a_signer_who_lost_trust_is_refused_at_the_next_load(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.trust.remove(key_id(SIGNER.public_key()))
    with pytest.raises(BundleSignatureError, match="not trusted"):
        store.load(NAME)


def test_trusted_keys_are_added_and_listed(store: BundleStore) -> None:
    added = store.trust.add(public_pem(STRANGER))
    assert store.trust.keys().key_ids == tuple(sorted([key_id(SIGNER.public_key()), added]))


def test_adding_a_key_twice_keeps_one(store: BundleStore) -> None:
    store.trust.add(TRUSTED_PEM)
    assert len(store.trust.keys().key_ids) == 1


def test_removing_an_unknown_key_lists_the_known(store: BundleStore) -> None:
    with pytest.raises(UsageError, match=key_id(SIGNER.public_key())):
        store.trust.remove("0" * 16)


def test_key_that_a_person_copied_under_another_name_is_removed_by_its_id(store: BundleStore) -> None:
    (store.root / "trust" / "factory.pem").write_bytes(public_pem(STRANGER))
    store.trust.remove(key_id(STRANGER.public_key()))
    assert store.trust.keys().key_ids == (key_id(SIGNER.public_key()),)


def test_what_is_no_key_is_not_added(store: BundleStore) -> None:
    with pytest.raises(UsageError, match=r"k\.pem"):
        store.trust.add(b"x", "k.pem")


def test_old_files_are_removed_but_remembered(tmp_path: Path) -> None:
    store = trusting_store(tmp_path, keep_per_name=0)
    for release in (1, 2, 3):
        store.install(bundle(release), activate=True)
    assert [(line.stored.release, line.present) for line in store.list()] == [(1, False), (2, True), (3, True)]


def test_total_size_limits_what_is_kept(tmp_path: Path) -> None:
    size = len(image_bundle())
    store = trusting_store(tmp_path, keep_per_name=5, max_total_bytes=3 * size + size // 2)
    for release in range(1, 7):
        store.install(bundle(release), activate=True)
    assert [line.stored.release for line in store.list() if line.present] == [4, 5, 6]


def test_active_and_previous_are_kept_whatever_the_limits(tmp_path: Path) -> None:
    store = trusting_store(tmp_path, keep_per_name=0, max_total_bytes=1)
    for release in (1, 2, 3):
        store.install(bundle(release), activate=True)
    assert [line.stored.release for line in store.list() if line.present] == [2, 3]


def test_recorded_outputs_come_back(store: BundleStore) -> None:
    store.install(bundle(), activate=True)
    outputs = bundle().golden().outputs["recorded"]
    store.recorded.record(bundle().digest, HERE, outputs)
    found = store.recorded.read(bundle().manifest, bundle().digest)
    assert list(found) == [HERE]
    np.testing.assert_array_equal(found[HERE][0], outputs[0])


def test_recording_again_replaces(store: BundleStore) -> None:
    store.install(bundle(), activate=True)
    (outputs,) = bundle().golden().outputs["recorded"]
    store.recorded.record(bundle().digest, HERE, [outputs])
    store.recorded.record(bundle().digest, HERE, [outputs + 1])
    found = store.recorded.read(bundle().manifest, bundle().digest)
    np.testing.assert_array_equal(found[HERE][0], outputs + 1)


def test_sets_of_other_engines_stay(store: BundleStore) -> None:
    store.install(bundle(), activate=True)
    outputs = bundle().golden().outputs["recorded"]
    for version in range(20):
        store.recorded.record(bundle().digest, Triple("litert", str(version), "x"), outputs)
    versions = [triple.version for triple in store.recorded.read(bundle().manifest, bundle().digest)]
    assert versions == [str(version) for version in range(4, 20)]


def test_damaged_record_is_left_out_and_logged(store: BundleStore, caplog: pytest.LogCaptureFixture) -> None:
    store.install(bundle(), activate=True)
    store.recorded.record(bundle().digest, HERE, bundle().golden().outputs["recorded"])
    (path,) = (store.root / "exact").iterdir()
    path.write_bytes(path.read_bytes() + b"x")
    with caplog.at_level(logging.WARNING):
        assert store.recorded.read(bundle().manifest, bundle().digest) == {}
    assert "exact_set_unusable" in caplog.text


def test_records_go_with_their_bundle(tmp_path: Path) -> None:
    store = trusting_store(tmp_path, keep_per_name=0)
    store.install(bundle(1), activate=True)
    store.recorded.record(bundle(1).digest, HERE, bundle(1).golden().outputs["recorded"])
    for release in (2, 3):
        store.install(bundle(release), activate=True)
    assert list((tmp_path / "exact").iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"\xe1":1}', b"[" * 100_000, b'{"schema":"edge.store/2"}'])
def test_damaged_ledger_is_one_clear_error(content: bytes, store: BundleStore) -> None:
    store.install(bundle(), activate=True)
    (store.root / "ledger.json").write_bytes(content)
    with pytest.raises(HostEnvironmentError, match=r"ledger\.json: damaged"):
        store.list()


def test_lost_ledger_is_built_again_from_the_files(store: BundleStore) -> None:
    store.install(bundle(1), activate=True)
    store.install(bundle(2), activate=True)
    (store.root / "ledger.json").unlink()
    assert [line.stored.release for line in store.list()] == [1, 2]
    assert store.rollback(NAME, 2).release == 2


def test_unreadable_file_does_not_stop_the_ledger_from_being_built(
    store: BundleStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.install(bundle(1), activate=True)
    (store.root / "ledger.json").unlink()
    (store.root / "bundles" / "0.edgebundle").write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        assert [line.stored.release for line in store.list()] == [1]
    assert "stored_bundle_unreadable" in caplog.text


def test_place_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostEnvironmentError, match="cannot be written"):
        BundleStore(tmp_path / "file").trust.add(TRUSTED_PEM)


def test_release_check_alone_changes_nothing(store: BundleStore) -> None:
    store.install(bundle(2), activate=True)
    before = (store.root / "ledger.json").read_bytes()
    store.require_release(bundle(3))
    with pytest.raises(BundleRollbackError):
        store.require_release(bundle(1))
    assert (store.root / "ledger.json").read_bytes() == before


def _install(root: str, model: str) -> None:
    data = {"image": image_bundle, "window": window_bundle}[model]
    store = BundleStore(Path(root), keep_per_name=50)
    for release in range(1, 6):
        store.install(read_bundle(data(release=release), TRUSTED), activate=True)


def test_two_writers_do_not_lose_each_others_changes(store: BundleStore) -> None:
    writers = [threading.Thread(target=_install, args=(str(store.root), model)) for model in ("image", "window")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [line.stored.release for line in store.list()] == [*range(1, 6), *range(1, 6)]
