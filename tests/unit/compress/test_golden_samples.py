"""Golden samples are few where they are large, and decided so clearly that another engine decides the same."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.compress.golden_samples import choose_clear, clearly_decided, golden_count
from tests.bundles import image_model, window_model


@pytest.mark.parametrize(("sample_bytes", "count"), [(64, 16), (49_152, 7), (10_000_000, 4)])
def test_large_inputs_give_few_golden_samples(sample_bytes: int, count: int) -> None:
    assert golden_count(sample_bytes) == count


def test_sample_far_from_every_threshold_is_clear() -> None:
    assert clearly_decided(image_model().manifest, np.array([[100, -100, -116]], np.int8), 16).all()


def test_sample_near_a_threshold_is_not_clear() -> None:
    assert not clearly_decided(image_model().manifest, np.array([[-60, 30, -98]], np.int8), 16).any()


def test_sample_with_two_equally_likely_labels_is_not_clear() -> None:
    assert not clearly_decided(image_model().manifest, np.array([[-1, -5, -122]], np.int8), 16).any()


def test_regression_near_its_threshold_is_not_clear() -> None:
    manifest = window_model().manifest
    quantization = manifest.outputs[0].quantization
    assert quantization is not None
    at_threshold = round(-2.0 / quantization.scale[0]) + quantization.zero_point[0]
    assert not clearly_decided(manifest, np.array([[at_threshold + 3]], np.int8), 16).any()


def test_doubtful_samples_are_taken_only_where_clear_ones_are_too_few() -> None:
    assert choose_clear(np.array([False, True, False, True]), 3).tolist() == [0, 1, 3]
