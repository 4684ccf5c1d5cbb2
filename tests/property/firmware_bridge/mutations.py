"""Damage to model files: flipped bits, extreme bytes, cut ends, noise."""

from __future__ import annotations

import random


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A damaged copy."""
    damaged = bytearray(data)
    kind = dice.randrange(4)
    if kind == 0:
        for _ in range(dice.randrange(1, 4)):
            damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
    elif kind == 1:
        for _ in range(dice.randrange(1, 9)):
            damaged[dice.randrange(len(damaged))] = dice.choice((0, 1, 127, 128, 255))
    elif kind == 2:
        return bytes(damaged[: dice.randrange(len(damaged))])
    else:
        at = dice.randrange(len(damaged))
        damaged[at : at + 12] = dice.randbytes(12)
    return bytes(damaged)
