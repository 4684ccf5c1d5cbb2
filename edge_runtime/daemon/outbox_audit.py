"""The daemon audits its own sequences: every number that was given is in the outbox, or was deleted after its time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge_runtime.daemon.outbox import Account, Outbox


@dataclass(frozen=True, slots=True)
class Violation:
    """A sequence that does not add up.

    Attributes
    ----------
    boot_id, series : str
        Which one.
    n_missing : int
        Numbers that are neither in the outbox nor were deleted; negative when there are more than were given.
    last_given : int or None
        The journal's last number, where the outbox has another one as its last.
    """

    boot_id: str
    series: str
    n_missing: int
    last_given: int | None = None

    def __str__(self) -> str:
        """Say it for the log."""
        end = "" if self.last_given is None else f", and {self.last_given} was the last that was given"
        return f"{self.n_missing} numbers of {self.series} of run {self.boot_id} are missing{end}"


class SequenceAudit:
    """Counts everything once, then what came since.

    Parameters
    ----------
    outbox : Outbox
        What is audited.
    committed : callable
        Gives the last numbers that the journal saw committed, by series.
    """

    def __init__(self, outbox: Outbox, committed: Callable[[], Mapping[str, int]]) -> None:
        self._outbox = outbox
        self._committed = committed
        self._audited: dict[str, int] | None = None

    def check(self) -> list[Violation]:
        """Audit: all runs at the first time, later the present one from the last audited number on.

        Raises
        ------
        HostEnvironmentError
            If the outbox cannot be read.
        """
        boot_id, given = self._outbox.boot_id, self._committed()
        accounts = self._outbox.accounts()
        own = {series: Account(boot_id, series, 0, 0) for series in given}
        own |= {account.series: account for account in accounts if account.boot_id == boot_id}
        found = [self._examine(account, given.get(series, 0)) for series, account in own.items()]
        if self._audited is None:
            found += [self._examine(account) for account in accounts if account.boot_id != boot_id]
        self._audited = {series: account.last for series, account in own.items()}
        return [violation for violation in found if violation is not None]

    def _examine(self, account: Account, given: int | None = None) -> Violation | None:
        """Compare one account with what is kept, and with the last number given."""
        after = (self._audited or {}).get(account.series, 0) if given is not None else 0
        other_end = None if given in (None, account.last) else given
        n_missing = account.last - after - self._outbox.n_kept(account.boot_id, account.series, after=after)
        if n_missing:  # some were deleted already, or something is wrong: only the whole account tells
            n_kept = self._outbox.n_kept(account.boot_id, account.series)
            n_missing = account.last - account.deleted - n_kept
        if not n_missing and other_end is None:
            return None
        return Violation(account.boot_id, account.series, n_missing, other_end)
