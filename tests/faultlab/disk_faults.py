"""The disk, or somebody on it, does harm to what the daemon keeps."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from tests.bundles import image_bundle
from tests.faultlab.lab import Lab
from tests.faultlab.scene import Scene
from tests.faultlab.table import fault

SMALL = Scene("small disk", small_disk=True)
_PAGE = 4096


@contextmanager
def refusing(lab: Lab, number: int) -> Iterator[None]:
    """Let the disk refuse what changes the state folder."""
    lab.meddler.set("refuse_errno", number)
    yield
    lab.meddler.release()


@fault("the disk is full, to the last byte", "disk", "outbox_stuck", "disk_low", scene=SMALL, needs=("mounts",))
def disk_full(lab: Lab) -> Iterator[None]:
    ballast = lab.daemon.state / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, _PAGE, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    yield
    ballast.unlink()


@fault("files cannot grow (RLIMIT_FSIZE)", "disk", "outbox_stuck", quick=True)
def file_size_limited(lab: Lab) -> Iterator[None]:
    pid = lab.daemon.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    yield
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@fault("the file system became read-only (EROFS)", "disk", "outbox_stuck", needs=("compiler",), quick=True)
def disk_read_only(lab: Lab) -> Iterator[None]:
    with refusing(lab, errno.EROFS):
        yield


@fault("the disk answers with input/output errors (EIO)", "disk", "outbox_stuck", needs=("compiler",))
def disk_broken(lab: Lab) -> Iterator[None]:
    with refusing(lab, errno.EIO):
        yield


@fault("the permission to write is lost (EACCES)", "disk", "outbox_stuck", needs=("compiler",))
def permission_lost(lab: Lab) -> Iterator[None]:
    with refusing(lab, errno.EACCES):
        yield


@fault("the user's quota is used up (EDQUOT)", "disk", "outbox_stuck", needs=("compiler",))
def disk_quota_used_up(lab: Lab) -> Iterator[None]:
    with refusing(lab, errno.EDQUOT):
        yield


@fault("every sync takes 400 ms longer", "disk", "disk_slow", needs=("compiler",), lasts_s=6.0, quick=True)
def disk_slow(lab: Lab) -> Iterator[None]:
    lab.meddler.set("sync_delay_ms", 400)
    yield
    lab.meddler.release()


@fault("every sync takes 3 s longer", "disk", "disk_slow", needs=("compiler",), lasts_s=8.0)
def disk_very_slow(lab: Lab) -> Iterator[None]:
    lab.meddler.set("sync_delay_ms", 3000)
    yield
    lab.meddler.release()


@fault("another program holds the database for eight seconds", "disk", "outbox_stuck", lasts_s=8.0)
def database_locked(lab: Lab) -> Iterator[None]:
    with closing(sqlite3.connect(lab.daemon.state / "outbox.sqlite", isolation_level=None)) as other:
        other.execute("PRAGMA busy_timeout=5000")
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@fault(
    "a power cut takes back what was not synced",
    "disk",
    "exit -9",
    restarts=True,
    needs=("compiler",),
    lasts_s=0.5,
    alone=True,
)
def unsynced_writes_dropped(lab: Lab) -> Iterator[None]:
    lab.daemon.stop()
    lab.meddler.set("keep_undo", 1)
    lab.meddler.set("sync_delay_ms", 20)
    lab.daemon.start()
    time.sleep(2)
    lab.daemon.watched = False
    os.kill(lab.daemon.pid, signal.SIGKILL)
    lab.wait_until_gone()
    lab.meddler.forget_unsynced()
    lab.meddler.release()
    lab.daemon.note_exit()
    yield
    lab.daemon.start(ready=False)


@fault(
    "three pages of the database are overwritten while the daemon is down",
    "disk",
    "outbox_corrupt_set_aside",
    lasting=("outbox_corrupt_set_aside", "sequence_gap:alert", "sequence_gap:verdict"),
    restarts=True,
    forgets=True,
    alone=True,
)
def database_damaged(lab: Lab) -> Iterator[None]:
    lab.daemon.stop()
    path, rng = lab.daemon.state / "outbox.sqlite", random.Random(lab.seed)
    with path.open("r+b") as file:
        for _ in range(3):
            file.seek(_PAGE * rng.randrange(path.stat().st_size // _PAGE))
            file.write(rng.randbytes(_PAGE))
    lab.daemon.start(ready=False)
    yield


@fault(
    "the database is replaced by nonsense while the daemon is down",
    "disk",
    "outbox_corrupt_set_aside",
    lasting=("outbox_corrupt_set_aside", "sequence_gap:alert", "sequence_gap:verdict"),
    restarts=True,
    forgets=True,
    alone=True,
)
def database_replaced_by_nonsense(lab: Lab) -> Iterator[None]:
    lab.daemon.stop()
    path = lab.daemon.state / "outbox.sqlite"
    path.write_bytes(random.Random(lab.seed).randbytes(path.stat().st_size))
    lab.daemon.start(ready=False)
    yield


@fault("the journal is cut in half after a crash", "disk", "exit -9", restarts=True, forgets=True, alone=True)
def journal_truncated(lab: Lab) -> Iterator[None]:
    lab.daemon.watched = False
    os.kill(lab.daemon.pid, signal.SIGKILL)
    lab.wait_until_gone()
    path = lab.daemon.state / "outbox.sqlite-wal"
    os.truncate(path, path.stat().st_size // 2)
    lab.daemon.note_exit()
    yield
    lab.daemon.start(ready=False)


@fault(
    "the state folder is removed while the daemon runs",
    "disk",
    "state_folder_lost",
    lasting=("state_folder_lost",),
    lasts_s=0.0,
)
def state_folder_removed(lab: Lab) -> Iterator[None]:
    shutil.rmtree(lab.daemon.state)
    yield


@fault("an installed bundle is overwritten and its worker dies; later it is put back", "disk", "worker_restarting")
def bundle_overwritten(lab: Lab) -> Iterator[None]:
    with spoiled_bundle(lab):
        os.kill(lab.worker(), signal.SIGKILL)
        yield


@fault(
    "an installed bundle is damaged when the daemon starts; later it is put back",
    "disk",
    "pipeline_failed",
    restarts=True,
    alone=True,
)
def bundle_damaged_at_start(lab: Lab) -> Iterator[None]:
    lab.daemon.stop()
    with spoiled_bundle(lab):
        lab.daemon.start(ready=False)
        yield
        lab.daemon.stop()
    lab.daemon.start(ready=False)


@contextmanager
def spoiled_bundle(lab: Lab) -> Iterator[None]:
    """Flip a byte in the middle of the surface pipeline's bundle, and back again."""
    digest = hashlib.sha256(image_bundle()).hexdigest()
    path = lab.daemon.folder / "bundles" / "bundles" / f"{digest}.edgebundle"
    place = path.stat().st_size // 2

    def flip() -> None:
        with path.open("r+b") as file:
            file.seek(place)
            byte = file.read(1)[0]
            file.seek(place)
            file.write(bytes([byte ^ 0xFF]))

    flip()
    try:
        yield
    finally:
        flip()
