"""An alarm of the past with the input that raised it: from the outbox, also beside a running daemon, or from files."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edge_runtime.bundle.folder import read_limited
from edge_runtime.daemon.outbox import Priority
from edge_runtime.errors import HostEnvironmentError, MessageError, UsageError
from edge_runtime.messages import MAX_PAYLOAD_BYTES, Alert, decode

#: The longest evidence that is read from a file.
MAX_EVIDENCE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class PastAlarm:
    """The ``raised`` event of an alarm, and its input, whose digest is the one that the event names."""

    alert: Alert
    evidence: bytes


def from_outbox(path: Path, alert_id: str) -> PastAlarm:
    """Find an alarm and its evidence in an outbox; reads only, whether or not a daemon has it open.

    Parameters
    ----------
    path : Path
        ``outbox.sqlite``.
    alert_id : str
        The occurrence, in any case of letters.

    Raises
    ------
    HostEnvironmentError
        If the file cannot be read, or the alarm or its evidence is not in it any more.
    UsageError
        If the alarm has no evidence.
    """
    with closing(_open(path)) as database:
        alert = _raised(database, path, alert_id.lower())
        topic = alert.evidence_topic
        if topic is None:
            raise UsageError(f"alert {alert.alert_id} has no stored evidence: {_why_not(alert)}")
        query = "SELECT payload FROM event WHERE priority = ? AND topic = ? ORDER BY id DESC LIMIT 1"
        rows = _rows(database, path, query, (int(Priority.EVIDENCE), topic))
    if not rows:
        raise HostEnvironmentError(
            f"{path}: the evidence of alert {alert.alert_id} is not kept any more; where a consumer has kept"
            f" {topic}, give it with --alert-file and --evidence-file"
        )
    return _matching(alert, bytes(rows[0][0]), f"{path}: the evidence of alert {alert.alert_id}", HostEnvironmentError)


def from_files(alert_file: Path, evidence_file: Path) -> PastAlarm:
    """Read an alarm and its evidence as a consumer received them.

    Parameters
    ----------
    alert_file : Path
        JSON of the alarm's ``raised`` event.
    evidence_file : Path
        What was published on its evidence's topic.

    Raises
    ------
    HostEnvironmentError
        If a file cannot be read.
    UsageError
        If they are no such pair.
    """
    text = read_limited(alert_file, MAX_PAYLOAD_BYTES)
    try:
        alert = decode(text, Alert)
    except MessageError as error:
        raise UsageError(f"{alert_file}: no alert event: {error}") from error
    if alert.event_type != "raised":
        raise UsageError(
            f'{alert_file}: this is the event "{alert.event_type}", whose score is of a later input; give the event'
            f' "raised" of alert {alert.alert_id}'
        )
    return _matching(alert, read_limited(evidence_file, MAX_EVIDENCE_BYTES), str(evidence_file), UsageError)


def _matching(alert: Alert, evidence: bytes, where: str, error: type[UsageError | HostEnvironmentError]) -> PastAlarm:
    """Hold evidence to the digest that its alert names."""
    digest = hashlib.sha256(evidence).hexdigest()
    if digest != alert.evidence_sha256:
        raise error(f"{where} has the digest {digest[:16]}..., the alert names {str(alert.evidence_sha256)[:16]}...")
    return PastAlarm(alert, evidence)


def _why_not(alert: Alert) -> str:
    """Say why an alert has no evidence."""
    if alert.kind == "system":
        return "it is about the gateway itself"
    if alert.evidence_missing is None:
        return 'the pipeline has evidence = "none"; a copy of the picture can be given with --evidence-file'
    return f"{alert.evidence_missing} (see max_evidence_bytes of the pipeline)"


def _raised(database: sqlite3.Connection, path: Path, alert_id: str) -> Alert:
    """Find the ``raised`` event of an alarm."""
    query = "SELECT payload FROM event WHERE series = 'alert' AND instr(payload, ?) ORDER BY id"
    events = [_alert(row[0]) for row in _rows(database, path, query, (f'"alert_id":"{alert_id}"'.encode(),))]
    own = [event for event in events if event is not None and event.alert_id == alert_id]
    for event in own:
        if event.event_type == "raised":
            return event
    what = 'only later events of alert {} are kept, not the event "raised"' if own else "no alert {} is kept"
    raise HostEnvironmentError(f"{path}: {what.format(alert_id)}; see [outbox] retention_s")


def _alert(payload: bytes) -> Alert | None:
    """Read an event; None where a later release wrote it."""
    try:
        return decode(payload, Alert)
    except MessageError:
        return None


def _open(path: Path) -> sqlite3.Connection:
    """Open an outbox for reading."""
    if not path.is_file():
        raise HostEnvironmentError(f"{path}: there is no outbox; has the daemon of this configuration ever run here?")
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    # A closed outbox in a folder that may not be written cannot be opened otherwise; nobody changes it then.
    unused = "" if path.with_name(f"{path.name}-wal").exists() else "&immutable=1"
    try:
        return sqlite3.connect(address + unused, uri=True, timeout=5.0)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def _rows(database: sqlite3.Connection, path: Path, query: str, values: tuple[object, ...]) -> list[Any]:
    try:
        return database.execute(query, values).fetchall()
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: sqlite3.Error) -> HostEnvironmentError:
    return HostEnvironmentError(f"{path}: the outbox cannot be read: {error}")
