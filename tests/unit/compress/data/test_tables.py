"""Sensor tables to windows: columns, labels, missing values, and errors with their row."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from edge_runtime.bundle.manifest import Channel
from edge_runtime.compress.data.keys import WindowKeys
from edge_runtime.compress.data.loading import load_dataset
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.dataset import Dataset
from edge_runtime.errors import CalibrationError

CHANNELS = (Channel(name="a"), Channel(name="b"))


def table(n: int = 6, /, **columns: Any) -> dict[str, list[Any]]:
    return {"a": list(range(n)), "b": [value / 2 for value in range(n)], **columns}


def write(folder: Path, columns: dict[str, list[Any]], name: str = "t.csv", delimiter: str = ",") -> Path:
    path = folder / name
    rows = zip(*columns.values(), strict=True)
    lines = [delimiter.join(columns), *(delimiter.join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path: Path, *, task: str = "classification", needs_y: bool = False, **keys: Any) -> Dataset:
    window = WindowKeys(**{"length": 2, "channels": CHANNELS, **keys})
    return load_dataset(path, Reading(None, task, needs_y, window=window))


def test_windows_hold_rows_in_the_order_of_the_channels(tmp_path: Path) -> None:
    data = read(write(tmp_path, table(5, c=["x"] * 5)), channels=CHANNELS[::-1])
    assert data.x.tolist() == [[[0, 0], [0.5, 1]], [[1, 2], [1.5, 3]]]
    assert list(data.names) == ["t.csv: rows 2-3", "t.csv: rows 4-5"]


@pytest.mark.parametrize("kind", ["csv.gz", "tsv", "parquet", "headless"])
def test_every_way_to_store_a_table_gives_the_same_windows(tmp_path: Path, kind: str) -> None:
    columns = table(7, state=["ok"] * 4 + ["ng"] * 3)
    plain = write(tmp_path, columns)
    keys: dict[str, Any] = {"label": "state"}
    path = tmp_path / f"u.{kind}"
    if kind == "csv.gz":
        path.write_bytes(gzip.compress(plain.read_bytes()))
    elif kind == "tsv":
        path, keys = write(tmp_path, columns, "u.tsv", "\t"), {**keys, "delimiter": "\t"}
    elif kind == "parquet":
        pq.write_table(pa.table(columns), path)
    else:
        path = tmp_path / "u.csv"
        path.write_text(plain.read_text().partition("\n")[2])
        keys["header"] = ("a", "b", "state")
    expected, found = read(plain, label="state"), read(path, **keys)
    assert np.array_equal(expected.x, found.x)
    assert found.labels == ("ng", "ok")
    assert np.array_equal(np.asarray(expected.y), np.asarray(found.y))


@pytest.mark.parametrize(
    ("rule", "expected"), [("last", [0, 1, 0]), ("first", [0, 0, 0]), ("any", [0, 1, 0]), ("majority", [0, 0, 0])]
)
def test_the_rule_says_which_rows_label_is_the_windows(tmp_path: Path, rule: str, expected: list[int]) -> None:
    path = write(tmp_path, table(9, fault=["0.0", 0, 0, 0, 0, 1, 0, 0, 0]))
    data = read(path, length=3, label="fault", rule=rule)
    assert data.y is not None
    assert data.y.tolist() == expected


def test_the_mean_of_a_target_may_be_the_windows(tmp_path: Path) -> None:
    data = read(write(tmp_path, table(4, t=[1, 2, 3, 5])), task="regression", target="t", rule="mean")
    assert data.y is not None
    assert data.y.tolist() == [1.5, 4.0]


def test_what_remains_counts_rows_to_the_end_of_the_group(tmp_path: Path) -> None:
    path = write(tmp_path, table(8, unit=[1] * 5 + [2] * 3))
    data = read(path, task="regression", needs_y=True, hop=1, group="unit", rule="remaining", at_most=2.0)
    assert data.y is not None
    assert data.y.tolist() == [2, 2, 1, 0, 1, 0]
    assert data.groups is not None
    assert data.groups.tolist() == ["1"] * 4 + ["2"] * 2


def test_groups_may_be_interleaved_and_no_window_spans_two(tmp_path: Path) -> None:
    data = read(write(tmp_path, table(8, unit=["p", "q"] * 4)), group="unit")
    assert sorted(map(tuple, data.x[..., 0].tolist())) == [(0, 2), (1, 3), (4, 6), (5, 7)]


def test_each_file_of_a_folder_is_a_group_in_natural_order(tmp_path: Path) -> None:
    for run in (10, 9):
        write(tmp_path, table(2), f"run{run}.csv")
    (tmp_path / "note.txt").write_text("no table")
    data = read(tmp_path)
    assert data.groups is not None
    assert data.groups.tolist() == ["run9", "run10"]


def test_a_missing_value_ends_the_window_unless_it_may_be_held(tmp_path: Path) -> None:
    path = write(tmp_path, {"a": [0, 1, "", 3, 4, 5], "b": [0] * 6})
    assert read(path, length=3).x[..., 0].tolist() == [[3, 4, 5]]
    held = read(path, length=3, max_hold=1)
    assert held.x[..., 0].tolist() == [[0, 1, 1], [3, 4, 5]]
    assert held.counts == {"samples": 6, "not_finite": 1, "held": 1}


def test_a_hole_in_time_ends_the_window(tmp_path: Path) -> None:
    stamps = [f"2026-01-01 00:00:{second:02}" for second in (0, 1, 2, 30, 31, 32)]
    data = read(write(tmp_path, table(6, t=stamps)), length=3, time="t", rate_hz=1.0, max_gap_s=2.0)
    assert data.x[..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert data.counts["gaps"] == 1
    assert data.times is not None
    assert np.diff(data.times).tolist() == [30.0]


@pytest.mark.parametrize(("unit", "seconds"), [("s", 1.0), ("ms", 0.001), ("h", 3600.0)])
def test_numbers_are_times_in_their_unit(tmp_path: Path, unit: str, seconds: float) -> None:
    data = read(write(tmp_path, table(4, t=[10, 11, 12, 13])), time="t", time_unit=unit)
    assert data.times is not None
    assert np.allclose(data.times, np.array([11, 13]) * seconds)


def test_german_tables_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("Zeit;Temp [°C]\n01.02.2026 10:00:00;1,5\n01.02.2026 10:00:01;2,5\n".encode("latin-1"))
    keys: dict[str, Any] = {"delimiter": ";", "decimal": ",", "encoding": "latin-1", "time": "Zeit"}
    data = read(path, channels=(Channel(name="temp"),), columns={"temp": "Temp [°C]"}, **keys)
    assert data.x.tolist() == [[[1.5], [2.5]]]


def test_slices_are_those_of_the_last_row(tmp_path: Path) -> None:
    data = read(write(tmp_path, table(4, shift=["day", "night", "night", "day"])), slices={"shift": "shift"})
    assert data.slices["shift"].tolist() == ["night", "day"]


def test_the_digest_follows_the_window_declaration(tmp_path: Path) -> None:
    path = write(tmp_path, table(9))
    assert read(path).digest == read(path).digest != read(path, hop=1).digest


@pytest.mark.parametrize(
    ("changes", "keys", "said"),
    [
        ({}, {"columns": {"a": "x"}}, "no column 'x'; the file has a, b"),
        ({"a": [0, 1, "bad", 3, 4, 5]}, {}, r"[Rr]ow #?4"),
        ({"t": [1, 2, 3, "", 5, 6]}, {"target": "t"}, 'row 5: column "t" is missing'),
        ({"s": ["x", "", "x", "x", "x", "x"]}, {"label": "s"}, 'row 3: column "s" is missing'),
        ({"t": ["soon"] * 6}, {"time": "t"}, "[Rr]ow #?2"),
        ({}, {"length": 7}, "not one window of 7 usable rows"),
        ({"b": [float("nan")] * 6}, {}, "not_finite 6"),
    ],
)
def test_what_is_wrong_in_a_table_is_told_with_its_row(
    tmp_path: Path, changes: dict[str, list[Any]], keys: dict[str, Any], said: str
) -> None:
    with pytest.raises(CalibrationError, match=said) as caught:
        read(write(tmp_path, table(**changes)), **keys)
    assert str(tmp_path / "t.csv") in str(caught.value)


def test_a_row_with_too_few_values_is_told_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(CalibrationError, match="Row #3: Expected 2 columns, got 1"):
        read(path)


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(CalibrationError, match=r"t\.parquet"):
        read(tmp_path / "t.parquet")


def test_words_are_no_sensor_values(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["x", "y"], "b": [1.0, 2.0]}), tmp_path / "t.parquet")
    with pytest.raises(CalibrationError, match='column "a" holds string, not numbers'):
        read(tmp_path / "t.parquet")


def test_evaluation_needs_a_label_or_a_target(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="neither a label nor a target"):
        read(write(tmp_path, table()), needs_y=True)
