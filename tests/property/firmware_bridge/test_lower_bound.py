"""The arena's lower bound against exhaustive search over small layouts."""

from __future__ import annotations

import random

import pytest

from firmware_bridge.liveness import Block, Slides, lower_bound
from firmware_bridge.placement import place_blocks


def _chain(seed: int) -> tuple[list[Block], Slides]:
    """A chain of steps as of a sequential model: most outputs may slide, some steps have scratch."""
    dice = random.Random(seed)
    steps = dice.randint(2, 4)
    blocks = [
        Block((index,), dice.randint(2, 7), 1, max(index - 1, 0), min(index, steps - 1)) for index in range(steps + 1)
    ]
    slides = {
        (index, index + 1): (dice.randint(0, 3), dice.choice((1, 1, 2)))
        for index in range(steps)
        if dice.random() < 0.8
    }
    blocks += [Block((), dice.randint(1, 6), 1, at, at) for at in range(steps) if dice.random() < 0.5]
    return blocks, slides


def _may_lie(blocks: list[Block], slides: Slides, offsets: list[int], one: int, other: int) -> bool:
    """Whether two blocks with offsets do not disturb each other."""
    a, b = blocks[one], blocks[other]
    if a.first > b.last or b.first > a.last:
        return True
    if offsets[one] + a.nbytes <= offsets[other] or offsets[other] + b.nbytes <= offsets[one]:
        return True
    for read, written in ((one, other), (other, one)):
        ahead = offsets[read] - offsets[written]
        if (read, written) in slides and ahead >= slides[read, written][0] and ahead % slides[read, written][1] == 0:
            return True
    return False


def _exists(blocks: list[Block], slides: Slides, size: int, offsets: list[int]) -> bool:
    """Whether the blocks behind those that have offsets find room, too."""
    index = len(offsets)
    if index == len(blocks):
        return True
    for offset in range(size - blocks[index].nbytes + 1):
        placed = [*offsets, offset]
        fits = all(_may_lie(blocks, slides, placed, other, index) for other in range(index))
        if fits and _exists(blocks, slides, size, placed):
            return True
    return False


@pytest.mark.parametrize("seed", range(300))
def test_no_layout_is_smaller_than_the_lower_bound(seed: int) -> None:
    blocks, slides = _chain(seed)
    assert not _exists(blocks, slides, lower_bound(blocks, slides) - 1, [])


@pytest.mark.parametrize("seed", range(300))
def test_layout_that_was_found_is_one(seed: int) -> None:
    blocks, slides = _chain(seed)
    bound = lower_bound(blocks, slides)
    offsets = place_blocks(blocks, slides, bound)
    pairs = ((one, other) for one in range(len(blocks)) for other in range(one))
    assert all(_may_lie(blocks, slides, offsets, one, other) for one, other in pairs)
