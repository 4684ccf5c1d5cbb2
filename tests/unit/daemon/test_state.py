"""The state folder is made on first use and held by one process at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.daemon.state import claim_state_dir
from edge_runtime.errors import HostEnvironmentError


def test_the_folder_is_made_for_its_owner_and_group(tmp_path: Path) -> None:
    state = claim_state_dir(tmp_path / "a" / "state")
    assert state.folder.stat().st_mode & 0o007 == 0
    state.release()


def test_a_second_daemon_is_told_to_take_another_folder(tmp_path: Path) -> None:
    first = claim_state_dir(tmp_path)
    with pytest.raises(HostEnvironmentError, match="set another"):
        claim_state_dir(tmp_path)
    first.release()
    claim_state_dir(tmp_path).release()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HostEnvironmentError, match="file/state: the state folder cannot be used"):
        claim_state_dir(tmp_path / "file" / "state")
