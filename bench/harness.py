"""How every benchmark measures: candidates take turns in one process, CPU time is counted, results must be equal.

A benchmark is a module with ``cases(quick)``, run as ``python -m bench.<name> [--quick]``; it writes
``bench/results/<name>.json`` and prints a table of goals and ratios. Ratios of candidates that took turns hold on a
busy machine, absolute times do not.
"""

from __future__ import annotations

import gc
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

RESULTS = Path(__file__).parent / "results"
VERSIONS_OF = ("ai-edge-litert", "numba", "numpy", "onnxruntime", "opencv-python-headless", "paho-mqtt")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way of doing the work.

    Attributes
    ----------
    name : str
        As it stands in the table.
    run : callable
        Does the work once for the ``i``-th input and returns the result.
    """

    name: str
    run: Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Goal:
    """The time of one candidate may be at most so many times that of another."""

    ours: str
    against: str
    at_most: float


@dataclass(frozen=True, slots=True)
class Case:
    """Candidates that do the same work on the same inputs.

    Attributes
    ----------
    name : str
        As it stands in the table.
    candidates : sequence of Candidate
        They take turns.
    goals : sequence of Goal
        What is compared.
    n_inputs : int
        Inputs that a candidate is called with in turn, 0..n_inputs-1.
    rounds : int
        Samples of each candidate.
    calls : int
        Calls in one sample; the clock ticks in microseconds, so a sample should last a millisecond.
    equal : callable, optional
        Whether two results are equal; by default arrays must be, to the bit. None where results are not compared.
    clock : {"process", "thread", "wall"}
        CPU time of all threads of the process, of this thread alone, or time that passes: for
        work that waits for a disk.
    items : int
        Things done in one call, where their number per second is told too; 0 where it is not.
    """

    name: str
    candidates: Sequence[Candidate]
    goals: Sequence[Goal]
    n_inputs: int = 1
    rounds: int = 100
    calls: int = 1
    equal: Callable[[Any, Any], bool] | None = np.array_equal
    clock: Literal["process", "thread", "wall"] = "process"
    items: int = 0


@dataclass(frozen=True, slots=True)
class Timing:
    """CPU time of one call of a candidate, in milliseconds."""

    name: str
    median_ms: float
    p05_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """Median over the rounds of ``ours`` divided by ``against``, with its 95 % interval."""

    ours: str
    against: str
    at_most: float
    ratio: float
    low: float
    high: float
    met: bool


def require_equal(case: Case) -> None:
    """Run every candidate on every input and compare with the first one's result.

    Raises
    ------
    AssertionError
        Naming the candidate that gives something else.
    """
    for i in range(case.n_inputs if case.equal is not None else 0):
        first, *others = case.candidates
        wanted = first.run(i)
        wanted = wanted.copy() if isinstance(wanted, np.ndarray) else wanted
        for other in others:
            if case.equal is not None and not case.equal(wanted, other.run(i)):
                raise AssertionError(f'{case.name}: "{other.name}" differs from "{first.name}" on input {i}')


def take_samples(case: Case, clock: Callable[[], int] | None = None) -> dict[str, list[float]]:
    """Time every candidate ``rounds`` times, in turns, each round beginning with another one.

    Parameters
    ----------
    case : Case
        What is measured.
    clock : callable, optional
        Gives nanoseconds; by default the clock that the case names.

    Returns
    -------
    samples : dict of str to list of float
        Seconds of CPU per call, by candidate.
    """
    if clock is None:
        clocks = {"process": time.process_time_ns, "thread": time.thread_time_ns, "wall": time.perf_counter_ns}
        clock = clocks[case.clock]
    samples: dict[str, list[float]] = {candidate.name: [] for candidate in case.candidates}
    count = len(case.candidates)
    turn = [0] * count
    collecting = gc.isenabled()
    gc.disable()
    try:
        for round_ in range(case.rounds):
            for k in range(count):
                index = (round_ + k) % count
                candidate, first = case.candidates[index], turn[index]
                inputs = [(first + call) % case.n_inputs for call in range(case.calls)]
                turn[index] = (first + case.calls) % case.n_inputs
                began = clock()
                for i in inputs:
                    candidate.run(i)
                samples[candidate.name].append((clock() - began) / case.calls / 1e9)
    finally:
        if collecting:
            gc.enable()
    return samples


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Give the median and its 95 % interval by order statistics: no assumption about the distribution."""
    ordered = sorted(values)
    n = len(ordered)
    reach = 1.96 * math.sqrt(n) / 2
    low, high = max(0, math.floor(n / 2 - reach)), min(n - 1, math.ceil(n / 2 + reach))
    return statistics.median(ordered), ordered[low], ordered[high]


