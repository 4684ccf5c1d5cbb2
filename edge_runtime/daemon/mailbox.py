"""Bounded input queues, one per source, and the fair order in which they are emptied."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Generic, Literal, TypeVar

Overflow = Literal["block", "drop_oldest", "drop_newest"]
Item = TypeVar("Item")


@dataclass(slots=True)
class Mailbox(Generic[Item]):
    """A bounded queue that says what happens when it is full.

    Thread-safe: the network thread puts, the main loop takes.

    Attributes
    ----------
    source : str
        The camera or sensor it belongs to.
    depth : int
        The most items it holds, 1 or more.
    overflow : {"block", "drop_oldest", "drop_newest"}
        ``block`` accepts items beyond ``depth``, its surplus, and its reader decides when to stop;
        ``drop_oldest`` gives back the oldest item; ``drop_newest`` gives back the new one.
    """

    source: str
    depth: int
    overflow: Overflow
    _items: deque[Item] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, item: Item) -> Item | None:
        """Add an item.

        Returns
        -------
        dropped : Item or None
            What had to go; the caller counts it and acknowledges it.
        """
        with self._lock:
            if len(self._items) < self.depth or self.overflow == "block":
                self._items.append(item)
                return None
            if self.overflow == "drop_newest":
                return item
            dropped = self._items.popleft()
            self._items.append(item)
            return dropped

    def put_back(self, items: Iterable[Item]) -> None:
        """Return items that were taken and not finished to the front, in their order, whatever the depth."""
        with self._lock:
            self._items.extendleft(reversed(list(items)))

    def take(self) -> Item | None:
        """Remove and return the oldest item, or None."""
        with self._lock:
            return self._items.popleft() if self._items else None

    def remove(self, doomed: Callable[[Item], bool]) -> list[Item]:
        """Remove and return the items of which ``doomed`` holds; the others stay in their order."""
        with self._lock:
            removed = [item for item in self._items if doomed(item)]
            kept = [item for item in self._items if not doomed(item)]
            self._items.clear()
            self._items.extend(kept)
            return removed

    @property
    def full(self) -> bool:
        """Whether a ``block`` mailbox holds all that it should."""
        return self.overflow == "block" and len(self._items) >= self.depth

    def surplus(self) -> list[Item]:
        """Give the items beyond the depth of a ``block`` mailbox; they stay."""
        if not self.full:
            return []
        with self._lock:
            return list(islice(self._items, self.depth, None))

    def __len__(self) -> int:
        return len(self._items)


class Rotation(Generic[Item]):
    """Takes from many mailboxes in turn, so that a flooding source cannot starve the others.

    Parameters
    ----------
    mailboxes : iterable of Mailbox
        In the order of the configuration.
    """

    def __init__(self, mailboxes: Iterable[Mailbox[Item]]) -> None:
        self._order = deque(mailboxes)

    def take(self, ready: Callable[[Mailbox[Item]], bool]) -> tuple[Mailbox[Item], Item] | None:
        """Take one item from the next mailbox that has one and for which ``ready`` holds.

        Returns
        -------
        taken : (Mailbox, Item) or None
            None when no ready mailbox holds anything.
        """
        for _ in range(len(self._order)):
            mailbox = self._order[0]
            self._order.rotate(-1)
            if len(mailbox) and ready(mailbox):
                item = mailbox.take()
                if item is not None:
                    return mailbox, item
        return None
