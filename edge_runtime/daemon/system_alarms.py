"""The gateway's own alarms, which no pipeline finds: a disagreeing model, a flood of alarms, a roll-back."""

from __future__ import annotations

import re

from edge_runtime.alerts import AlarmRule
from edge_runtime.daemon.telling import NO_MODEL, Occasion
from edge_runtime.findings import Finding
from edge_runtime.messages import SEVERITY_NUMBERS, Severity

#: The pipeline that such alarms name, and the first level of their keys.
SYSTEM = "system"
_WORD = re.compile(r"[a-z0-9][a-z0-9_.-]{0,119}")
_UPDATE_EVERY_S = 60.0


def system_key(word: str) -> str:
    """Name the alarm of a word.

    Parameters
    ----------
    word : str
        ``[a-z0-9_.-]``, at most 120 characters.

    Raises
    ------
    ValueError
        If it is no such word.

    Examples
    --------
    >>> system_key("alarm_flood")
    'system.alarm_flood'
    """
    if _WORD.fullmatch(word) is None:
        raise ValueError(f"{word!r} cannot name an alarm; take a-z 0-9 _ . - only, at most 120 characters")
    return f"{SYSTEM}.{word}"


def system_rule(severity: Severity, *, exempt: bool = False) -> AlarmRule:
    """Give the rule of such an alarm: it stands exactly as long as its cause, and is updated once a minute."""
    number = SEVERITY_NUMBERS[severity]
    return AlarmRule(clear_after=1, severity=severity, severity_n=number, update_every_s=_UPDATE_EVERY_S, exempt=exempt)


def system_finding(word: str, *, active: bool, score: float, value: float | None, unit: str) -> Finding:
    """Write the state of a cause as a finding."""
    return Finding("system", word, score, 0.5, 0.5, abnormal=active, clearable=not active, value=value, unit=unit)


def system_occasion(now_s: float) -> Occasion:
    """Give the input behind such an alarm: none, at this wall clock (s)."""
    return Occasion(SYSTEM, "", False, NO_MODEL, now_s, now_s, 0.0)
