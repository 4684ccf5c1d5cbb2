"""A store whose process dies at any step has the old or the new state, and goes on from there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.bundle.durable import TEMPORARY_SUFFIX, Disk
from edge_runtime.bundle.reader import Bundle, read_bundle
from edge_runtime.bundle.recorded import Triple
from edge_runtime.bundle.store import BundleStore
from edge_runtime.errors import BundleRollbackError, HostEnvironmentError
from tests.bundles import TRUSTED, image_bundle, trusting_store

NAME = "tiny-surface"
HERE = Triple("litert", "2.3.0", "x86-64-avx2")


class PowerCutError(BaseException):
    """The process is gone: nothing after it runs, no handler catches it."""


class CuttingDisk(Disk):
    """A disk whose power goes before operation ``cut_at``; a file that was being written keeps half its bytes."""

    def __init__(self, cut_at: int) -> None:
        self.cut_at = cut_at
        self.n_done = 0

    def _step(self) -> None:
        if self.n_done == self.cut_at:
            raise PowerCutError
        self.n_done += 1

    def create(self, path: Path, data: bytes) -> None:
        if self.n_done == self.cut_at:
            path.write_bytes(data[: len(data) // 2])
        self._step()
        super().create(path, data)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def sync_folder(self, folder: Path) -> None:
        self._step()
        super().sync_folder(folder)

    def remove(self, path: Path) -> None:
        self._step()
        super().remove(path)


def bundle(release: int) -> Bundle:
    return read_bundle(image_bundle(release=release), TRUSTED)


def prepared(root: Path) -> None:
    """Make a store in which release 2 runs, 1 was before, and a set is recorded for each."""
    store = trusting_store(root, keep_per_name=0)
    for release in (1, 2):
        store.install(bundle(release), activate=True)
        store.recorded.record(bundle(release).digest, HERE, bundle(release).golden().outputs["recorded"])


def install(store: BundleStore) -> None:
    store.install(bundle(3), activate=True)


def roll_back(store: BundleStore) -> None:
    store.rollback(NAME)


def record(store: BundleStore) -> None:
    outputs = bundle(2).golden().outputs["recorded"]
    store.recorded.record(bundle(2).digest, Triple("litert", "9", "x"), outputs)


def cut_runs(tmp_path: Path, action: Callable[[BundleStore], None]) -> list[BundleStore]:
    """Run an action once per step with the power cut there; give the stores as they are found afterwards."""
    found: list[BundleStore] = []
    for cut_at in range(1000):
        root = tmp_path / str(cut_at)
        prepared(root)
        disk = CuttingDisk(cut_at)
        try:
            action(BundleStore(root, keep_per_name=0, disk=disk))
        except PowerCutError:
            found.append(BundleStore(root, keep_per_name=0))
        else:
            return found
    raise AssertionError("the action never ends")


def active(store: BundleStore) -> int:
    stored = store.active(NAME)
    assert stored is not None
    return stored.release


def test_there_are_several_steps_to_be_cut(tmp_path: Path) -> None:
    assert len(cut_runs(tmp_path, install)) >= 9


@pytest.mark.parametrize(("action", "releases"), [(install, {2, 3}), (roll_back, {1, 2}), (record, {2})])
def test_old_or_new_release_runs_after_a_cut(
    action: Callable[[BundleStore], None], releases: set[int], tmp_path: Path
) -> None:
    for store in cut_runs(tmp_path, action):
        assert active(store) in releases
        assert store.load(NAME).manifest.release == active(store)


@pytest.mark.parametrize("action", [install, roll_back, record])
def test_action_can_be_done_again_after_a_cut(action: Callable[[BundleStore], None], tmp_path: Path) -> None:
    for store in cut_runs(tmp_path, action):
        install(store)
        assert active(store) == 3


def test_nothing_half_written_is_left_after_the_next_change(tmp_path: Path) -> None:
    for store in cut_runs(tmp_path, install):
        install(store)
        assert list(store.root.rglob(f"*{TEMPORARY_SUFFIX}")) == []
        assert len(list((store.root / "bundles").iterdir())) == 2


def test_release_that_was_switched_to_before_the_cut_forbids_older_ones(tmp_path: Path) -> None:
    for store in cut_runs(tmp_path, install):
        if active(store) == 3:
            with pytest.raises(BundleRollbackError):
                store.install(bundle(1), activate=True)


def test_recorded_set_is_whole_or_absent_after_a_cut(tmp_path: Path) -> None:
    manifest, digest = bundle(2).manifest, bundle(2).digest
    for store in cut_runs(tmp_path, record):
        assert len(store.recorded.read(manifest, digest)) in {1, 2}


class FullDisk(Disk):
    """A disk that takes no more bytes."""

    def create(self, path: Path, data: bytes) -> None:
        path.write_bytes(data[:10])
        raise OSError(28, os.strerror(28))


def test_full_disk_is_one_clear_error_and_the_old_release_runs_on(tmp_path: Path) -> None:
    prepared(tmp_path)
    with pytest.raises(HostEnvironmentError, match="No space left"):
        install(BundleStore(tmp_path, disk=FullDisk()))
    assert active(BundleStore(tmp_path)) == 2


KILLED_CHILD = """
import os, sys
from pathlib import Path
from edge_runtime.bundle.durable import Disk
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore

class KilledDisk(Disk):
    def rename(self, source, target):
        if target.name == "ledger.json":
            os.kill(os.getpid(), 9)
        super().rename(source, target)

store = BundleStore(Path(sys.argv[1]), disk=KilledDisk())
store.install(read_bundle(Path(sys.argv[2]).read_bytes(), store.trust.keys()), activate=True)
"""


def test_killed_process_leaves_the_lock_free_and_the_old_release_running(tmp_path: Path, project: Path) -> None:
    prepared(tmp_path / "store")
    (tmp_path / "new.edgebundle").write_bytes(image_bundle(release=3))
    done = subprocess.run(
        [sys.executable, "-c", KILLED_CHILD, str(tmp_path / "store"), str(tmp_path / "new.edgebundle")],
        check=False,
        env={**os.environ, "PYTHONPATH": str(project)},
        timeout=60,
    )
    assert done.returncode == -9
    store = BundleStore(tmp_path / "store")
    assert active(store) == 2
    install(store)
    assert active(store) == 3
