"""Power is lost and writes that were not synced yet are gone: what was committed is there, and nothing by halves.

Database and log are copied at every moment at which a commit returns. Power loss then cuts the copied log at any byte
at or behind the length it had when the last commit returned, or leaves nonsense there; in a second round it cuts
anywhere, as a disk does that lied about the sync: then exactly the transactions before the cut are there.
"""

from __future__ import annotations

import random
import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority
from tests.unit.daemon.outboxes import Hands, open_outbox

N_COMMITS = 60
FRAME, HEAD = 4096 + 24, 32


@dataclass(frozen=True)
class Moment:
    """File and log as they were when the n-th commit returned."""

    number: int
    file: Path
    log: Path

    @property
    def log_bytes(self) -> int:
        return self.log.stat().st_size


def batch(number: int, chance: random.Random) -> list[Outgoing]:
    """Make the n-th batch: as many events as its number says, some larger than a page."""
    return [
        Outgoing(
            f"e-{number}-{k}",
            "alert",
            number * 10 + k,
            Priority.ALERT,
            "t",
            b"{}" + b" " * chance.choice([0, 900, 9000]),
        )
        for k in range(number % 5 + 1)
    ]


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    """Every moment at which a commit returned; the log is folded into the file twice on the way."""
    work, kept = tmp_path_factory.mktemp("work"), tmp_path_factory.mktemp("moments")
    chance, found = random.Random(4), []
    with closing(open_outbox(work)) as outbox:
        for number in range(N_COMMITS):
            outbox.commit(batch(number, chance), {"newest": b"%d" % number})
            moment = Moment(number, kept / f"{number}.db", kept / f"{number}.db-wal")
            shutil.copy(work / "outbox.db", moment.file)
            shutil.copy(work / "outbox.db-wal", moment.log)
            found.append(moment)
            if number % 25 == 24:
                outbox._database.execute("PRAGMA wal_checkpoint(RESTART)")
    return found


def restore(moment: Moment, folder: Path, log: bytes) -> Outbox:
    shutil.copy(moment.file, folder / "outbox.db")
    (folder / "outbox.db-wal").write_bytes(log)
    return open_outbox(folder, boot_id="after", clock=Hands())


def transactions(outbox: Outbox) -> list[int]:
    """Give the numbers of the batches that are there, each of them whole."""
    rows = outbox._database.execute("SELECT event_id FROM event ORDER BY id").fetchall()
    by_batch: dict[int, int] = {}
    for (event_id,) in rows:
        number = int(event_id.split("-")[1])
        by_batch[number] = by_batch.get(number, 0) + 1
    assert all(count == number % 5 + 1 for number, count in by_batch.items()), "a batch by halves"
    assert outbox._database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    newest = outbox.load_state("newest").get("newest")
    assert newest == (b"%d" % max(by_batch) if by_batch else None), "state and events of different batches"
    return sorted(by_batch)


@pytest.mark.parametrize("seed", range(40))
def test_what_was_committed_survives_any_loss_of_what_came_after(
    moments: list[Moment], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    now = chance.choice(moments[:-1])
    later = moments[now.number + 1]
    same_round = now.file.read_bytes() == later.file.read_bytes() and now.number % 25 != 24
    log = now.log.read_bytes()
    if same_round:  # the next commit was under way: a part of its frames is there, the rest is old, zero or nonsense
        written = later.log.read_bytes()
        synced = frames_end(now)
        cut = chance.randrange(synced, len(written) + 1)
        tail = chance.choice([b"", bytes(len(written) - cut), chance.randbytes(len(written) - cut)])
        log = written[:cut] + tail
    with closing(restore(now, tmp_path, log)) as outbox:
        found = transactions(outbox)
        assert outbox.mendings == []
    assert found[: now.number + 1] == list(range(now.number + 1))
    assert found in (list(range(now.number + 1)), list(range(now.number + 2)))


def frames_end(moment: Moment) -> int:
    """Where the last committed frame of a log ends: behind it may lie frames of an earlier round."""
    data = moment.log.read_bytes()
    salts, end = data[16:24], HEAD
    for start in range(HEAD, len(data), FRAME):
        if data[start + 8 : start + 16] == salts:
            end = start + FRAME
    return end


@pytest.mark.parametrize("seed", range(40))
def test_after_a_disk_that_lied_exactly_the_transactions_before_the_cut_are_there(
    moments: list[Moment], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(1000 + seed)
    last = moments[24]
    data = last.log.read_bytes()
    cut = chance.randrange(len(data) + 1)
    with closing(restore(last, tmp_path, data[:cut])) as outbox:
        found = transactions(outbox)
        assert outbox.mendings == []
    ends = [moment.log_bytes for moment in moments[:25]]
    assert found == list(range(sum(end <= cut for end in ends)))


def test_a_copy_of_every_moment_opens_with_every_batch_up_to_it(moments: list[Moment], tmp_path: Path) -> None:
    for moment in moments:
        (tmp_path / str(moment.number)).mkdir()
        with closing(restore(moment, tmp_path / str(moment.number), moment.log.read_bytes())) as outbox:
            assert transactions(outbox) == list(range(moment.number + 1))


def test_the_file_itself_is_only_written_by_a_checkpoint(moments: list[Moment]) -> None:
    contents = {moment.file.read_bytes() for moment in moments}
    assert len(contents) == 3
