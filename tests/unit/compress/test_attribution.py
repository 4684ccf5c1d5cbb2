"""Occlusion maps of models whose weights are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.compress.attribution import AttributionMaps, compare_attribution, mean_correlation, occlusion_map

Floats = npt.NDArray[np.float32]


def linear(weights: npt.NDArray[np.float64]) -> Callable[[Floats], Floats]:
    return lambda inputs: (inputs.reshape(len(inputs), -1) @ weights.reshape(-1, 1)).astype(np.float32)


def test_the_map_of_a_linear_model_is_its_weight_times_what_was_covered() -> None:
    rng = np.random.default_rng(0)
    weights, sample = rng.normal(size=(8, 8, 1)), rng.normal(size=(8, 8, 1)).astype(np.float32)
    found = occlusion_map(linear(weights), sample, np.array([0.5], np.float32), 0)
    assert found == pytest.approx((weights * (sample - 0.5))[..., 0], abs=1e-5)


@pytest.mark.parametrize(
    ("shape", "grid"),
    [((20, 30, 3), (8, 8)), ((5, 6, 1), (5, 6)), ((64, 4), (8, 4)), ((30, 40), (8, 16)), ((9,), (8, 1))],
)
def test_parts_cover_every_input_once(shape: tuple[int, ...], grid: tuple[int, int]) -> None:
    sample = np.ones(shape, np.float32)
    found = occlusion_map(linear(np.ones(shape)), sample, np.zeros(shape[-1], np.float32), 0)
    assert found.shape == grid
    assert found.sum() == pytest.approx(np.prod(shape))


def test_models_that_look_at_the_same_places_correlate_and_others_do_not() -> None:
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(4, 8, 8, 1)).astype(np.float32)
    weights = rng.normal(size=(8, 8, 1))
    same = compare_attribution(range(4), (inputs, inputs), (linear(weights), linear(weights)), step=0.0)
    other = compare_attribution(range(4), (inputs, inputs), (linear(weights), linear(-weights)), step=0.0)
    assert [each.correlation for each in same] == pytest.approx([1.0] * 4)
    assert [each.correlation for each in other] == pytest.approx([-1.0] * 4)


def test_a_map_flatter_than_the_int8_output_can_show_is_not_compared() -> None:
    inputs = np.random.default_rng(2).normal(size=(1, 8, 8, 1)).astype(np.float32)
    model = linear(np.full((8, 8, 1), 1e-6))
    found = compare_attribution([7], (inputs, inputs), (model, model), step=1 / 256)
    assert (found[0].sample, found[0].correlation) == (7, None)
    assert mean_correlation(found) is None


def test_a_flat_int8_map_has_no_likeness() -> None:
    inputs = np.random.default_rng(2).normal(size=(1, 8, 8, 1)).astype(np.float32)
    pair = (linear(np.ones((8, 8, 1))), linear(np.zeros((8, 8, 1))))
    assert compare_attribution([0], (inputs, inputs), pair, step=0.0)[0].correlation == 0.0


def test_the_mean_is_over_what_can_be_compared() -> None:
    empty = np.zeros((1, 1))
    maps = [AttributionMaps(index, empty, empty, value) for index, value in enumerate([0.5, None, 1.0])]
    found = mean_correlation(maps, np.array([0, 1, 2]))
    assert found is not None
    assert (found.value, found.n) == (0.75, 2)
