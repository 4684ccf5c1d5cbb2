"""Data files: limits, finiteness, and no pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.compress.data.loading import load_dataset
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.dataset import spread
from edge_runtime.errors import CalibrationError


def save(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def test_samples_labels_groups_and_slices_are_read(tmp_path: Path) -> None:
    path = save(
        tmp_path, x=np.zeros((3, 2)), y=np.arange(3), group=np.arange(3), slice_camera=np.array(["a", "b", "a"])
    )
    data = load_dataset(path, Reading(needs_y=True))
    assert len(data) == 3
    assert data.groups is not None
    assert list(data.slices) == ["camera"]
    assert len(data.digest) == 64


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"y": np.zeros(3)}, 'an array "x"'),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, "no samples"),
        ({"x": np.zeros((3, 2))}, 'no array "y"'),
        ({"x": np.zeros((3, 2)), "y": np.zeros(2)}, '"y" has shape'),
        ({"x": np.array([[1.0, np.nan]]), "y": np.zeros(1)}, "NaN or infinity in 1 samples"),
        ({"x": np.array([[1.0]]), "y": np.array([np.inf])}, "NaN or infinity"),
        ({"x": np.array([{}, {}], object), "y": np.zeros(2)}, "plain arrays"),
    ],
)
def test_data_that_cannot_be_used_is_named(tmp_path: Path, arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(CalibrationError, match=said):
        load_dataset(save(tmp_path, **arrays), Reading(needs_y=True))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(CalibrationError):
        load_dataset(path, Reading())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="cannot be read"):
        load_dataset(tmp_path / "no.npz", Reading())


def test_spread_takes_everything_when_there_is_little() -> None:
    assert spread(3, 10).tolist() == [0, 1, 2]
