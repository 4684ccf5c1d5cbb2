"""The live table of the demo; plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from edge_runtime.demo.tally import Tally

_REFRESH_S = 0.25


class Board:
    """Shows what happens.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    is_terminal : bool
        Whether a table can be redrawn in place.
    """

    def __init__(self, *, quiet: bool, is_terminal: bool) -> None:
        self._quiet = quiet
        self._is_terminal = is_terminal

    def say(self, text: str) -> None:
        """Write one line."""
        if not self._quiet:
            click.echo(text, err=True)

    def watch(self, tally: Tally, is_over: Callable[[], bool], duration_s: float) -> None:
        """Show news until the line is over.

        Parameters
        ----------
        tally : Tally
            What the consumer sees.
        is_over : callable
            Whether to stop.
        duration_s : float
            Of the line, for the clock.
        """
        if self._is_terminal and not self._quiet:
            self._watch_table(tally, is_over, duration_s)
            return
        while not is_over():
            self._flush(tally)
            time.sleep(_REFRESH_S)
        self._flush(tally)

    def _flush(self, tally: Tally) -> None:
        while tally.news:
            self.say(tally.news.popleft())

    def _watch_table(self, tally: Tally, is_over: Callable[[], bool], duration_s: float) -> None:
        from rich.console import Console  # noqa: PLC0415 - only for a terminal
        from rich.live import Live  # noqa: PLC0415 - only for a terminal
        from rich.table import Table  # noqa: PLC0415 - only for a terminal
        from rich.text import Text  # noqa: PLC0415 - only for a terminal

        began = time.monotonic()

        def draw() -> Table:
            ng = tuple(tally.verdicts.values()).count("ng")
            elapsed = min(duration_s, time.monotonic() - began)
            raised = sum(len(each) for each in tuple(tally.raised.values()))
            table = Table(
                title=f"{elapsed:4.0f} of {duration_s:.0f} s   {tally.frames} frames   {len(tally.verdicts)} verdicts"
                f" ({ng} ng)   {tally.values} sensor values   {raised} machine alarms",
                show_header=False,
                width=100,
            )
            for news in tuple(tally.news):
                table.add_row(Text(news))
            return table

        with Live(draw(), console=Console(stderr=True), refresh_per_second=4, transient=True) as live:
            while not is_over():
                time.sleep(_REFRESH_S)
                live.update(draw())
