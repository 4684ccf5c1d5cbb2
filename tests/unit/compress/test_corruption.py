"""Damage is what it says, the same every time, and measured on both models."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.bundle.manifest import Decision
from edge_runtime.compress.corruption import PICTURES, WINDOWS, corrupt_pictures, corrupt_windows, measure_corruption
from edge_runtime.compress.outcomes import Outcomes

PICTURE = np.random.default_rng(0).integers(0, 256, (3, 20, 24, 3), dtype=np.uint8)
WINDOW = np.random.default_rng(1).normal(size=(3, 30, 2)).astype(np.float32) * np.array([1.0, 100.0], np.float32)


@pytest.mark.parametrize(("kind", "strength"), PICTURES)
def test_damage_to_pictures_is_the_same_every_time_and_keeps_their_form(kind: str, strength: float) -> None:
    first, second = (corrupt_pictures(PICTURE, kind, strength) for _ in range(2))
    assert (first == second).all()
    assert (first.dtype, first.shape) == (PICTURE.dtype, PICTURE.shape)
    assert (first != PICTURE).any()


@pytest.mark.parametrize(("kind", "strength"), WINDOWS)
def test_damage_to_windows_is_the_same_every_time_and_keeps_their_form(kind: str, strength: float) -> None:
    first, second = (corrupt_windows(WINDOW, kind, strength) for _ in range(2))
    assert (first == second).all()
    assert (first.dtype, first.shape) == (WINDOW.dtype, WINDOW.shape)
    assert (first != WINDOW).any()


def test_blur_spreads_a_point_and_keeps_its_light() -> None:
    picture = np.zeros((1, 21, 21), np.uint8)
    picture[0, 10, 10] = 255
    blurred = corrupt_pictures(picture, "blur", 1.0)[0].astype(int)
    assert blurred[10, 10] == pytest.approx(255 / (2 * np.pi), rel=0.05)
    assert blurred[10, 9] == blurred[9, 10] == blurred[11, 10]
    assert blurred.sum() == pytest.approx(255, rel=0.05)


def test_an_even_picture_survives_blur_up_to_its_edges() -> None:
    assert (corrupt_pictures(np.full((1, 9, 9, 3), 77, np.uint8), "blur", 2.0) == 77).all()


def test_exposure_saturates() -> None:
    assert corrupt_pictures(np.array([[[100, 250]]], np.uint8), "exposure", 1.4).tolist() == [[[140, 255]]]


def test_noise_of_a_sensor_is_relative_to_its_own_spread() -> None:
    noise = corrupt_windows(np.tile(WINDOW, (50, 1, 1)), "noise", 0.15) - np.tile(WINDOW, (50, 1, 1))
    spread = WINDOW.std(axis=(0, 1))
    assert noise.std(axis=(0, 1)) == pytest.approx(0.15 * spread, rel=0.1)


def test_moving_average_of_a_ramp_is_the_ramp() -> None:
    ramp = np.arange(30, dtype=np.float32).reshape(1, 30, 1)
    assert corrupt_windows(ramp, "blur", 3.0)[0, 1:-1, 0] == pytest.approx(np.arange(1, 29), abs=1e-4)


def test_both_models_see_the_same_damage_and_the_drop_is_paired() -> None:
    y = np.array([0, 1, 0, 1])
    right = np.eye(2, dtype=np.float32)[y]
    clean = Outcomes("classification", ("a", "b"), Decision(), y, right, right)
    seen: list[npt.NDArray[np.uint8]] = []

    def predict(x: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        seen.append(x)
        return right, right[::-1] if len(seen) == 2 else right

    figures = measure_corruption(np.repeat(PICTURE[:1], 4, axis=0), clean, predict, "accuracy")
    assert [each.kind for each in figures] == ["none", "blur", "blur", "noise", "noise", "exposure", "exposure"]
    assert [each.drop.value for each in figures] == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
