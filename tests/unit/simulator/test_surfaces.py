"""Rendered parts: the truth fits the picture."""

from __future__ import annotations

import numpy as np
import pytest

from edge_runtime.simulator.surfaces import DEFECT_CLASSES, MATERIALS, render_part


@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("label", DEFECT_CLASSES)
def test_boxes_hold_the_mask_of_the_defect(material: str, label: str) -> None:
    part = render_part(np.random.default_rng(3), material=material, label=label)
    assert part.pixels.dtype == np.uint8
    assert part.pixels.shape == (480, 640, 3)
    assert part.label == label
    assert len(part.boxes) >= 1
    rows, columns = np.nonzero(part.mask)
    assert len(rows)
    inside = np.zeros(len(rows), bool)
    for x1, y1, x2, y2 in part.boxes:
        inside |= (columns >= x1 - 1) & (columns <= x2 + 1) & (rows >= y1 - 1) & (rows <= y2 + 1)
    assert inside.all()


def test_a_good_part_has_no_boxes_and_an_empty_mask() -> None:
    part = render_part(np.random.default_rng(4), label="good")
    assert len(part.boxes) == 0
    assert not part.mask.any()


def test_the_same_state_draws_the_same_part() -> None:
    first = render_part(np.random.default_rng(9))
    second = render_part(np.random.default_rng(9))
    assert np.array_equal(first.pixels, second.pixels)


def test_there_are_six_classes_of_defects_or_more() -> None:
    assert len(set(DEFECT_CLASSES)) >= 6


def test_size_of_the_picture_is_free() -> None:
    assert render_part(np.random.default_rng(1), height=120, width=200).pixels.shape == (120, 200, 3)
