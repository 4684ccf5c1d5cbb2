"""Gives each round a plant that suits it, and pairs of faults by chance."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faultlab.lab import Lab
from tests.faultlab.meddler import can_compile
from tests.faultlab.rounds import Outcome, run_round
from tests.faultlab.surroundings import can_mount, faketime_library
from tests.faultlab.table import PLAIN, Fault, Need

_WHERE: dict[Need, str] = {
    "mounts": "mount namespaces (root, or CAP_SYS_ADMIN)",
    "compiler": "gcc (apt-get install gcc)",
    "faketime": "libfaketime (apt-get install faketime)",
}


class Plants:
    """Keeps a plant running for as long as rounds go well and need the same scene.

    Parameters
    ----------
    folder : Path
        Where plants are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lab: Lab | None = None
        self._met: dict[Need, bool] = {}

    def run(self, *faults: Fault) -> Outcome:
        """Run a round on a plant that is well; one in which something went wrong is not used again."""
        lab = self._suitable(*faults)
        try:
            outcome = run_round(lab, *faults)
        except BaseException:
            self.close()
            raise
        if outcome.problems():
            self.close()
        return outcome

    def log(self) -> str:
        """The end of the present daemon's log."""
        return "" if self._lab is None else self._lab.daemon.log.read_text()[-3000:]

    def close(self) -> None:
        """End the present plant."""
        if self._lab is not None:
            self._lab.__exit__()
            self._lab = None

    def lacking(self, fault: Fault) -> str:
        """Say what this machine lacks for a row; empty when nothing."""
        return ", ".join(_WHERE[need] for need in sorted(fault.needs) if not self._is_met(need))

    def require(self, *faults: Fault) -> None:
        """Leave a test out, with an explanation, where the machine lacks something; in CI a package must be there."""
        for fault in faults:
            lacking = self.lacking(fault)
            if lacking and os.environ.get("CI") == "true" and "mounts" not in fault.needs:
                pytest.fail(f"{fault.name} needs {lacking}")
            if lacking:
                pytest.skip(f"{fault.name} needs {lacking} and is left out")

    def _is_met(self, need: Need) -> bool:
        if need not in self._met:
            look = {"mounts": can_mount, "compiler": can_compile, "faketime": faketime_library}[need]
            self._met[need] = bool(look())
        return self._met[need]

    def _suitable(self, *faults: Fault) -> Lab:
        (scene,) = {fault.scene for fault in faults}
        lasting = [reason for fault in faults for reason in fault.lasting]
        if self._lab is not None and not self._lab.suits(scene, lasting):
            self.close()
        if self._lab is None:
            self._lab = Lab(Path(tempfile.mkdtemp(dir=self._folder)), scene)
            self._lab.__enter__()
        return self._lab


def by_scene(faults: Iterable[Fault]) -> list[Fault]:
    """Sort rows so that plants are made as seldom as possible."""
    return sorted(faults, key=lambda fault: "" if fault.scene == PLAIN else fault.scene.name)


def random_pairs(faults: Iterable[Fault], count: int, seed: int) -> list[tuple[Fault, Fault]]:
    """Draw pairs of rows of different areas, all of the plain scene."""
    rng = random.Random(seed)
    able = [fault for fault in faults if not fault.alone and fault.scene == PLAIN]
    pairs = [(one, other) for one in able for other in able if one.area < other.area]
    return [pair if rng.random() < 0.5 else pair[::-1] for pair in rng.sample(pairs, count)]
