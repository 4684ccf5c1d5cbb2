"""Run the fault table: ``python -m tests.faultlab [NAME[+NAME] ...] [--pairs N] [--seed N] [--page FILE]``."""

from __future__ import annotations

import argparse
import faulthandler
import signal
import sys
import tempfile
from pathlib import Path

from tests.faultlab.page import Entry, read_entries, write_entries, write_page
from tests.faultlab.plants import Plants, by_scene, random_pairs
from tests.faultlab.rows import FAULTS
from tests.faultlab.table import Fault


def main() -> int:
    """Run what is asked for, print a line for each round, and keep what was measured beside the page."""
    faulthandler.register(signal.SIGUSR1)
    parser = argparse.ArgumentParser(prog="python -m tests.faultlab", description=__doc__)
    parser.add_argument("names", nargs="*", help="rows, or pairs as NAME+NAME; default: all rows")
    parser.add_argument("--pairs", type=int, default=0, help="so many pairs by chance, too")
    parser.add_argument("--seed", type=int, default=7, help="of the pairs")
    parser.add_argument("--page", type=Path, help="the page to write")
    parser.add_argument("--keep", type=Path, help="file of what was measured; a row in it is not measured again")
    options = parser.parse_args()
    asked = [tuple(FAULTS[each] for each in name.split("+")) for name in options.names]
    rounds: list[tuple[Fault, ...]] = asked or [(fault,) for fault in by_scene(FAULTS.values())]
    rounds += random_pairs(FAULTS.values(), options.pairs, options.seed)
    entries = read_entries(options.keep.read_text()) if options.keep and options.keep.exists() else []
    done = {entry.names for entry in entries}
    with tempfile.TemporaryDirectory() as folder:
        plants = Plants(Path(folder))
        try:
            for faults in rounds:
                if tuple(fault.name for fault in faults) not in done:
                    entries += run_one(plants, faults)
                    if options.keep:
                        options.keep.write_text(write_entries(entries))
        finally:
            plants.close()
    if options.page:
        write_page(entries, options.seed, options.page)
    return 3 if any(entry.problems for entry in entries) else 0


def run_one(plants: Plants, faults: tuple[Fault, ...]) -> list[Entry]:
    """Run a round and print its line; gives nothing when the machine lacks something."""
    name = "+".join(fault.name for fault in faults)
    lacking = ", ".join(filter(None, map(plants.lacking, faults)))
    if lacking:
        print(f"{name:<34} left out: needs {lacking}", flush=True)
        return []
    entry = Entry.of(plants.run(*faults))
    verdict = "; ".join(entry.problems) or "ok"
    seconds = f"{entry.recovery_s:5.2f} s (x{entry.allowance:.1f})"
    print(f"{name:<34} {seconds}  {', '.join(entry.seen)}  {verdict}", flush=True)
    return [entry]


if __name__ == "__main__":
    sys.exit(main())
