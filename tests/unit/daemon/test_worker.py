"""How a worker answers."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from edge_runtime.daemon import protocol
from edge_runtime.daemon.worker import _answer
from edge_runtime.findings import Finding

STATE = bytes(protocol.STATE_BYTES)
WINDOW = protocol.Window(0, 1, (("a", ""),), 16.0, bytes(8 * 1024), bytes(4 * 1024))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a channel with the buffer that kernels give by default."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212_992)
    yield ours, theirs
    ours.close()
    theirs.close()


def answer(ends: tuple[socket.socket, socket.socket], *outcomes: protocol.Outcome) -> protocol.Done:
    ours, theirs = ends
    _answer(ours, protocol.Done(7, outcomes, 1.0))
    said = protocol.decode_from_worker(theirs.recv(1 << 20), {"life", "twin"})
    assert isinstance(said, protocol.Done)
    return said


def outcome(pipeline: str, *, n_windows: int) -> protocol.Outcome:
    return protocol.Outcome(pipeline, (FINDING,), state=STATE, windows=(WINDOW,) * n_windows)


FINDING = Finding("timeseries.failure", "x", 1.0, 0.5, 0.4, abnormal=True, clearable=False)
MOST = protocol.WINDOWS_BYTES // WINDOW.size


def test_one_pipeline_with_all_that_is_allowed_fits_into_a_packet_of_the_usual_size(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    sent = outcome("life", n_windows=MOST)
    assert answer(ends, sent).outcomes == (sent,)


def test_evidence_gives_way_to_window_states(ends: tuple[socket.socket, socket.socket]) -> None:
    said = answer(ends, outcome("life", n_windows=MOST), outcome("twin", n_windows=MOST))
    assert [(each.windows, each.state) for each in said.outcomes] == [((), STATE), ((), STATE)]


def test_window_states_give_way_to_findings(ends: tuple[socket.socket, socket.socket]) -> None:
    said = answer(ends, *[outcome(name, n_windows=1) for name in ("life", "twin") * 2])
    assert [(each.state, len(each.findings)) for each in said.outcomes] == [(None, 1)] * 4
