"""The manifest's canonical form."""

from __future__ import annotations

import json

import msgspec
import pytest

from edge_runtime.bundle.manifest import Manifest, canonical_json
from edge_runtime.bundle.reader import read_bundle
from tests.bundles import TRUSTED, image_bundle, window_bundle


def test_equal_trees_give_equal_bytes() -> None:
    assert canonical_json({"a": 1, "b": [1.5, None]}) == canonical_json({"b": [1.5, None], "a": 1})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_number_that_is_not_finite_is_refused_with_its_path(number: float) -> None:
    with pytest.raises(ValueError, match=r"\$\.a\[1\]\.b"):
        canonical_json({"a": [0.0, {"b": number}]})


def test_numbers_survive_writing_and_reading() -> None:
    numbers = [0.1, 1e-300, 2**53, -0.0, 1 / 3, 5e-324]
    assert json.loads(canonical_json(numbers)) == numbers


def test_text_is_written_as_utf_8() -> None:
    assert canonical_json("Öl") == b'"\xc3\x96l"\n'


@pytest.mark.parametrize("bundle", [image_bundle(), window_bundle()])
def test_manifest_survives_writing_and_reading(bundle: bytes) -> None:
    manifest = read_bundle(bundle, TRUSTED).manifest
    assert msgspec.json.decode(canonical_json(manifest), type=Manifest) == manifest
