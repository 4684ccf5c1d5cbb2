"""Copies between sets: exact ones, near ones, and what only looks alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.compress.data.duplicates import Leak, find_leak, find_near, fingerprint
from edge_runtime.compress.dataset import Dataset

Array = npt.NDArray[Any]


def textures(n: int, seed: int, side: int = 48) -> Array:
    """Pictures of one scene under a lamp, each with a coarse texture of its own."""
    rng = np.random.default_rng(seed)
    scene = np.linspace(60, 160, side)[None, :, None] * np.ones((side, 1, 3))
    own = rng.normal(0, 15, (n, side // 4, side // 4, 1)).repeat(4, axis=1).repeat(4, axis=2)
    return np.clip(scene + own + rng.normal(0, 2, (n, side, side, 3)), 0, 255).astype(np.uint8)


def courses(n: int, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 40, 3)).cumsum(axis=1).astype(np.float32) * np.array([1, 100, 0.01], np.float32)


def leak(evaluation: Array, other: Array) -> Leak:
    ours, theirs = Dataset(evaluation, None), Dataset(other, None, names=[f"file{i}" for i in range(len(other))])
    return find_leak(ours, theirs, fingerprint(evaluation), fingerprint(other))


def test_copies_are_counted_and_named() -> None:
    known = textures(60, 0)
    found = leak(np.concatenate([textures(20, 1), known[7:10]]), known)
    assert (found.n, found.exact, found.near) == (23, 3, 0)
    assert found.examples[0] == ("exact", "sample 20", "file7")


def test_pictures_of_the_same_scene_are_no_duplicates() -> None:
    found = leak(textures(100, 1), textures(200, 2))
    assert (found.exact, found.near) == (0, 0)


def jpeg(pixels: Array) -> Array:
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


@pytest.mark.parametrize("how", ["jpeg", "brighter", "noisy", "resized"])
def test_a_picture_saved_another_way_is_a_near_duplicate(how: str) -> None:
    known = textures(80, 3)
    noise = np.random.default_rng(4).normal(0, 4, known[0].shape)
    change: dict[str, Callable[[Array], Array]] = {
        "jpeg": jpeg,
        "brighter": lambda each: np.clip(each * 1.05 + 5, 0, 255).astype(np.uint8),
        "noisy": lambda each: np.clip(each + noise, 0, 255).astype(np.uint8),
        "resized": lambda each: np.asarray(cv2.resize(cv2.resize(each, (64, 64)), (48, 48))),
    }
    changed = np.stack([change[how](each) for each in known[:40]])
    assert find_near(changed, known).tolist() == list(range(40))


def test_black_pictures_and_standing_machines_are_not_counted() -> None:
    black = np.zeros((5, 48, 48, 3), np.uint8)
    found = leak(black, np.concatenate([black, textures(20, 5)]))
    assert (found.exact, found.near, found.idle) == (0, 0, 5)
    still = np.full((5, 40, 3), 7, np.float32)
    found = leak(still, np.concatenate([still, courses(20, 5)]))
    assert (found.exact, found.near, found.idle) == (0, 0, 5)


def test_windows_that_differ_by_noise_of_the_sensor_are_near_duplicates() -> None:
    known = courses(100, 6)
    spread = known.reshape(-1, 3).std(axis=0)
    noisy = known[:30] + np.random.default_rng(7).normal(size=known[:30].shape).astype(np.float32) * spread * 0.01
    assert find_near(noisy.astype(np.float32), known).tolist() == list(range(30))
    assert (find_near(courses(100, 8), known) == -1).all()


def test_windows_of_one_steady_state_are_no_duplicates() -> None:
    rng = np.random.default_rng(9)
    levels = rng.choice([0.0, 100.0], (200, 1, 1))
    steady = (levels + rng.normal(0, 0.1, (200, 40, 2))).astype(np.float32)
    assert (find_near(steady[:100], steady[100:]) == -1).all()


def test_samples_of_few_values_meet_by_chance_and_are_compared_exactly_only() -> None:
    rows = np.arange(20, dtype=np.float32).reshape(10, 1, 2)
    found = leak(rows + np.float32(0.01), rows)
    assert not found.searched_near
    assert (found.exact, found.near) == (0, 0)


def test_long_windows_are_compared_by_stretches() -> None:
    known = np.random.default_rng(1).normal(size=(50, 3000, 2)).cumsum(axis=1).astype(np.float32)
    assert find_near(known[10:20].copy(), known).tolist() == list(range(10, 20))
