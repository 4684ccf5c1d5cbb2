"""Run the fault table: ``python -m tests.faultlab [--only NAME ...] [--pairs N] [--seed N] [--page FILE]``."""

from __future__ import annotations

import argparse
import faulthandler
import signal
import sys
import tempfile
from pathlib import Path

from tests.faultlab.lab import Lab
from tests.faultlab.rounds import run_round
from tests.faultlab.rows import FAULTS


def main() -> int:
    """Run what is asked for and print a line for each round."""
    faulthandler.register(signal.SIGUSR1)
    parser = argparse.ArgumentParser(prog="python -m tests.faultlab")
    parser.add_argument("--only", nargs="*", default=list(FAULTS))
    options = parser.parse_args()
    bad = 0
    lab: Lab | None = None
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            fault = FAULTS[name]
            if lab is None or lab.scene != fault.scene:
                if lab is not None:
                    lab.__exit__()
                lab = Lab(Path(tempfile.mkdtemp(dir=folder)), fault.scene)
                lab.__enter__()
                print(f"scene {fault.scene.name}: started in {lab.start_s:.1f} s")
            outcome = run_round(lab, fault)
            problems = outcome.problems()
            bad += bool(problems)
            print(f"{name:<32} {outcome.recovery_s:5.2f} s  {', '.join(outcome.seen)}  {'; '.join(problems) or 'ok'}")
            sys.stdout.flush()
            if problems:
                print(lab.daemon.log.read_text()[-1500:])
                lab.__exit__()
                lab = None
        if lab is not None:
            lab.__exit__()
    return 3 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
