"""``window.cbor``: written, read, and refused where it is anything else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cbor2
import numpy as np
import pytest

from edge_runtime.errors import MessageError, PayloadFormatError, PayloadSizeError
from edge_runtime.mqtt.evidence import MAX_BYTES, WindowEvidence, read_window, write_window

WINDOW = WindowEvidence(
    "life",
    "press1",
    (("vibration", "mm/s"), ("load", "")),
    16.0,
    np.array([0.0, np.nan, 2.0], "<f8").tobytes(),
    np.arange(6, dtype="<f4").tobytes(),
    b"\x84",
)


def changed(**changes: Any) -> bytes:
    """The window with some keys of its map replaced; a key that becomes ``...`` is left out."""
    fields = {**cbor2.loads(write_window(WINDOW)), **changes}
    return cbor2.dumps({key: value for key, value in fields.items() if value is not ...})


def test_a_window_that_is_read_is_the_one_that_was_written() -> None:
    assert read_window(write_window(WINDOW)) == WINDOW


def test_the_same_window_has_the_same_bytes() -> None:
    assert write_window(WINDOW) == write_window(replace(WINDOW))


def test_every_key_of_the_specification_is_there() -> None:
    keys = list(cbor2.loads(write_window(WINDOW)))
    assert keys == [
        "schema", "pipeline", "source", "channels", "rate_hz", "rows", "times_s", "samples", "held", "state"
    ]  # fmt: skip


def test_keys_of_later_releases_are_passed_over() -> None:
    assert read_window(changed(colour="red")) == WINDOW


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "edge.window/2"},
        {"schema": ...},
        {"rows": ...},
        {"rows": 4},
        {"rows": 0},
        {"rows": True},
        {"rows": 2**40},
        {"times_s": b""},
        {"samples": b"1234"},
        {"samples": "text"},
        {"held": b"\x00\x00"},
        {"state": b"state"},
        {"channels": []},
        {"channels": [["a", ""]]},
        {"channels": [["a", ""], ["b"]]},
        {"channels": [["a", ""], ["b", 7]]},
        {"channels": [["a", ""], "b"]},
        {"channels": "ab"},
        {"rate_hz": -1.0},
        {"rate_hz": float("nan")},
        {"rate_hz": "16"},
        {"pipeline": ""},
        {"source": 7},
    ],
    ids=repr,
)
def test_a_window_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PayloadFormatError):
        read_window(changed(**changes))


@pytest.mark.parametrize(
    "data", [b"", b"\x80", b"\xa0", b"\x01", write_window(WINDOW)[:-1], write_window(WINDOW) + b"\0"]
)
def test_what_is_no_window_is_refused(data: bytes) -> None:
    with pytest.raises(MessageError):
        read_window(data)


def test_a_longer_file_than_any_window_is_not_looked_at() -> None:
    with pytest.raises(PayloadSizeError):
        read_window(bytes(MAX_BYTES + 1))


def test_damaged_windows_are_refused_or_read_and_nothing_else() -> None:
    encoded = write_window(WINDOW)
    random = np.random.default_rng(7)
    for _ in range(2000):
        damaged = bytearray(encoded)
        for place in random.integers(0, len(damaged), 3):
            damaged[place] = random.integers(0, 256)
        try:
            found = read_window(bytes(damaged))
        except MessageError:
            continue
        assert len(found.samples) == 4 * found.rows * len(found.channels)
