"""Every fault of a tree against a type."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, Struct

from edge_runtime.config_checks import list_contradictions
from edge_runtime.faults import list_faults


class Inner(Struct):
    name: Annotated[str, Meta(min_length=1, max_length=5, pattern="^[a-z]+$")]


class Outer(Struct):
    share: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    above: Annotated[int, Meta(gt=5)] = 6
    table: dict[str, Annotated[int, Meta(le=3)]] = {}
    some: Annotated[list[int], Meta(min_length=1, max_length=2)] = msgspec.field(default_factory=lambda: [1])
    inner: Inner | None = None
    renamed: int = msgspec.field(name="other", default=0)


@pytest.mark.parametrize(
    ("tree", "faults"),
    [
        ({}, []),
        ({"share": 0, "other": 5, "inner": {"name": "abc"}, "table": {"a": 1}, "some": [1, 2]}, []),
        ({"share": 1}, ["$.share: expected less than 1, got 1"]),
        ({"above": 5}, ["$.above: expected more than 5, got 5"]),
        ({"table": 5}, ["$.table: expected a table, got 5"]),
        (
            {"table": {"a": 4, "b": "c"}},
            ["$.table.a: expected at most 3, got 4", '$.table.b: expected a whole number, got "c"'],
        ),
        ({"some": []}, ["$.some: expected at least 1 item(s), got 0"]),
        ({"some": [1, 2, "x"]}, ["$.some: expected at most 2 items, got 3"]),
        ({"some": {"a": 1}}, ["$.some: expected an array, got a table"]),
        ({"inner": {}}, ["$.inner.name: missing"]),
        ({"inner": {"name": ""}}, ["$.inner.name: expected at least 1 character(s)"]),
        ({"inner": {"name": "abcdef"}}, ["$.inner.name: expected at most 5 characters, got 6"]),
        ({"inner": {"name": "ABC"}}, ['$.inner.name: expected text like ^[a-z]+$, got "ABC"']),
        ({"renamed": 5}, ["$.renamed: unknown key; there are share, above, table, some, inner, other"]),
        ({"shares": 5}, ['$.shares: unknown key; did you mean "share"?']),
        (
            {"api_key": "x"},
            ['$.api_key: secrets are not written here; put it in a file and name the file, as in "password_file"'],
        ),
        ({"above": date(2020, 1, 1)}, ['$.above: expected a whole number, got "2020-01-01"']),
        (5, ["$: expected a table, got 5"]),
    ],
)
def test_faults_are_named_with_path_and_remedy(tree: Any, faults: list[str]) -> None:
    assert list_faults(tree, Outer) == faults


def test_long_value_is_shortened() -> None:
    (fault,) = list_faults({"above": "x" * 1000}, Outer)
    assert len(fault) < 120


def test_root_can_have_another_name() -> None:
    assert list_faults({}, Inner, path="recipe") == ["recipe.name: missing"]


def test_type_that_a_configuration_cannot_hold_is_our_own_mistake() -> None:
    with pytest.raises(TypeError, match="cannot hold BytesType"):
        list_faults(b"", bytes)


def test_contradictions_of_what_is_no_table_are_none() -> None:
    assert list_contradictions([]) == []
    assert list_contradictions({"camera": 5, "sensor": [5], "broker": [], "gateway": 3, "worker": 1}) == []
