"""Samples on disk: equal to those in memory, and limited."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.compress.data import spool
from edge_runtime.compress.data.loading import load_dataset
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.data.spool import Spool, chunks, take
from edge_runtime.errors import CalibrationError


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_samples_come_back_as_they_went(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", limit)
    x = np.arange(240, dtype=np.float32).reshape(20, 4, 3)
    with Spool((4, 3), np.float32, what="x") as found:
        for block in np.split(x, [1, 7]):
            found.append(block)
        kept = found.finish()
    assert isinstance(kept, np.memmap) == (limit == 0)
    assert np.array_equal(kept, x)
    assert np.array_equal(np.concatenate([block for _, block in chunks(kept, at_most=3)]), x)
    chosen = np.array([19, 0, 5], np.intp)
    assert np.array_equal(take(kept, chosen, what="x"), x[chosen])


def test_a_full_disk_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 0)
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: full.open("r+b", buffering=0))
    with (
        Spool((1000,), np.uint8, what="set") as found,
        pytest.raises(CalibrationError, match=r"set: no room for the samples in .*No space left"),
    ):
        found.append(np.zeros((10, 1000), np.uint8))


def test_more_than_the_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MAX_BYTES", 100)
    with Spool((10,), np.uint8, what="set") as found, pytest.raises(CalibrationError, match="use fewer"):
        found.append(np.zeros((11, 10), np.uint8))


def test_samples_of_another_shape_are_refused() -> None:
    with Spool((2,), np.uint8, what="set") as found, pytest.raises(CalibrationError, match="shape"):
        found.append(np.zeros((1, 3), np.uint8))


@pytest.mark.parametrize("compressed", [True, False])
def test_an_npz_beyond_memory_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compressed: bool
) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 64)
    x = np.random.default_rng(0).normal(size=(50, 3, 2))
    (np.savez_compressed if compressed else np.savez)(tmp_path / "d.npz", x=x, y=np.arange(50))
    data = load_dataset(tmp_path / "d.npz", Reading(needs_y=True))
    assert isinstance(data.x, np.memmap)
    assert np.array_equal(data.x, x)


def test_columns_first_arrays_are_read(tmp_path: Path) -> None:
    x = np.asfortranarray(np.arange(12.0).reshape(4, 3))
    np.savez(tmp_path / "d.npz", x=x)
    assert np.array_equal(load_dataset(tmp_path / "d.npz", Reading()).x, x)
