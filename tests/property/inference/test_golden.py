"""The rule of golden outputs, on any outputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from msgspec.structs import replace

from edge_runtime.bundle.golden import GoldenVectors
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.recorded import Triple
from edge_runtime.errors import BundleCompatibilityError
from edge_runtime.inference.golden import decisions, judge_golden
from edge_runtime.inference.interface import Array
from tests.bundles import TRUSTED, image_bundle

MANIFEST = read_bundle(image_bundle(), TRUSTED).manifest
(SHIPPED,) = MANIFEST.golden.sets
HERE = Triple(SHIPPED.engine, SHIPPED.version, SHIPPED.instruction_set)
ELSEWHERE = Triple("litert", "0", "nowhere")
answers = arrays_of.arrays(np.int8, (6, 3))


def vectors(expected: Array) -> GoldenVectors:
    return GoldenVectors(inputs=(), references=(), outputs={SHIPPED.key: (expected,)})


@given(answers, st.sampled_from([HERE, ELSEWHERE]))
def test_equal_bits_always_pass(expected: Array, triple: Triple) -> None:
    assert judge_golden(MANIFEST, vectors(expected), triple, [expected.copy()], None).max_lsb == 0.0


@given(answers, answers)
def test_same_triple_passes_with_equal_bits_only(expected: Array, found: Array) -> None:
    if np.array_equal(expected, found):
        return
    with pytest.raises(BundleCompatibilityError):
        judge_golden(MANIFEST, vectors(expected), HERE, [found], None)


@given(answers, arrays_of.arrays(np.int16, (6, 3), elements=st.integers(-3, 3)), st.integers(0, 4))
def test_other_triple_passes_within_the_steps_and_with_equal_decisions_only(
    expected: Array, change: Array, max_lsb: int
) -> None:
    manifest = replace(MANIFEST, golden=replace(MANIFEST.golden, max_lsb=max_lsb))
    found = np.clip(expected + change, -128, 127).astype(np.int8)
    largest = int(np.abs(found.astype(int) - expected.astype(int)).max())
    same = np.array_equal(decisions(manifest, [expected]), decisions(manifest, [found]))
    if largest <= max_lsb and same:
        assert judge_golden(manifest, vectors(expected), ELSEWHERE, [found], None).max_lsb == largest
    else:
        with pytest.raises(BundleCompatibilityError):
            judge_golden(manifest, vectors(expected), ELSEWHERE, [found], None)
