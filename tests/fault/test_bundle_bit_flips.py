"""A bundle with any single bit flipped is refused."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.errors import BundleError
from tests.bundles import TRUSTED, image_bundle, window_bundle


def accepted_flips(data: bytes, bits: Iterable[int]) -> list[int]:
    """Give the bits whose flip is not noticed."""
    accepted = []
    damaged = bytearray(data)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            read_bundle(bytes(damaged), TRUSTED)
        except BundleError:
            pass
        else:
            accepted.append(bit)
        damaged[bit // 8] ^= 1 << bit % 8
    assert bytes(damaged) == data
    return accepted


def structural_bytes(data: bytes) -> set[int]:
    """Give the places of all headers, the directory, the signature and what surrounds them."""
    places: set[int] = set()
    start = data.find(b"PK\x03\x04")
    while start >= 0:
        places.update(range(max(start - 2, 0), start + 60))
        start = data.find(b"PK\x03\x04", start + 1)
    places.update(range(data.index(b'{"algorithm"'), len(data)))
    return places


@pytest.mark.parametrize("bundle", [image_bundle, window_bundle])
def test_any_flipped_bit_of_the_structure_is_refused(bundle: object) -> None:
    data = bundle()  # type: ignore[operator]
    bits = [8 * place + bit for place in sorted(structural_bytes(data)) for bit in range(8)]
    assert accepted_flips(data, bits) == []


def test_flipped_bits_all_over_the_file_are_refused() -> None:
    data = image_bundle()
    assert accepted_flips(data, range(0, 8 * len(data), 13)) == []


@pytest.mark.slow
def test_every_flipped_bit_is_refused() -> None:
    data = window_bundle()
    assert accepted_flips(data, range(8 * len(data))) == []


def test_every_lost_byte_is_refused() -> None:
    data = window_bundle()
    cut = [place for place in range(len(data)) if _is_accepted(data[:place] + data[place + 1 :])]
    assert cut == []


def test_every_truncation_is_refused() -> None:
    data = window_bundle()
    assert [length for length in range(len(data)) if _is_accepted(data[:length])] == []


def _is_accepted(data: bytes) -> bool:
    try:
        read_bundle(data, TRUSTED)
    except BundleError:
        return False
    return True
