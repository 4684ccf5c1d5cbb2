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


def test_a_lock_that_is_still_there_is_kept(tmp_path: Path) -> None:
    state = claim_state_dir(tmp_path)
    held = state.lock_fd
    state.hold_again()
    assert state.lock_fd == held
    state.release()


@pytest.mark.parametrize("with_folder", [False, True])
def test_a_lock_whose_file_was_removed_is_taken_anew(tmp_path: Path, with_folder: bool) -> None:
    folder = tmp_path / "state"
    state = claim_state_dir(folder)
    (folder / "lock").unlink()
    if with_folder:
        folder.rmdir()
    state.hold_again()
    with pytest.raises(HostEnvironmentError, match="set another"):
        claim_state_dir(folder)
    state.release()


def test_a_lock_that_is_another_file_by_now_is_taken_anew(tmp_path: Path) -> None:
    state = claim_state_dir(tmp_path)
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").touch()
    state.hold_again()
    with pytest.raises(HostEnvironmentError, match="set another"):
        claim_state_dir(tmp_path)
    state.release()


def test_a_folder_that_cannot_be_looked_into_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    state = claim_state_dir(folder)
    (folder / "lock").unlink()
    folder.rmdir()
    folder.touch()
    with pytest.raises(HostEnvironmentError, match="state: the state folder cannot be used"):
        state.hold_again()
    state.release()
