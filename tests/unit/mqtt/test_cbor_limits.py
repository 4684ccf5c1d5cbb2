"""The walk over CBOR, at its limits exactly."""

from __future__ import annotations

import cbor2
import pytest

from edge_runtime.errors import MessageError
from edge_runtime.mqtt.cbor_limits import MAX_DEPTH, MAX_MAP_PAIRS, end_of_item


def reason_of(data: bytes, start: int = 0, *, max_items: int = 1000) -> str | None:
    """Why the walk refuses; None when it reaches the end."""
    try:
        assert end_of_item(data, start, max_items=max_items) == len(data)
    except MessageError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("tree", "n_items"),
    [(5, 1), ([1, 2, 3], 4), ([1.5] * 10, 11), ([1.5] * 9 + [1], 11), ({"a": 1}, 3), ([[1.5, 2.5], [3.5]], 6), ([], 1)],
)
def test_items_are_counted_exactly(tree: object, n_items: int) -> None:
    data = cbor2.dumps(tree)
    assert (reason_of(data, max_items=n_items), reason_of(data, max_items=n_items - 1)) == (None, "too_many_items")


def test_nesting_is_allowed_to_its_limit_and_no_further() -> None:
    assert reason_of(b"\x81" * MAX_DEPTH + b"\x00") is None
    assert reason_of(b"\x81" * (MAX_DEPTH + 1) + b"\x00") == "too_deep"


def test_map_is_allowed_to_its_limit_and_no_further() -> None:
    assert reason_of(cbor2.dumps(dict.fromkeys(map(str, range(MAX_MAP_PAIRS)), 1))) is None
    assert reason_of(cbor2.dumps(dict.fromkeys(map(str, range(MAX_MAP_PAIRS + 1)), 1))) == "too_many_items"


@pytest.mark.parametrize("text", ["17", "1817", "19ffff", "1a00010000", "1bffffffffffffffff", "20", "3818"])
def test_numbers_of_every_width_are_stepped_over(text: str) -> None:
    assert reason_of(bytes.fromhex(text)) is None


@pytest.mark.parametrize("text", ["f4", "f5", "f6", "f93c00", "fa3fc00000", "fb3ff8000000000000"])
def test_plain_simple_values_are_stepped_over(text: str) -> None:
    assert reason_of(bytes.fromhex(text)) is None


@pytest.mark.parametrize(
    "text", ["e0", "f3", "f7", "f818", "f8ff", "1c", "1d", "1e", "1f", "3f", "5f", "7f", "ff", "c0"]
)
def test_what_is_not_plain_is_refused(text: str) -> None:
    assert reason_of(bytes.fromhex(text) + bytes(8)) == "bad_cbor"


@pytest.mark.parametrize("tree", [5000, "hello", b"bytes", [1, 2], [1.5, 2.5], {"a": [1.5]}, 1.5])
def test_item_cut_anywhere_is_truncated(tree: object) -> None:
    data = cbor2.dumps(tree)
    assert {reason_of(data[:length]) for length in range(len(data))} == {"truncated"}


def test_walk_begins_where_it_is_told() -> None:
    assert reason_of(b"\xff\xff" + cbor2.dumps([1, 2]), start=2) is None


def test_floats_of_mixed_widths_are_stepped_over_one_by_one() -> None:
    assert reason_of(bytes.fromhex("83fa3fc00000fb3ff8000000000000f93c00")) is None
