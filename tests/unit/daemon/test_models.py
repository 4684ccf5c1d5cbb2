"""What the daemon reads from the store at its start."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.durable import Disk
from edge_runtime.bundle.folder import StoreFolder
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.daemon import protocol
from edge_runtime.daemon.answer_recorder import AnswerRecorder
from edge_runtime.daemon.arrays import Packed, pack
from edge_runtime.daemon.models import finding_labels, record_answers, trusted_pems
from edge_runtime.errors import BundleCompatibilityError, HostEnvironmentError
from tests.bundles import TRUSTED, TRUSTED_PEM, image_bundle, trusting_store, window_bundle

BUNDLE = read_bundle(image_bundle(), TRUSTED)


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    store = trusting_store(tmp_path)
    store.install(BUNDLE, activate=True)
    return store


def answers(change: int = 0) -> protocol.Answers:
    (outputs,) = BUNDLE.golden().outputs["recorded"]
    return protocol.Answers("litert", "99", "x86-64", pack([outputs + np.int8(change)]))


def recorded(store: BundleStore) -> list[Packed]:
    return [pack(outputs) for outputs in store.recorded.read(BUNDLE.manifest, BUNDLE.digest).values()]


def test_answers_that_are_recorded_are_not_replaced_by_other_ones(store: BundleStore) -> None:
    record_answers(store, BUNDLE, answers())
    with pytest.raises(BundleCompatibilityError, match="does not answer as it answered before"):
        record_answers(store, BUNDLE, answers(1))
    assert recorded(store) == [answers().outputs]


def test_the_same_answers_are_recorded_once(store: BundleStore) -> None:
    for _ in range(2):
        record_answers(store, BUNDLE, answers())
    assert recorded(store) == [answers().outputs]


def test_a_record_that_the_disk_damaged_is_written_anew(store: BundleStore) -> None:
    record_answers(store, BUNDLE, answers())
    (path,) = (store.root / "exact").iterdir()
    path.write_bytes(b"")
    record_answers(store, BUNDLE, answers(1))
    assert recorded(store) == [answers(1).outputs]


def test_answers_wait_without_waiting_for_a_store_that_another_program_holds(store: BundleStore) -> None:
    now_s = 0.0
    recorder = AnswerRecorder(BundleStore(store.root, wait=False), lambda: now_s)
    failures: list[str] = []
    with StoreFolder(store.root, Disk()).changing():
        recorder.record(BUNDLE, answers(), failures.append)
        now_s = 1.0
        recorder.poll()
    assert recorded(store) == []
    now_s = 2.0
    recorder.poll()
    assert (recorded(store), failures) == ([answers().outputs], [])


def test_answers_that_differ_from_what_was_recorded_meanwhile_are_told(store: BundleStore) -> None:
    now_s = 0.0
    recorder = AnswerRecorder(BundleStore(store.root, wait=False), lambda: now_s)
    failures: list[str] = []
    with StoreFolder(store.root, Disk()).changing():
        recorder.record(BUNDLE, answers(1), failures.append)
    record_answers(store, BUNDLE, answers())
    now_s = 1.0
    recorder.poll()
    assert ("does not answer as it answered before" in failures[0], recorded(store)) == (True, [answers().outputs])


def test_a_store_that_cannot_be_written_is_told(store: BundleStore) -> None:
    shutil.rmtree(store.root / "exact")
    (store.root / "exact").write_text("a file in its place")
    failures: list[str] = []
    AnswerRecorder(BundleStore(store.root, wait=False), lambda: 0.0).record(BUNDLE, answers(), failures.append)
    assert "cannot be written" in failures[0]


def test_the_worker_is_given_every_trusted_key(tmp_path: Path) -> None:
    assert trusted_pems(trusting_store(tmp_path)) == (TRUSTED_PEM,)


def test_a_key_that_cannot_be_read_is_told_by_its_path(tmp_path: Path) -> None:
    store = trusting_store(tmp_path)
    (tmp_path / "trust" / "other.pem").mkdir()
    with pytest.raises(HostEnvironmentError, match=r"other\.pem"):
        trusted_pems(store)


@pytest.mark.parametrize(
    ("sealed", "labels"),
    [(image_bundle, {"crack", "stain"}), (window_bundle, {"remaining_useful_life"})],
    ids=["classes", "quantity"],
)
def test_findings_may_carry_the_labels_that_are_faults_or_the_quantity(
    sealed: Callable[[], bytes], labels: set[str]
) -> None:
    assert finding_labels(read_bundle(sealed(), TRUSTED).manifest) == labels
