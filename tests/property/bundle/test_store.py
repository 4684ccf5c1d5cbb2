"""Whatever is installed, activated and rolled back in whatever order, the store keeps its promises."""

from __future__ import annotations

import contextlib
import functools
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_runtime.bundle.durable import Disk
from edge_runtime.bundle.reader import Bundle, read_bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.errors import BundleRollbackError
from tests.bundles import TRUSTED, image_bundle, trusting_store

NAME = "tiny-surface"
releases = st.integers(1, 6)


class FastDisk(Disk):
    """A disk that does not wait: nothing cuts the power here."""

    def create(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)

    def sync_folder(self, folder: Path) -> None:
        """Wait for nothing."""


@functools.cache
def bundle(release: int) -> Bundle:
    return read_bundle(image_bundle(release=release), TRUSTED)


class StoreMachine(RuleBasedStateMachine):
    """The store against a model of one number and one set."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.store: BundleStore = trusting_store(self.root, disk=FastDisk(), keep_per_name=1)
        self.highest = 0
        self.active: int | None = None
        self.installed: set[int] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.root)

    @rule(release=releases, activate=st.booleans())
    def install(self, release: int, activate: bool) -> None:
        try:
            self.store.install(bundle(release), activate=activate)
        except BundleRollbackError:
            assert release < self.highest
            return
        assert release >= self.highest
        self.highest = release
        self.installed.add(release)
        if activate:
            self.active = release

    @rule(release=st.one_of(st.none(), releases))
    def roll_back(self, release: int | None) -> None:
        with contextlib.suppress(BundleRollbackError):
            if release is None or self.is_present(release):
                stored = self.store.rollback(NAME, release)
                assert stored.release in self.installed
                self.active = stored.release

    @rule()
    def open_again(self) -> None:
        self.store = BundleStore(self.root, disk=FastDisk(), keep_per_name=1)

    def is_present(self, release: int) -> bool:
        return any(line.present for line in self.store.list() if line.stored.release == release)

    @invariant()
    def active_release_is_the_one_that_was_chosen_last(self) -> None:
        stored = self.store.active(NAME)
        assert (None if stored is None else stored.release) == self.active

    @invariant()
    def active_bundle_can_be_loaded(self) -> None:
        if self.active is not None:
            assert self.store.load(NAME).manifest.release == self.active

    @invariant()
    def every_release_is_remembered(self) -> None:
        assert {line.stored.release for line in self.store.list()} == self.installed

    @invariant()
    def few_files_are_kept(self) -> None:
        assert sum(line.present for line in self.store.list()) <= 3


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
