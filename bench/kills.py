"""Count the events that are lost when supervisor, worker and mosquitto are killed in mid-stream, many times each.

Lost is an event that is committed in the outbox and that a consumer with a persistent QoS 1 session lacks after it has
asked for the gaps that it sees. Prints one line per victim and writes ``bench/results/kills.json``.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click

from bench.harness import RESULTS, machine
from tests.integration.daemon_rig import running_plant
from tests.integration.kill_rounds import Victim, kill_in_mid_stream


@click.command()
@click.option("--kills", default=20, show_default=True, help="Of each victim.")
@click.option("--seed", default=1, show_default=True, help="Of the moments.")
@click.option("--quick", is_flag=True, help="Three kills of each.")
def main(*, kills: int, seed: int, quick: bool) -> None:
    """Kill each process of a running plant again and again, and count what is lost."""
    kills = 3 if quick else kills
    tallies = []
    for victim in get_args(Victim):
        with tempfile.TemporaryDirectory(prefix="edge-kills-") as folder, running_plant(Path(folder)) as plant:
            tally, _ = kill_in_mid_stream(plant, victim, kills=kills, seed=seed)
        print(tally.line(), flush=True)
        tallies.append(tally)
    RESULTS.mkdir(exist_ok=True)
    report = {"benchmark": "kills", "seed": seed, **machine(), "victims": [asdict(tally) for tally in tallies]}
    (RESULTS / "kills.json").write_text(json.dumps(report, indent=2) + "\n")
    sys.exit(3 if any(tally.lost for tally in tallies) else 0)


if __name__ == "__main__":
    main()
