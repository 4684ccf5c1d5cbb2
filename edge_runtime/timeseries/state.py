"""The state of a monitor as plain data, so that another process can go on where one stopped, to the bit."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from edge_runtime.errors import PayloadFormatError, PayloadSizeError

#: Largest encoded state: a window of 65536 samples of 256 channels and their times fits.
MAX_STATE_BYTES: Final = 72 << 20

Bytes = Annotated[bytes, Meta(max_length=MAX_STATE_BYTES)]
Counter = Annotated[int, Meta(ge=0, le=2**62)]


class WindowState(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where a monitor is in its stream. Arrays are raw little-endian bytes in C order.

    Attributes
    ----------
    schema : str
        "edge.window-state/1".
    declaration : str
        Digest of the window declaration that the state belongs to.
    until_due : int
        Samples that must still come before the next window.
    values : float32 (count, n_channels)
        Samples held, oldest first.
    times : float64 (count,), s
        Their times; NaN where the source gives none.
    newest : float or None, s
        Time of the newest sample since the last restart.
    last, previous : float32 (n_channels,)
        Last valid value and last value as it came.
    held, repeated : int64 (n_channels,)
        Invalid samples replaced in a row, repetitions in a row.
    counts : dict of str to int
        Counters of the cleaning.
    marks : bits (count, n_channels)
        Values held that stand in for invalid ones; left out when there are none.
    """

    schema: Literal["edge.window-state/1"]
    declaration: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
    until_due: Annotated[int, Meta(ge=0, le=65536)]
    values: Bytes
    times: Bytes
    newest: float | None
    last: Bytes
    previous: Bytes
    held: Bytes
    repeated: Bytes
    counts: Annotated[dict[str, Counter], Meta(max_length=32)]
    marks: Bytes = b""


def encode_state(state: WindowState) -> bytes:
    """Write a state as bytes (MessagePack).

    Parameters
    ----------
    state : WindowState
        What a monitor gave.

    Returns
    -------
    encoded : bytes
        The same for equal states.
    """
    return msgspec.msgpack.encode(state)


def decode_state(encoded: bytes) -> WindowState:
    """Read what ``encode_state`` wrote.

    Parameters
    ----------
    encoded : bytes
        At most 72 MiB.

    Returns
    -------
    state : WindowState
        Well-formed; whether it fits a monitor is decided by the monitor.

    Raises
    ------
    PayloadSizeError
        If there are more bytes than that.
    PayloadFormatError
        If they are no state.
    """
    if len(encoded) > MAX_STATE_BYTES:
        raise PayloadSizeError(f"a window state is at most {MAX_STATE_BYTES} bytes, got {len(encoded)}")
    try:
        return msgspec.msgpack.decode(encoded, type=WindowState)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PayloadFormatError(f"no window state: {error}", reason="window_state") from error
