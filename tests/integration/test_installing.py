"""From the source into the store, step by step; whatever is refused names its word and leaves the store alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.bundle.manifest import Limits
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import BrokerSettings
from edge_runtime.daemon.installing import InstallTask, Progress, install
from tests.bundles import STRANGER, TRUSTED, image_bundle, trusting_store

MODEL = "tiny-surface"


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    """A store that runs release 2."""
    made = trusting_store(tmp_path / "bundles")
    made.install(read_bundle(image_bundle(release=2), TRUSTED), activate=True)
    return made


def offer(store: BundleStore, data: bytes, *, model: str = MODEL, sha256: str = "") -> list[Progress]:
    """Install a bundle from a file; gives what was said."""
    path = store.root / "offered.edgebundle"
    path.write_bytes(data)
    said: list[Progress] = []
    task = InstallTask(
        model=model,
        sha256=sha256 or hashlib.sha256(data).hexdigest(),
        source=str(path),
        topic="t",
        store=str(store.root),
        broker=BrokerSettings(client_id="gw1"),
        timeout_s=5.0,
    )
    install(task, said.append)
    return said


def test_good_bundle_is_stored_and_not_activated(store: BundleStore) -> None:
    said = offer(store, image_bundle(release=3))
    active = store.active(MODEL)
    assert [each.state for each in said] == ["fetching", "verifying", "verifying", "stored"]
    assert (said[-1].release, store.load(MODEL, release=3).manifest.release) == (3, 3)
    assert active is not None
    assert active.release == 2


def test_installing_once_more_does_no_harm(store: BundleStore) -> None:
    offer(store, image_bundle(release=3))
    assert offer(store, image_bundle(release=3))[-1].state == "stored"


REFUSED: dict[str, Callable[[], bytes]] = {
    "signature": lambda: image_bundle(release=3, key=STRANGER),
    "older": lambda: image_bundle(release=1),
    "limits": lambda: image_bundle(release=3, limits=Limits(ram_kb=1e-3)),
    "format": lambda: b"no bundle",
}


@pytest.mark.parametrize("word", REFUSED)
def test_bad_bundle_is_refused_with_its_word(store: BundleStore, word: str) -> None:
    said = offer(store, REFUSED[word]())
    assert (said[-1].state, said[-1].word) == ("refused", word)
    assert [each.stored.release for each in store.list()] == [2]


def test_bundle_of_another_name_is_refused(store: BundleStore) -> None:
    assert offer(store, image_bundle(release=3), model="another")[-1].word == "other_model"


def test_other_bytes_are_refused_before_anything_is_read(store: BundleStore) -> None:
    said = offer(store, image_bundle(release=3), sha256="0" * 64)
    assert ([each.state for each in said], said[-1].word) == (["fetching", "refused"], "digest")


def test_missing_file_is_refused(store: BundleStore) -> None:
    said: list[Progress] = []
    task = InstallTask(
        model=MODEL,
        sha256="0" * 64,
        source="/nowhere",
        topic="t",
        store=str(store.root),
        broker=BrokerSettings(client_id="gw1"),
        timeout_s=5.0,
    )
    install(task, said.append)
    assert said[-1].word == "unreachable"
