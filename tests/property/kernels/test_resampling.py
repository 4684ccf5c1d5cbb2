"""Every kernel on frames agrees to the bit with its twin in exact arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.kernels.geometry import crop, letterbox, stretch
from edge_runtime.kernels.image import Resampler, resize
from tests.property.kernels import twins

Pixels = npt.NDArray[np.uint8]
Twin = Callable[[Pixels, int, int], Pixels]
TWINS: dict[Literal["linear", "area", "nearest"], Twin] = {
    "linear": twins.resize_linear,
    "area": twins.resize_area,
    "nearest": twins.resize_nearest,
}
sides = st.integers(1, 12)
shapes = st.tuples(sides, sides, st.sampled_from([(), (3,)])).map(lambda s: (s[0], s[1], *s[2]))


@st.composite
def frames(draw: st.DrawFn) -> Pixels:
    """Small frames, grey or coloured, noisy or extreme."""
    shape = draw(shapes)
    seed = draw(st.integers(0, 2**32 - 1))
    values = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return np.where(values < 128, 0, 255).astype(np.uint8) if draw(st.booleans()) else values


@pytest.mark.parametrize("interpolation", ["linear", "area", "nearest"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(pixels=frames(), height=sides, width=sides)
def test_resize_agrees_with_exact_arithmetic(
    interpolation: Literal["linear", "area", "nearest"], pixels: Pixels, height: int, width: int
) -> None:
    resized = resize(pixels, height, width, interpolation)
    np.testing.assert_array_equal(resized, TWINS[interpolation](pixels, height, width))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(pixels=frames(), height=sides, width=sides, seed=st.integers(0, 99), data=st.data())
def test_one_pass_agrees_with_resize_then_colour_then_table(
    pixels: Pixels, height: int, width: int, seed: int, data: st.DataObject
) -> None:
    n_channels = 1 if pixels.ndim == 2 else 3
    order = data.draw(st.sampled_from([(0,), (0, 0, 0)] if n_channels == 1 else [(0, 1, 2), (2, 1, 0), (0,)]))
    dtype = data.draw(st.sampled_from(["int8", "uint8", "int16", "float32"]))
    place = data.draw(st.sampled_from([stretch, letterbox, crop]))
    interpolation = data.draw(st.sampled_from(list(TWINS)))
    codes = twins.tables(len(order), dtype, seed)
    pad = seed
    geometry = place(pixels.shape[0], pixels.shape[1], height, width)
    out = np.full((height, width, len(order)), 77, dtype)
    Resampler(geometry, n_channels, interpolation, order).fill(pixels, codes, pad, out)

    g = geometry
    part = pixels[g.source_top : g.source_top + g.source_height, g.source_left : g.source_left + g.source_width]
    inner: npt.NDArray[Any] = TWINS[interpolation](np.ascontiguousarray(part), g.height, g.width)
    inner = inner.reshape(g.height, g.width, -1)
    inner = twins.luma(inner)[..., None] if len(order) < n_channels else inner[..., list(order)]
    whole = np.full((height, width, len(order)), pad, np.uint8)
    whole[g.top : g.top + g.height, g.left : g.left + g.width] = inner
    wanted = np.stack([codes[c][whole[..., c]] for c in range(len(order))], axis=-1)
    np.testing.assert_array_equal(out, wanted)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    height=st.integers(1, 5000), width=st.integers(1, 5000), target=st.tuples(st.integers(1, 900), st.integers(1, 900))
)
def test_geometry_stays_inside_and_keeps_the_aspect_ratio(height: int, width: int, target: tuple[int, int]) -> None:
    fit = letterbox(height, width, *target)
    cut = crop(height, width, *target)
    for g in (fit, cut):
        assert 0 <= g.source_top <= g.source_top + g.source_height <= height
        assert 0 <= g.source_left <= g.source_left + g.source_width <= width
        assert 0 <= g.top <= g.top + g.height <= target[0]
        assert 0 <= g.left <= g.left + g.width <= target[1]
    scale = min(target[0] / height, target[1] / width)
    assert abs(fit.height - max(1, height * scale)) <= 0.5001
    assert abs(fit.width - max(1, width * scale)) <= 0.5001
    scale = max(target[0] / height, target[1] / width)
    assert abs(cut.source_height - max(1, target[0] / scale)) <= 0.5001
    assert abs(cut.source_width - max(1, target[1] / scale)) <= 0.5001
