"""A restore that fails or is killed at any of its steps."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from edge_runtime.daemon import restoring
from edge_runtime.daemon.backup import back_up
from edge_runtime.daemon.downgrading import downgrade
from edge_runtime.daemon.examining import examine_state
from edge_runtime.daemon.outbox_schema import rename_durably
from edge_runtime.daemon.restoring import restore
from edge_runtime.daemon.state import UNFINISHED, claim_finished, find_unfinished
from edge_runtime.errors import HostEnvironmentError
from tests.unit.daemon.test_backup import Gateway, unsent

N_STEPS = 14
STEPS = pytest.mark.parametrize("step", range(1, N_STEPS))


class Cut:
    """Ends the restore before the nth of its steps: by an error, or as a kill does."""

    def __init__(self, patch: pytest.MonkeyPatch, step: int, end: Callable[[], None]) -> None:
        self.left, self.end = step, end
        for place, name in ((restoring, "rename_durably"), (shutil, "move")):
            patch.setattr(place, name, self.counted(getattr(place, name)))

    def counted(self, real: Callable[..., object]) -> Callable[..., object]:
        def act(*arguments: Path) -> object:
            self.left -= 1
            if self.left == 0:
                self.end()
            return real(*arguments)

        return act


def fail() -> None:
    raise OSError(28, "No space left on device")


def kill() -> None:
    os._exit(9)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gateway with a backup, and an event since."""
    gateway = Gateway(tmp_path_factory.mktemp("template") / "gw")
    gateway.back_up()
    gateway.write(4)
    return gateway.folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "gw"))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a gateway, without locks and what SQLite makes beside."""
    passed = {"lock", "outbox.sqlite-shm"}
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in passed)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@STEPS
def test_a_restore_that_fails_leaves_everything_as_it_was(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    before = tree(folder)
    with monkeypatch.context() as patch:
        cut = Cut(patch, step, fail)
        with pytest.raises(HostEnvironmentError, match="No space left"):
            restore(folder / "b.tar", folder / "gateway.toml", force=True)
        assert cut.left <= 0
    assert tree(folder) == before
    assert not list((folder / "state").glob("replaced-*"))


def test_no_step_is_missing_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        cut = Cut(patch, 1000, fail)
        restore(folder / "b.tar", folder / "gateway.toml", force=True)
        assert 1000 - cut.left == N_STEPS - 1


@STEPS
def test_a_restore_that_is_killed_is_never_taken_for_a_whole_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    before = unsent(folder / "state" / "outbox.sqlite")
    pid = os.fork()
    if pid == 0:
        with monkeypatch.context() as patch, suppress(Exception):
            Cut(patch, step, kill)
            restore(folder / "b.tar", folder / "gateway.toml", force=True)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    if step == 1:
        assert unsent(folder / "state" / "outbox.sqlite") == before
        return
    assert "Repeat the restore with --force" in find_unfinished(folder / "state")
    done = restore(folder / "b.tar", folder / "gateway.toml", force=True)
    assert (done.n_unsent, find_unfinished(folder / "state")) == (3, "")
    kept = [*(folder / "state").glob("replaced-*/state/outbox.sqlite")]
    assert before in [unsent(path) for path in kept]


def test_a_restore_that_undoes_itself_keeps_the_mark_of_an_earlier_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "state" / UNFINISHED).write_text("earlier words")
    with monkeypatch.context() as patch:
        Cut(patch, 4, fail)
        with pytest.raises(HostEnvironmentError):
            restore(folder / "b.tar", folder / "gateway.toml", force=True)
    assert "earlier words" in find_unfinished(folder / "state")


def test_without_consent_an_unfinished_restore_is_not_repeated(folder: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    (new / "state").mkdir(parents=True)
    (new / "state" / UNFINISHED).write_text("words")
    with pytest.raises(HostEnvironmentError, match="--force"):
        restore(folder / "b.tar", new / "gateway.toml")


def test_a_configuration_that_was_written_goes_again_when_a_restore_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new" / "gateway.toml"
    real = rename_durably

    def refusing(path: Path, target: Path) -> None:
        if target.name == "outbox.sqlite":
            fail()
        real(path, target)

    monkeypatch.setattr(restoring, "rename_durably", refusing)
    with pytest.raises(HostEnvironmentError):
        restore(folder / "b.tar", new)
    assert not new.exists()


def test_what_lies_on_another_file_system_stays_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = rename_durably

    def across(path: Path, target: Path) -> None:
        if (folder / "bundles" in path.parents) != (folder / "bundles" in target.parents):
            raise OSError(18, "Invalid cross-device link")
        real(path, target)

    monkeypatch.setattr(restoring, "rename_durably", across)
    restore(folder / "b.tar", folder / "gateway.toml", force=True)
    assert list(folder.glob("bundles/replaced-*/ledger.json"))
    assert (folder / "bundles" / "ledger.json").exists()


def test_nothing_works_on_half_a_state(folder: Path) -> None:
    (folder / "state" / UNFINISHED).write_text("what was there lies elsewhere; repeat")
    for use in (
        lambda: claim_finished(folder / "state"),
        lambda: back_up(folder / "gateway.toml", folder / "c.tar"),
        lambda: downgrade(folder / "state", 1),
    ):
        with pytest.raises(HostEnvironmentError, match="lies elsewhere; repeat"):
            use()


def test_an_examination_tells_of_an_unfinished_restore(folder: Path) -> None:
    (folder / "state" / UNFINISHED).write_text("repeat it\n")
    line = next(iter(examine_state(folder / "state")))
    assert (line.level, line.exit_code, line.text.endswith(f"{UNFINISHED}: repeat it")) == ("fault", 5, True)
