"""A line of the budget with what was measured for it, and whether that is proof."""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct

from edge_runtime.compress.statistics import Figure, round_up

Proof = Literal["interval", "point"]
Status = Literal["met", "missed", "unproved"]
#: Differences of shares computed from whole numbers are exact but for this.
_SLACK = 1e-9


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the budget, judged.

    ``key`` is the recipe's, ``subject`` the label, slice or damage that it is about, ``text`` what was measured.
    ``value`` is held to ``goal``, from above when ``at_most``. ``low`` and ``high`` are its 95 % interval where it has
    one, ``n`` the samples it stands on, and ``needed`` about how many would prove it.
    """

    key: str
    text: str
    value: float
    goal: float
    at_most: bool
    status: Status
    subject: str = ""
    low: float | None = None
    high: float | None = None
    n: int = 0
    needed: int | None = None

    @property
    def is_timed(self) -> bool:
        """Whether it is about a time or memory, which differ from run to run."""
        return self.key in {"latency_ms_p95", "ram_kb"}

    @property
    def is_met(self) -> bool:
        """Whether the budget holds here."""
        return self.status == "met"

    def sentence(self) -> str:
        """Word it for a person: what was measured, its interval, the goal, and what would prove it."""
        interval = "" if self.low is None or self.high is None else f" [{_show(self.low)}, {_show(self.high)}]"
        goal = f"{'at most' if self.at_most else 'at least'} {self.goal:g}"
        words = f"{self.key}: {self.text}{interval}, {goal}"
        if self.status != "unproved":
            return words
        needed = "no number of samples can" if self.needed is None else f"about {self.needed} are needed"
        return f"{words}: {self.n} samples cannot prove it; {needed}"


def judge(
    key: str,
    text: str,
    found: Figure,
    goal: float,
    *,
    at_most: bool,
    proof: Proof = "interval",
    subject: str = "",
    needed: int | None = None,
) -> Line:
    """Hold a figure to its goal.

    Parameters
    ----------
    key, text, subject : str
        See :class:`Line`.
    found : Figure
        What was measured, in the unit of ``goal``.
    goal : float
        The budget.
    at_most : bool
        Whether ``goal`` bounds from above.
    proof : {"interval", "point"}
        Whether the whole interval must keep the goal, or the value alone.
    needed : int, optional
        About how many samples would prove it.

    Returns
    -------
    line : Line
        "missed" when the value itself is beyond the goal, "unproved" when only the interval is.

    Examples
    --------
    >>> judge("max_drop", "accuracy lost 0", Figure(0.0, (-0.0126, 0.0126), 300), 0.001, at_most=True).status
    'unproved'
    """
    sign = 1.0 if at_most else -1.0
    status: Status = "met"
    if not sign * found.value <= sign * goal + _SLACK:
        status = "missed"
    elif proof == "interval":
        bound = found.interval[1] if at_most else found.interval[0]
        status = "met" if sign * bound <= sign * goal + _SLACK else "unproved"
    shown = found.n and all(map(math.isfinite, found.interval))
    return Line(
        key=key,
        text=text,
        value=found.value,
        goal=goal,
        at_most=at_most,
        status=status,
        subject=subject,
        low=found.interval[0] if shown else None,
        high=found.interval[1] if shown else None,
        n=found.n,
        needed=needed if status == "unproved" else None,
    )


def needed_by_width(found: Figure, goal: float, *, at_most: bool) -> int | None:
    """Say about how many samples would prove a line whose interval shrinks with the root of their number.

    Parameters
    ----------
    found : Figure
        What was measured.
    goal : float
        What is wanted.
    at_most : bool
        Which bound counts.

    Returns
    -------
    needed : int or None
        Rounded up to two digits; None where the value lies on the goal or the interval is unknown.
    """
    margin = goal - found.value if at_most else found.value - goal
    width = found.interval[1] - found.value if at_most else found.value - found.interval[0]
    if margin <= _SLACK or not math.isfinite(width):
        return None
    return round_up(math.ceil(found.n * (width / margin) ** 2))


def _show(value: float) -> str:
    """Write a bound with four digits behind the point, or so many where it is large."""
    return f"{value:.4f}"
