"""Somebody or something wrote into the database: it is set aside, and what can be read goes on in a new one."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_runtime.daemon import mending, outbox_schema
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.mending import corpses, find_damage, is_fresh
from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority
from edge_runtime.daemon.sender import Sender
from edge_runtime.errors import HostEnvironmentError
from tests.fault.test_outbox_disk import full_disk
from tests.unit.daemon.first_schema import write_first_schema
from tests.unit.daemon.outboxes import Hands, open_outbox

N_ALERTS, N_SENT, N_VERDICTS = 260, 60, 40
PAGE = 4096


def alert(seq: int) -> Outgoing:
    payload = json.dumps({"seq": seq, "text": "x" * (6000 if seq % 50 == 0 else 300)}).encode()
    return Outgoing(f"alert-{seq:05d}", "alert", seq, Priority.ALERT, "edge/gw/alert/event", payload)


def verdict(seq: int) -> Outgoing:
    return Outgoing(f"verdict-{seq:05d}", "verdict", seq, Priority.VERDICT, "edge/gw/part/verdict", b'{"seq":%d}' % seq)


def fill(outbox: Outbox) -> None:
    """Commit as the daemon does: small batches, acknowledgements in between, states that change."""
    for first in range(1, N_ALERTS + 1, 10):
        outbox.commit([alert(seq) for seq in range(first, first + 10)], {f"alarm/{first % 7}": b"%d" % first})
    outbox.commit([verdict(seq) for seq in range(1, N_VERDICTS + 1)], {"window/a": bytes(2000)})
    outbox.mark_acknowledged([stored.id for stored in outbox.unsent(N_SENT)])


def folded(folder: Path) -> Path:
    """Fill an outbox and close it: one file, no log."""
    with closing(open_outbox(folder)) as outbox:
        fill(outbox)
    return folder / "outbox.db"


def killed(folder: Path, *, n_checkpoints: int = 0) -> Path:
    """Fill an outbox, and leave file and log as a killed process does."""
    work = folder / "work"
    work.mkdir()
    with closing(open_outbox(work)) as outbox:
        outbox._database.execute("PRAGMA wal_autocheckpoint=0")
        fill(outbox)
        for name in ("outbox.db", "outbox.db-wal"):
            shutil.copy(work / name, folder / name)
    shutil.rmtree(work)
    return folder / "outbox.db"


def overwrite(path: Path, start: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(data)


@dataclass(frozen=True)
class Found:
    """What an outbox holds after its mending."""

    unsent: list[int]
    n_sent: int
    states: dict[str, bytes]


def look(outbox: Outbox) -> Found:
    """Use the outbox as the daemon does, and read everything."""
    outbox.commit([Outgoing("new", "alert", 1, Priority.ALERT, "t", b"{}")], {"new": b"1"})
    unsent = outbox.unsent(10_000)
    assert outbox.depth == outbox.ready == len(unsent)
    outbox.mark_acknowledged([stored.id for stored in unsent if stored.payload == b"{}"])
    alerts = [stored for stored in unsent if stored.topic == "edge/gw/alert/event"]
    rows = outbox._database.execute("SELECT count(acked_ms) FROM event").fetchone()
    assert outbox._database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    states = outbox.load_state("")
    assert states.pop("new") == b"1"
    return Found(sorted(json.loads(stored.payload)["seq"] for stored in alerts), rows[0] - 1, states)


def deliver(outbox: Outbox) -> list[bytes]:
    """Send everything, as the daemon does."""
    now = 100.0
    sent: list[bytes] = []

    def publish(_topic: str, payload: bytes, _retain: bool) -> int:
        sent.append(payload)
        return len(sent)

    clock = Clock(wall=lambda: now, monotonic=lambda: now)
    sender = Sender(outbox, publish, clock=clock, drain_per_s=1e6, in_flight=64)
    sender.connected()
    for _ in range(200):
        now += 2.0
        before = len(sent)
        sender.pump()
        for ticket in range(before + 1, len(sent) + 1):
            sender.acknowledged(ticket)
    sender.finish()
    return sent


def require_consistent(found: Found) -> None:
    """Whatever was lost: nothing is there twice, nothing is invented."""
    assert len(set(found.unsent)) == len(found.unsent)
    assert set(found.unsent) <= set(range(1, N_ALERTS + 1))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folded(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def path(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(sound, tmp_path / "outbox.db"))


@pytest.mark.parametrize("seed", range(30))
def test_pages_of_garbage_cost_only_what_stood_on_them(path: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    n_pages = path.stat().st_size // PAGE
    pages = chance.sample(range(1, n_pages), chance.choice([1, 2, 5]))
    for page in pages:
        overwrite(path, page * PAGE, chance.randbytes(PAGE))
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        found = look(outbox)
        mended = outbox.mendings
    require_consistent(found)
    n_lost = N_ALERTS - N_SENT - len([seq for seq in found.unsent if seq > N_SENT])
    assert n_lost <= 14 * len(pages) + (1 if mended else 0) * len(pages)
    if n_lost:
        assert mended
    for each in mended:
        assert each.salvaged.n_lost is None or each.salvaged.n_lost >= n_lost


@pytest.mark.parametrize("seed", range(12))
def test_scattered_wrong_bytes_never_stop_a_start(path: Path, tmp_path: Path, seed: int) -> None:
    chance = random.Random(1000 + seed)
    for _ in range(chance.choice([1, 20, 200])):
        overwrite(path, chance.randrange(path.stat().st_size), chance.randbytes(1))
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        with suppress(HostEnvironmentError):  # a wrong byte may come to light only here
            outbox.resend("boot-1", "alert", 0)
        sent = deliver(outbox)
        assert outbox.depth == 0
        assert all(isinstance(json.loads(payload), dict) for payload in sent)
        assert len(sent) >= N_ALERTS - 200
        outbox.purge()


def test_a_destroyed_header_costs_nothing(path: Path, tmp_path: Path) -> None:
    overwrite(path, 0, b"\xa5" * 100)
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        found = look(outbox)
        (mended,) = outbox.mendings
    assert found.unsent == list(range(N_SENT + 1, N_ALERTS + 1))
    assert found.n_sent == N_SENT
    assert set(found.states) >= {"window/a", *(f"alarm/{n}" for n in range(7))}
    assert mended.salvaged.n_unsent >= N_ALERTS - N_SENT + N_VERDICTS


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 20_000, 60_000])
def test_a_cut_file_costs_what_was_cut_off(path: Path, tmp_path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        require_consistent(look(outbox))
        assert len(outbox.mendings) == 1
    assert (corpses(tmp_path)[0] / "outbox.db").stat().st_size == size


@pytest.mark.parametrize("content", [b"this is no database, only a text of some length. " * 30, bytes(4096)])
def test_a_file_that_is_no_outbox_is_set_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "outbox.db").write_bytes(content)
    with closing(open_outbox(tmp_path)) as outbox:
        assert look(outbox) == Found([], 0, {})
    assert (corpses(tmp_path)[0] / "outbox.db").read_bytes() == content


def test_a_version_that_makes_no_sense_is_damage_and_no_newer_release(path: Path, tmp_path: Path) -> None:
    overwrite(path, 60, b"\x7f\xff\xff\xff")
    with closing(open_outbox(tmp_path)) as outbox:
        assert len(look(outbox).unsent) == N_ALERTS - N_SENT


def test_a_damaged_file_of_the_first_release_is_salvaged_too(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    write_first_schema(path)
    overwrite(path, 0, b"\xa5" * 100)
    with closing(open_outbox(tmp_path)) as outbox:
        assert [stored.payload for stored in outbox.unsent(9)] == [b'{"n":3}', b"", b'{"v":1}', b'{"v":2}', b'{"n":4}']
        assert outbox.load_state("") == {"alarm/a": b"\x00\xff"}


def test_a_sound_file_and_log_of_a_killed_process_are_not_mended(tmp_path: Path) -> None:
    path = killed(tmp_path)
    assert find_damage(path) == ""
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        assert outbox.mendings == []
        assert look(outbox).unsent == list(range(N_SENT + 1, N_ALERTS + 1))


def test_a_damaged_header_of_the_log_costs_nothing_that_was_committed(tmp_path: Path) -> None:
    path = killed(tmp_path)
    overwrite(path.with_name("outbox.db-wal"), 0, b"\xa5" * 32)
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        found = look(outbox)
        assert len(outbox.mendings) == 1
    require_consistent(found)
    assert set(found.unsent) >= set(range(N_SENT + 1, N_ALERTS + 1))
    assert found.states["window/a"] == bytes(2000)


@pytest.mark.parametrize("seed", range(12))
def test_a_damaged_frame_of_the_log_costs_only_what_stood_on_it(tmp_path: Path, seed: int) -> None:
    path = killed(tmp_path)
    wal = path.with_name("outbox.db-wal")
    chance = random.Random(seed)
    n_frames = (wal.stat().st_size - 32) // (PAGE + 24)
    frame = chance.randrange(n_frames // 2)
    overwrite(wal, 32 + frame * (PAGE + 24) + chance.choice([0, 8, 16, 24, 2000]), chance.randbytes(16))
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        found = look(outbox)
        assert len(outbox.mendings) == 1
    require_consistent(found)
    assert len([seq for seq in found.unsent if seq > N_SENT]) >= N_ALERTS - N_SENT - 14


def test_a_log_without_its_database_is_salvaged(tmp_path: Path) -> None:
    path = killed(tmp_path)
    path.unlink()
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        assert set(look(outbox).unsent) >= set(range(N_SENT + 1, N_ALERTS + 1))


def test_an_event_whose_text_was_destroyed_is_left_out_once_it_is_to_be_sent(path: Path, tmp_path: Path) -> None:
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        outbox._database.execute("UPDATE event SET payload = 17 WHERE event_id = 'alert-00100'")
        outbox._database.commit()
        with pytest.raises(HostEnvironmentError, match="makes no sense"):
            outbox.unsent(10_000)
        assert 100 not in look(outbox).unsent
        assert outbox.mendings[0].salvaged.n_lost == 1


@pytest.fixture
def running(path: Path, tmp_path: Path) -> Iterator[Outbox]:
    outbox = open_outbox(tmp_path, boot_id="boot-2")
    outbox._database.execute("PRAGMA cache_size=0")
    yield outbox
    outbox.close()


USES: dict[str, Callable[[Outbox], object]] = {
    "unsent": lambda outbox: outbox.unsent(10_000),
    "accounts": lambda outbox: outbox.accounts(),
    "latest": lambda outbox: outbox.latest("alert", 1000),
    "find_topic": lambda outbox: outbox.find_topic("none"),
}


@pytest.mark.parametrize("use", USES)
def test_a_read_of_a_file_that_is_damaged_while_it_is_open_gives_what_was_salvaged(
    running: Outbox, path: Path, use: str
) -> None:
    for page in range(1, path.stat().st_size // PAGE):
        overwrite(path, page * PAGE, random.Random(page).randbytes(PAGE))
    USES[use](running)
    assert len(running.mendings) == 1
    require_consistent(look(running))


def test_a_commit_on_a_file_that_is_damaged_while_it_is_open_is_refused_once(running: Outbox, path: Path) -> None:
    for page in range(1, path.stat().st_size // PAGE):
        overwrite(path, page * PAGE, random.Random(page).randbytes(PAGE))
    batch = [Outgoing("late", "alert", 2, Priority.ALERT, "t", b"{}")]
    with pytest.raises(HostEnvironmentError, match="cannot store"):
        running.commit(batch, {})
    running.commit(batch, {})
    assert [stored.payload for stored in running.unsent(9)] == [b"{}"]


def test_states_survive_a_file_that_is_destroyed_while_it_is_open(running: Outbox, path: Path) -> None:
    running.commit([], {"alarm/0": b"new", "alarm/1": None})
    expected = running.load_state("")
    for page in range(path.stat().st_size // PAGE):
        overwrite(path, page * PAGE, random.Random(page).randbytes(PAGE))
    running.distrust("for this test")
    assert look(running).states == expected
    running.close()
    with closing(open_outbox(path.parent, boot_id="boot-3")) as later:
        assert later.load_state("alarm/") == {key: value for key, value in expected.items() if key.startswith("alarm/")}


def test_a_state_whose_key_is_no_text_does_not_stop_a_start(path: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("INSERT INTO state VALUES (CAST(x'ff41' AS TEXT), x'00')")
        database.commit()
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        assert len(look(outbox).states) == 8
        assert len(outbox.mendings) == 1


def test_ids_that_are_on_their_way_are_not_given_again(running: Outbox, path: Path) -> None:
    on_the_way = max(stored.id for stored in running.unsent(10_000))
    for page in range(1, path.stat().st_size // PAGE):
        overwrite(path, page * PAGE, bytes(PAGE))
    running.distrust("for this test")
    running.commit([Outgoing("late", "alert", 2, Priority.ALERT, "t", b"{}")], {})
    assert running.unsent(1)[0].id > on_the_way


def test_a_mending_that_the_disk_refuses_is_tried_again(running: Outbox, path: Path, tmp_path: Path) -> None:
    overwrite(path, 0, b"\xa5" * 100)
    running.distrust("for this test")
    with full_disk(tmp_path, at_bytes=8192), pytest.raises(HostEnvironmentError, match="cannot be mended"):
        running.unsent(1)
    assert len(look(running).unsent) == N_ALERTS - N_SENT
    assert len(corpses(tmp_path)) == 1


@pytest.mark.parametrize("n_moves", range(5))
def test_a_mending_that_was_killed_is_finished_at_the_next_start(
    path: Path, tmp_path: Path, n_moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ending in ("-wal", "-shm"):
        path.with_name(f"outbox.db{ending}").touch()
    overwrite(path, 0, b"\xa5" * 100)
    rename = outbox_schema.rename_durably
    left = n_moves

    def rename_or_die(source: Path, target: Path) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(5, "killed")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(mending, "rename_durably", rename_or_die)
        with pytest.raises(HostEnvironmentError):
            open_outbox(tmp_path, boot_id="boot-2")
    with closing(open_outbox(tmp_path, boot_id="boot-2")) as outbox:
        assert set(look(outbox).unsent) >= set(range(N_SENT + 1, N_ALERTS + 1))
    assert not list(tmp_path.glob("*.mended"))


def test_only_the_last_two_damaged_files_are_kept(path: Path, sound: Path, tmp_path: Path) -> None:
    for number in range(4):
        shutil.copy(sound, path)
        overwrite(path, 0, b"\xa5" * 100)
        open_outbox(tmp_path, clock=Hands(1_700_000_000.0 + number)).close()
    assert len(corpses(tmp_path)) == 2


def test_two_mendings_in_one_second_have_folders_of_their_own(path: Path, sound: Path, tmp_path: Path) -> None:
    for _ in range(2):
        shutil.copy(sound, path)
        overwrite(path, 0, b"\xa5" * 100)
        open_outbox(tmp_path).close()
    assert [each.name for each in sorted(corpses(tmp_path))] == [
        "corrupt-20231114T221320Z",
        "corrupt-20231114T221320Z.2",
    ]


def test_a_check_that_takes_too_long_is_cut_short(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(1_000_000))
    overwrite(path, path.stat().st_size - PAGE, b"\xa5" * PAGE)
    monkeypatch.setattr(mending, "_STEPS", 1)
    assert find_damage(path, longest_s=0.5, clock=lambda: float(next(ticks))) == ""


def test_a_file_that_cannot_be_read_is_an_error_of_the_machine(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr("edge_runtime.daemon.mending.sqlite3.connect", refuse)
    with pytest.raises(HostEnvironmentError, match="unable to open"):
        find_damage(path)


def test_a_set_aside_outbox_is_news_for_a_day_or_until_it_is_removed(path: Path, tmp_path: Path) -> None:
    overwrite(path, 0, b"\xa5" * 100)
    open_outbox(tmp_path).close()
    (corpse,) = corpses(tmp_path)
    at = corpse.stat().st_mtime
    assert [is_fresh(tmp_path, at + hours * 3600.0) for hours in (0, 23, 25)] == [True, True, False]
    shutil.rmtree(corpse)
    assert not is_fresh(tmp_path, at)
