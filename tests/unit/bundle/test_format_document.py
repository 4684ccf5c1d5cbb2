"""The format document names every field that is written."""

from __future__ import annotations

import inspect
from pathlib import Path

import msgspec
import pytest

from edge_runtime.bundle import ledger, manifest, signature

STRUCTS = [
    value
    for module in (manifest, ledger, signature)
    for value in vars(module).values()
    if inspect.isclass(value) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__
]


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_field_is_specified(struct: type[msgspec.Struct], project: Path) -> None:
    text = (project / "docs" / "formats" / "bundle.md").read_text(encoding="utf-8")
    missing = [field for field in struct.__struct_fields__ if f"`{field}`" not in text and f'"{field}"' not in text]
    assert missing == []
