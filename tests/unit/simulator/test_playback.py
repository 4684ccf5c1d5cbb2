"""Recordings are sent as they are."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_runtime.errors import HostEnvironmentError, UsageError
from edge_runtime.simulator.playback import list_pictures, picture_messages, read_table, table_messages


def test_pictures_go_out_byte_for_byte_with_the_file_name_as_part(tmp_path: Path) -> None:
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    messages = list(picture_messages(tmp_path, topic="t", rate_hz=2.0, start_ms=1000))
    assert [each.payload for each in messages] == [b"a.jpg", b"b.jpg"]
    assert [each.metadata.part for each in messages if each.metadata] == ["a", "b"]
    assert [each.at_s for each in messages] == [0.0, 0.5]


def test_a_loop_gives_later_rounds_parts_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    looped = islice(picture_messages(tmp_path, topic="t", rate_hz=1.0, start_ms=0, loop=True), 3)
    assert [each.metadata.part for each in looped if each.metadata] == ["a", "a.1", "a.2"]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \.jpg"):
        list_pictures(tmp_path)


def test_mixed_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"x")
    with pytest.raises(UsageError, match="mixed"):
        list_pictures(tmp_path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_columns_are_found_by_name_whatever_the_separator(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(separator.join(["time", "a", "b"]) + "\n" + separator.join(["x", "1.5", "2"]) + "\n")
    assert read_table(path, ["b", "a"]).tolist() == [[2.0, 1.5]]


def test_a_cell_that_is_no_number_becomes_nan(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,\nerror,4\n")
    values = read_table(path, [])
    assert np.isnan(values[0, 1])
    assert np.isnan(values[1, 0])


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="no column c; there are a, b"):
        read_table(path, ["c"])


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n")
    with pytest.raises(UsageError, match="no rows"):
        read_table(path, [])


def test_a_missing_file_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match="cannot be read"):
        read_table(tmp_path / "no.csv", [])


def test_rows_travel_in_blocks_with_their_times() -> None:
    values = np.arange(10.0).reshape(5, 2)
    messages = list(table_messages(values, topic="t", rate_hz=10.0, block=2, start_ms=0))
    assert [len(each.payload) for each in messages] == [16, 16, 8]
    assert [each.metadata.ts_ms for each in messages if each.metadata] == [0, 200, 400]
    assert np.frombuffer(messages[1].payload, "<f4").tolist() == [4.0, 5.0, 6.0, 7.0]


def test_json_blocks_leave_broken_rows_out() -> None:
    values = np.array([[1.0, np.nan], [2.0, 3.0]])
    (message,) = table_messages(values, topic="t", rate_hz=1.0, block=2, start_ms=7, as_json=True)
    assert msgspec.json.decode(message.payload) == {"t0_ms": 7, "rate_hz": 1.0, "values": [[2.0, 3.0]]}
