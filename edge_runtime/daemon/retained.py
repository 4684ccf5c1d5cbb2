"""Topics that the broker keeps for us, remembered so that those of a former configuration are emptied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.outbox import Outgoing, Priority
from edge_runtime.messages import EventIds

#: Key prefix in the outbox's state table; the topic follows.
RETAINED = "retained/"


def empty_gone(
    stored: Mapping[str, bytes], topics: Iterable[str], journal: Journal[object], event_ids: EventIds, *, now: float
) -> None:
    """Empty the remembered topics that are published on no longer, and remember those that are.

    Parameters
    ----------
    stored : mapping of str to bytes
        What an earlier run remembered, by key.
    topics : iterable of str
        Those of this run.
    journal : Journal
        Takes the empty messages with the memory of them, in one transaction.
    event_ids : EventIds
        Gives ULIDs.
    now : float, s
        Monotonic.
    """
    wanted = {RETAINED + topic for topic in topics}
    for key in sorted(stored.keys() - wanted):
        topic = key.removeprefix(RETAINED)
        journal.add_event(Outgoing(event_ids.next(), "", 0, Priority.VERDICT, topic, b"", retain=True))
        journal.set_state(key, None, now=now)
    for key in sorted(wanted - stored.keys()):
        journal.set_state(key, b"1", now=now)
