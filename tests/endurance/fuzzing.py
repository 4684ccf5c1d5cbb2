"""Mutated inputs for the pure readers: each gives a value or one of our errors, and soon."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge_runtime.errors import EdgeRuntimeError

_WORDS = [
    b"",
    b"0",
    b"-1",
    b"1e999",
    b"null",
    b"true",
    b"[[",
    b"{}",
    b'""',
    b"\xff",
    b"\x00" * 9,
    b"NaN",
    b"9" * 40,
    b"=\n",
    b"\\u0000",
]


@dataclass
class Verdicts:
    """What became of the inputs."""

    n: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    longest_s: float = 0.0
    longest_input: bytes = b""
    bugs: list[tuple[bytes, str]] = field(default_factory=list)


def mutate(rng: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Take a good input and damage it once to six times; now and then take noise instead."""
    if rng.random() < 0.02:
        return rng.randbytes(rng.randrange(0, 300))
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        at = rng.randrange(len(data) + 1)
        to = min(len(data), at + rng.randrange(1, 24))
        match rng.randrange(8):
            case 0 | 1 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 2 if at < len(data):
                data[at] = rng.randrange(256)
            case 3:
                del data[at:to]
            case 4:
                data[at:at] = data[at:to]
            case 5:
                data[at:at] = rng.choice(_WORDS)
            case 6:
                other = rng.choice(seeds)
                cut = rng.randrange(len(other) + 1)
                data[at:] = other[cut:]
            case _:
                data[at:to] = rng.randbytes(max(0, to - at))
    return bytes(data)


def fuzz(read: Callable[[bytes], object], seeds: Sequence[bytes], *, n: int, seed: int) -> Verdicts:
    """Give so many inputs to a reader.

    Parameters
    ----------
    read : callable
        The reader.
    seeds : sequence of bytes
        Good inputs, which must be read.
    n, seed : int
        How many, and of which random numbers.

    Returns
    -------
    verdicts : Verdicts
        ``bugs`` holds inputs that raised anything but our errors.
    """
    for good in seeds:
        read(good)
    rng, verdicts = random.Random(seed), Verdicts()
    clock = time.thread_time  # what other programs take is no hang of ours
    for _ in range(n):
        data = mutate(rng, seeds)
        began = clock()
        try:
            read(data)
            verdicts.outcomes["read"] += 1
        except EdgeRuntimeError as error:
            verdicts.outcomes[type(error).__name__] += 1
        except Exception as error:  # noqa: BLE001 - whatever else comes out of a reader is what is looked for
            verdicts.bugs.append((data, repr(error)))
        took_s = clock() - began
        verdicts.n += 1
        if took_s > verdicts.longest_s:
            verdicts.longest_s, verdicts.longest_input = took_s, data
    return verdicts
