"""Sets as they came from factories and archives, loaded, split and looked at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.manifest import Channel, ImagePreprocessing, Resize
from edge_runtime.compress.data.duplicates import find_near
from edge_runtime.compress.data.health import examine
from edge_runtime.compress.data.keys import SplitKeys, WindowKeys
from edge_runtime.compress.data.loading import load_dataset
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.data.sensors import declared_windows
from edge_runtime.compress.data.splits import split_dataset

pytestmark = pytest.mark.shared_data

RESIZE = Resize(mode="stretch", height=64, width=64)
PICTURES = ImagePreprocessing(resize=RESIZE, colour="rgb", mean=(0.0,) * 3, std=(1.0,) * 3)


def test_photographs_of_one_tile_are_found_as_near_duplicates_of_each_other(shared_data: Path) -> None:
    data = load_dataset(shared_data / "magnetic-tile" / "SPLIT.tsv", Reading(PICTURES, needs_y=True))
    assert (len(data), len(data.labels)) == (685, 6)
    assert data.groups is not None
    sides = np.arange(len(data)) % 2 == 0
    nearest = find_near(data.x[sides], data.x[~sides])
    found = nearest >= 0
    right = data.groups[sides][found] == data.groups[~sides][nearest[found]]
    assert found.mean() > 0.3
    assert right.mean() > 0.9


def test_a_split_by_tiles_leaves_hardly_a_near_duplicate(shared_data: Path) -> None:
    data = load_dataset(shared_data / "magnetic-tile" / "SPLIT.tsv", Reading(PICTURES, needs_y=True))
    keys = SplitKeys(by="group", evaluation=0.3, calibration=0.2)
    _, calibration, evaluation = split_dataset(data, keys, task="classification")
    health = examine({"calibration": calibration, "evaluation": evaluation}, PICTURES, labels=data.labels)
    assert health.leaks[0].exact == 0
    assert health.leaks[0].near < 0.05 * len(evaluation)
    assert min(health.sets["evaluation"].classes.values()) > 0


def test_runs_of_a_pump_become_windows_with_their_gaps(shared_data: Path) -> None:
    names = {"accelerometer": "Accelerometer1RMS", "current": "Current", "pressure": "Pressure"}
    keys = WindowKeys(
        length=60,
        hop=20,
        time="datetime",
        rate_hz=1.0,
        max_gap_s=5.0,
        delimiter=";",
        label="anomaly",
        rule="any",
        channels=tuple(Channel(name=name) for name in names),
        columns=names,
    )
    data = load_dataset(shared_data / "skab" / "data" / "valve1", Reading(window=keys, needs_y=True))
    assert data.counts == {"samples": 18160, "gaps": 3}
    assert data.labels == ("0", "1")
    assert data.groups is not None
    assert len(set(data.groups.tolist())) == 16
    assert not examine({"data": data}, declared_windows(keys, None), labels=data.labels).problems


def test_turbofans_give_remaining_life_by_unit(shared_data: Path) -> None:
    header = ("unit", "cycle", "o1", "o2", "o3", *(f"s{index}" for index in range(1, 22)))
    channels = tuple(Channel(name=name) for name in ("s1", "s2", "s3"))
    keys = WindowKeys(
        length=30,
        hop=1,
        delimiter=" ",
        header=header,
        group="unit",
        rule="remaining",
        at_most=125.0,
        channels=channels,
    )
    data = load_dataset(shared_data / "cmapss" / "train_FD001.txt.gz", Reading(None, "regression", True, window=keys))
    assert data.x.shape == (20631 - 29 * 100, 30, 3)
    assert data.y is not None
    assert (data.y.min(), data.y.max()) == (0.0, 125.0)
    health = examine({"data": data}, declared_windows(keys, None))
    assert [(each.word, each.text.split(":")[0]) for each in health.problems] == [("constant_channel", "s1")]


def test_three_years_of_a_gas_turbine_are_split_in_time(shared_data: Path) -> None:
    names = {"at": "AT", "ap": "AP", "tit": "TIT"}
    channels = tuple(Channel(name=name) for name in names)
    keys = WindowKeys(length=24, hop=6, target="NOX", channels=channels, columns=names)
    data = load_dataset(shared_data / "gas-turbine", Reading(None, "regression", True, window=keys))
    split = SplitKeys(by="time", evaluation=0.3, calibration=0.2)
    training, calibration, evaluation = split_dataset(data, split, task="regression")
    assert training is not None
    assert training.name(0).startswith("gt_2011")
    assert evaluation.name(len(evaluation) - 1).startswith("gt_2013")
    assert len(training) + len(calibration) + len(evaluation) == len(data) - 2 * data.overlap


def test_machine_hours_are_read_with_their_slices(shared_data: Path) -> None:
    names = {"air": "Air temperature [K]", "torque": "Torque [Nm]"}
    channels = tuple(Channel(name=name) for name in names)
    keys = WindowKeys(length=1, channels=channels, columns=names, label="Machine_failure", slices={"grade": "Type"})
    data = load_dataset(shared_data / "ai4i2020" / "ai4i2020.csv", Reading(window=keys, needs_y=True))
    assert data.y is not None
    assert np.bincount(data.y).tolist() == [9661, 339]
    assert sorted(set(data.slices["grade"].tolist())) == ["H", "L", "M"]
