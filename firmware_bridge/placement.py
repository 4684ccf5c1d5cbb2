"""Offsets for blocks whose lifetimes are known: first fit after several rules, then seeded shuffles of the best."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from firmware_bridge.liveness import Block, Slides

ARENA_ALIGN: Final = 8
_SHUFFLED_BLOCKS: Final = 400
_RESTARTS: Final = 200


def round_up(value: int, align: int) -> int:
    """Return the smallest multiple of ``align`` that is at least ``value``."""
    return -(-value // align) * align


def _forbidden(
    blocks: Sequence[Block], slides: Slides, offsets: Sequence[int], index: int, other: int
) -> tuple[int, int]:
    """Offsets between which a block may not begin because of another one that is placed; both ends are allowed."""
    low, high = offsets[other] - blocks[index].nbytes, offsets[other] + blocks[other].nbytes
    if (other, index) in slides:  # the other one is read, this one is written before it
        low = max(low, offsets[other] - slides[other, index][0])
    if (index, other) in slides:
        high = min(high, offsets[other] + slides[index, other][0])
    return low, high


def _fit(blocks: Sequence[Block], slides: Slides, order: Sequence[int]) -> list[int]:
    """First fit, block after block."""
    offsets = [0] * len(blocks)
    placed: list[int] = []
    for index in order:
        block = blocks[index]
        others = [i for i in placed if blocks[i].first <= block.last and block.first <= blocks[i].last]
        busy = sorted(_forbidden(blocks, slides, offsets, index, other) for other in others)
        units = [
            (other, slides[pair][1]) for other in others for pair in ((index, other), (other, index)) if pair in slides
        ]
        offset, settled = 0, False
        while not settled:
            settled = True
            for low, high in busy:
                if low < offset < high:
                    offset, settled = round_up(high, block.align), False
            for other, unit in units:
                apart = offset >= offsets[other] + blocks[other].nbytes or offset + block.nbytes <= offsets[other]
                if not apart and (offset - offsets[other]) % unit:
                    offset, settled = offset + (offsets[other] - offset) % unit, False
            if offset % block.align:
                offset, settled = round_up(offset, block.align), False
        offsets[index] = offset
        placed.append(index)
    return offsets


def place_blocks(blocks: Sequence[Block], slides: Slides, bound: int) -> list[int]:
    """Offsets of all blocks, the smallest arena of several rules and of seeded shuffles around the best."""
    everything = range(len(blocks))
    rules = [
        sorted(everything, key=lambda i: -blocks[i].nbytes),
        sorted(everything, key=lambda i: (-(blocks[i].last - blocks[i].first), -blocks[i].nbytes)),
        sorted(everything, key=lambda i: -blocks[i].nbytes * (1 + blocks[i].last - blocks[i].first)),
        sorted(everything, key=lambda i: (blocks[i].first, -blocks[i].nbytes)),
        sorted(everything, key=lambda i: (-blocks[i].first, -blocks[i].nbytes)),
        sorted(everything, key=lambda i: (-blocks[i].last, -blocks[i].nbytes)),
    ]
    rules += [sorted(rule, key=lambda i: not blocks[i].buffers) for rule in rules]  # scratch after everything else

    def height(offsets: Sequence[int]) -> int:
        return max((o + block.nbytes for o, block in zip(offsets, blocks, strict=True)), default=0)

    best_order = min(rules, key=lambda order: height(_fit(blocks, slides, order)))
    best = _fit(blocks, slides, best_order)
    dice = random.Random(0)  # noqa: S311 - a reproducible search, not a secret
    for _ in range(_RESTARTS):
        if height(best) <= round_up(bound, ARENA_ALIGN) or len(blocks) > _SHUFFLED_BLOCKS:
            break
        order = list(best_order)
        for _ in range(3):
            a, b = dice.randrange(len(order)), dice.randrange(len(order))
            order.insert(a, order.pop(b))
        offsets = _fit(blocks, slides, order)
        if height(offsets) <= height(best):
            best, best_order = offsets, order
    return best
