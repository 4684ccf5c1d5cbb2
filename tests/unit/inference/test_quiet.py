"""Chatter of native code is held back; everything else reaches standard error."""

from __future__ import annotations

import logging
import os

import pytest

from edge_runtime.inference.quiet import quiet_engine, without_chatter


def test_information_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_engine():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
    assert capfd.readouterr().err == ""


def test_information_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), quiet_engine():
        os.write(2, b"INFO: Created delegate\n")
    assert "Created delegate" in caplog.text


@pytest.mark.parametrize("line", [b"ERROR: out of memory\n", b"free(): invalid pointer\n", b"WARNING: slow\n"])
def test_real_message_is_written_when_the_block_ends(line: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_engine():
        os.write(2, b"INFO: nothing\n" + line)
    assert capfd.readouterr().err.encode() == line


def test_message_survives_an_error_inside(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), quiet_engine():
        os.write(2, b"ERROR: why\n") // 0
    assert capfd.readouterr().err == "ERROR: why\n"


def test_standard_error_is_itself_again_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_engine():
        pass
    os.write(2, b"INFO: after\n")
    assert capfd.readouterr().err == "INFO: after\n"


def test_closed_standard_error_is_no_problem() -> None:
    kept = os.dup(2)
    os.close(2)
    try:
        with quiet_engine():
            value = 1
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert value == 1


def test_last_line_without_an_end_is_kept() -> None:
    assert without_chatter(b"INFO: a\nERROR: b") == b"ERROR: b"