def run_case(case: Case) -> dict[str, Any]:
    """Check that results are equal, warm up, measure.

    Returns
    -------
    report : dict
        "case", "clock", "equal", "timings" and "ratios", as JSON takes them.
    """
    require_equal(case)
    for candidate in case.candidates:
        for i in range(case.n_inputs):
            candidate.run(i)
    samples = take_samples(case)
    timings = []
    for name, seconds in samples.items():
        low, middle, high = np.percentile(np.array(seconds) * 1e3, [5, 50, 95]).tolist()
        timings.append(Timing(name, middle, low, high))
    ratios = []
    for goal in case.goals:
        pairs = zip(samples[goal.ours], samples[goal.against], strict=True)
        ratio, low, high = median_interval([ours / max(against, 1e-9) for ours, against in pairs])
        ratios.append(Ratio(goal.ours, goal.against, goal.at_most, ratio, low, high, met=ratio <= goal.at_most))
    return {
        "case": case.name,
        "clock": case.clock,
        "rounds": case.rounds,
        "calls": case.calls,
        "items": case.items,
        "equal": case.equal is not None,
        "timings": [asdict(timing) for timing in timings],
        "ratios": [asdict(ratio) for ratio in ratios],
    }


def machine() -> dict[str, Any]:
    """Say what the figures were measured on."""
    versions = {}
    for name in VERSIONS_OF:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.is_file():
        names = [
            line.partition(":")[2].strip() for line in information.read_text().splitlines() if "model name" in line
        ]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _rate(report: dict[str, Any], timing: dict[str, Any]) -> str:
    """Give things per second at the median, where they are counted."""
    return f"  {report['items'] / timing['median_ms'] * 1e3:9,.0f}/s" if report["items"] else ""


def table(reports: Sequence[dict[str, Any]]) -> str:
    """Lay out timings and ratios as text."""
    lines = []
    for report in reports:
        what = "ms" if report["clock"] == "wall" else "CPU ms"
        lines.append(f"{report['case']}   ({what} per call: median, 5 %..95 %)")
        width = max(len(timing["name"]) for timing in report["timings"])
        lines += [
            f"  {t['name']:<{width}}  {t['median_ms']:9.4f}  {t['p05_ms']:9.4f}..{t['p95_ms']:.4f}{_rate(report, t)}"
            for t in report["timings"]
        ]
        lines += [
            f"  {r['ours']} / {r['against']}: {r['ratio']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"
            f"   goal <= {r['at_most']:g}   {'met' if r['met'] else 'NOT MET'}"
            for r in report["ratios"]
        ]
        lines.append("")
    return "\n".join(lines)


def run_benchmark(name: str, cases: Callable[[bool], Sequence[Case]], arguments: Sequence[str] | None = None) -> None:
    """Be the command line of one benchmark.

    Parameters
    ----------
    name : str
        Names the file of results.
    cases : callable
        Gives the cases; its argument says whether a quick look is enough.
    arguments : sequence of str, optional
        Instead of the command line's.
    """

    @click.command(help=f"Measure {name}; writes bench/results/{name}.json.")
    @click.option("--quick", is_flag=True, help="Few rounds: a look, not a figure to publish.")
    @click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
    def command(*, quick: bool, as_json: bool) -> None:
        reports = []
        for case in cases(quick):
            print(f"{name}: {case.name} ...", file=sys.stderr)
            reports.append(run_case(case))
        result = {"benchmark": name, "quick": quick, **machine(), "cases": reports}
        RESULTS.mkdir(exist_ok=True)
        text = json.dumps(result, indent=2)
        (RESULTS / f"{name}.json").write_text(text + "\n")
        print(text if as_json else table(reports))

    command(arguments)
