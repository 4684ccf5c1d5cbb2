"""The audit trail: which commands were given, by whom, and what became of them; durable and bounded.

An entry is committed in one transaction with what its command changed, and before the command is answered. It also
makes a command known that comes again after a restart, so that it is obeyed once.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.journal import Journal
from edge_runtime.errors import HostEnvironmentError
from edge_runtime.messages import Command, Milliseconds, Reply

_log = logging.getLogger(__name__)

#: Key prefix in the outbox's state table; the entry's number follows.
AUDIT = "audit/"
#: How many entries are kept.
KEPT = 5000

_ORDER_CHARACTERS = 1024


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One command that could be read, and its answer.

    ``order`` is what it holds besides issuer and id: JSON, cut at 1024 characters. ``received_ms`` is the wall clock at
    which it was taken up, and ``boot_id`` the run that did so.
    """

    seq: int
    boot_id: str
    received_ms: Milliseconds
    issuer: str
    order: str
    reply: Reply

    def line(self) -> str:
        """Write it for people."""
        at = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(self.received_ms / 1000))
        result = "ok" if self.reply.ok else f"refused ({self.reply.reason})"
        words = f"{self.issuer}  {self.reply.command} {self.reply.id}  {self.order}  {result}: {self.reply.text}"
        return f"{self.seq:>6}  {at}  {''.join(each if each.isprintable() else '?' for each in words)}"

    def as_json(self) -> object:
        """Give it as plain values."""
        return msgspec.to_builtins(self)


class Trail:
    """Writes the trail.

    Parameters
    ----------
    stored : mapping of str to bytes
        What earlier runs wrote, by key.
    journal : Journal
        Takes entries.
    boot_id : str
        The present run.
    clock : Clock
        All clocks.
    kept : int
        How many entries are kept; the oldest go first.
    """

    def __init__(
        self, stored: Mapping[str, bytes], journal: Journal[object], *, boot_id: str, clock: Clock, kept: int = KEPT
    ) -> None:
        self._journal = journal
        self._boot_id = boot_id
        self._clock = clock
        self._kept = kept
        self._before = sorted(entries(stored), key=lambda entry: entry.seq)
        self._last = max((number for key in stored if (number := _number(key)) is not None), default=0)
        for key in stored:
            number = _number(key)
            if number is None or number <= self._last - kept:
                self._journal.set_state(key, None, now=clock.monotonic())

    def answered(self, limit: int) -> list[tuple[str, Reply]]:
        """Give the last answers of earlier runs with their issuers, the oldest first, and forget them."""
        before, self._before = self._before, []
        return [(entry.issuer, entry.reply) for entry in before[-limit:]]

    def write(self, command: Command, reply: Reply, *, received_ms: int) -> None:
        """Add a command and its answer, to be committed with what it changed."""
        fields = msgspec.to_builtins(command)
        rest = {name: value for name, value in fields.items() if name not in {"issuer", "id"}}
        self._last += 1
        entry = Entry(
            seq=self._last,
            boot_id=self._boot_id,
            received_ms=received_ms,
            issuer=command.issuer,
            order=msgspec.json.encode(rest).decode()[:_ORDER_CHARACTERS],
            reply=reply,
        )
        now = self._clock.monotonic()
        self._journal.set_state(_key(self._last), msgspec.msgpack.encode(entry), now=now)
        if self._last > self._kept:
            self._journal.set_state(_key(self._last - self._kept), None, now=now)


def entries(stored: Mapping[str, bytes]) -> Iterator[Entry]:
    """Read stored entries; one that cannot be read is left out and logged."""
    for key, value in stored.items():
        try:
            yield msgspec.msgpack.decode(value, type=Entry)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            _log.error("stage=processing the audit entry %s cannot be read: %s", key, error)


def read_trail(state_dir: Path, *, last: int) -> list[Entry]:
    """Read the trail of a gateway, whether it runs or not.

    Parameters
    ----------
    state_dir : Path
        Its ``gateway.state_dir``.
    last : int
        How many entries at the most: the newest.

    Returns
    -------
    entries : list of Entry
        The oldest first.

    Raises
    ------
    HostEnvironmentError
        If there is no outbox, or it cannot be read.
    """
    path = state_dir / "outbox.sqlite"
    if not path.exists():
        raise HostEnvironmentError(f"{path}: there is no outbox; the gateway has not run with this configuration")
    query = "SELECT key, value FROM state WHERE substr(key, 1, ?) = ? ORDER BY key DESC LIMIT ?"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as database:
            rows = database.execute(query, (len(AUDIT), AUDIT, last)).fetchall()
    except sqlite3.Error as error:
        raise HostEnvironmentError(f"{path}: the audit trail cannot be read: {error}") from error
    return sorted(entries(dict(rows)), key=lambda entry: entry.seq)


def _key(number: int) -> str:
    """Name an entry so that the order of keys is that of entries."""
    return f"{AUDIT}{number:012d}"


def _number(key: str) -> int | None:
    digits = key.removeprefix(AUDIT)
    return int(digits) if digits.isascii() and digits.isdigit() else None
