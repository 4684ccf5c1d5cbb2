"""How far outputs may run into their inputs."""

from __future__ import annotations

import itertools

import pytest

from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.lower import lower_model
from firmware_bridge.model import read_model
from firmware_bridge.operators.sliding import Geometry, slide_distance
from firmware_bridge.targets import TARGETS


def _brute_force(window: Geometry, source: tuple[int, ...], target: tuple[int, ...]) -> int:
    """Write pixel after pixel and see what each pixel still reads."""
    reads = []
    for b, oy, ox in itertools.product(range(target[0]), range(target[1]), range(target[2])):
        taps = [
            ((b * source[1] + y) * source[2] + x) * source[3]
            for ky in range(window.kernel_h)
            for kx in range(window.kernel_w)
            for y in [oy * window.stride_h - window.pad_top + ky * window.dilation_h]
            for x in [ox * window.stride_w - window.pad_left + kx * window.dilation_w]
            if 0 <= y < source[1] and 0 <= x < source[2]
        ]
        reads.append(min(taps, default=1 << 30))
    return max(0, *((i + 1) * target[3] - min(reads[i:]) for i in range(len(reads))))


@pytest.mark.parametrize(
    ("window", "source", "target"),
    [
        (Geometry(1, 1, 1, 1, 1, 1, 0, 0), (1, 5, 4, 3), (1, 5, 4, 7)),
        (Geometry(3, 3, 1, 1, 1, 1, 1, 1), (1, 6, 5, 4), (1, 6, 5, 4)),
        (Geometry(3, 3, 2, 2, 1, 1, 0, 0), (2, 8, 8, 3), (2, 4, 4, 8)),
        (Geometry(3, 3, 1, 1, 2, 2, 2, 2), (1, 7, 7, 2), (1, 7, 7, 2)),
        (Geometry(5, 2, 1, 3, 1, 1, 2, 0), (1, 9, 9, 1), (1, 9, 3, 6)),
    ],
)
def test_distance_is_never_shorter_than_what_pixels_still_read(
    window: Geometry, source: tuple[int, ...], target: tuple[int, ...]
) -> None:
    assert slide_distance(window, source, target) >= _brute_force(window, source, target)


def test_distance_of_one_to_one_layers_is_exact() -> None:
    window, shape = Geometry(3, 3, 1, 1, 1, 1, 1, 1), (1, 6, 5, 4)
    assert slide_distance(window, shape, shape) == _brute_force(window, shape, shape)


def test_depthwise_layers_slide_by_whole_pixels_only() -> None:
    """A kernel that goes over the image once per channel would else overwrite other channels of earlier pixels."""
    found = 0
    for seed in range(40):
        program = lower_model(read_model(random_model(seed)), TARGETS["generic"])
        for step in program.steps:
            if step.name == "DEPTHWISE_CONV_2D" and step.slides and step.calls[0].kernel == "depthwise_s8":
                _, _, distance, unit = step.slides[0]
                channels = step.calls[0].arguments[0].values["in_channels"]  # type: ignore[union-attr]
                assert (unit, distance % unit) == (channels, 0)
                found += 1
    assert found > 3
