"""One row of the fault table: what is done to a running plant, what must be seen, and what may be lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from tests.faultlab.lab import Lab
from tests.faultlab.scene import Scene

#: What a fault touches; two of one area would be one fault, so pairs are of different areas.
Area = Literal["broker", "link", "disk", "daemon", "worker", "host", "inputs", "clock", "consumer"]
#: What a row needs of the machine.
Need = Literal["mounts", "compiler", "faketime"]
Act = Callable[[Lab], Iterator[None]]

PLAIN = Scene("plain")
TLS = Scene("tls", tls=True)


@dataclass(frozen=True)
class Fault:
    """One row.

    Attributes
    ----------
    name : str
        In tests, in the page, on the command line.
    what : str
        For people.
    act : callable
        The fault as a context: entering injects it, leaving heals it.
    area : str
        What it touches.
    scene : Scene
        The plant that it needs.
    reasons : tuple of str
        Each must be seen in health while the fault stands, or ``exit N`` as the daemon's end. None: it works on.
    counted : tuple of str
        Reasons by which inputs must be counted as dropped.
    lasting : tuple of str
        Reasons that stay in health for an hour, so that a person sees them.
    lasts_s : float
        So long the fault stands at least; 0 when it is over as soon as it happened, such as a kill.
    forgets : bool
        Whether the fault itself loses inputs that the broker had taken and the daemon not yet.
    damages : bool
        Whether the fault changes what is published, so that a consumer cannot read all of it.
    restarts : bool
        Whether the daemon may end and be started again by the service manager.
    alone : bool
        Whether it says something only by itself, not in pairs.
    quick : bool
        Whether it is in the short suite.
    needs : frozenset of str
        Of the machine.
    """

    name: str
    what: str
    act: Callable[[Lab], AbstractContextManager[None]] = field(repr=False)
    area: Area
    scene: Scene = PLAIN
    reasons: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    lasting: tuple[str, ...] = ()
    lasts_s: float = 2.0
    forgets: bool = False
    damages: bool = False
    restarts: bool = False
    alone: bool = False
    quick: bool = False
    needs: frozenset[Need] = frozenset()


#: Every row by name, in the order of the page.
FAULTS: dict[str, Fault] = {}


def fault(
    what: str,
    area: Area,
    *reasons: str,
    scene: Scene = PLAIN,
    counted: tuple[str, ...] = (),
    lasting: tuple[str, ...] = (),
    lasts_s: float = 2.0,
    forgets: bool = False,
    damages: bool = False,
    restarts: bool = False,
    alone: bool = False,
    quick: bool = False,
    needs: tuple[Need, ...] = (),
) -> Callable[[Act], Act]:
    """Make a row of a generator function: what stands before its ``yield`` injects, what stands after it heals."""

    def register(act: Act) -> Act:
        name = act.__name__.replace("_", "-")
        assert name not in FAULTS
        FAULTS[name] = Fault(
            name,
            what,
            contextmanager(act),
            area,
            scene,
            reasons=reasons,
            counted=counted,
            lasting=lasting,
            lasts_s=lasts_s,
            forgets=forgets,
            damages=damages,
            restarts=restarts,
            alone=alone,
            quick=quick,
            needs=frozenset(needs),
        )
        return act

    return register
