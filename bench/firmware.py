"""Emit models, run them on emulated boards against tflite-micro, and print what they cost: one row per model and board.

Instructions are counted inside the inference only. Models are the project's released bundles and, where the
development data is beside the checkout, the public ones. Ratios are against tflite-micro with CMSIS-NN, measured before
on the same emulator (harness included). Writes ``bench/results/firmware.json``, with ``--docs`` also the tables of
``docs/firmware.md``. A model that emitting refuses by naming an operator is left out; ends with 3 when anything else
fails, something is not exact, a goal is missed or nothing could be measured.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench.harness import RESULTS, machine
from edge_runtime.errors import EdgeRuntimeError, UnsupportedOperatorError
from firmware_bridge.boards import BOARDS, missing_tools
from firmware_bridge.build import prepare
from firmware_bridge.directory import write_directory
from firmware_bridge.emit import emit_program
from firmware_bridge.naming import name_from
from firmware_bridge.source import read_source
from firmware_bridge.targets import find_target
from firmware_bridge.verify import Agreement, verify_directory

PROJECT = Path(__file__).resolve().parents[1]
PUBLIC = PROJECT.parent / "shared" / "data" / "models"
TARGET_OF = {
    "m0plus": "cortex-m0plus",
    "m3": "generic",
    "m4": "cortex-m4",
    "m33": "cortex-m33",
    "m55": "cortex-m55",
    "rv32": "rv32",
}
#: Models with more products are run on fewer inputs.
LARGE_MACS = 5_000_000
#: RAM of the emulated boards in KiB; a device's own limit is tried by emitting for it.
RAM_KB = 4096
#: Instructions of the peer in millions on M4, and the goal as a ratio to it.
PEER = {
    "pretrainedResnet_quant": (31.12, 0.72),
    "kws_ref_model": (7.66, 0.72),
    "vww_96_int8": (24.15, 0.72),
    "ad01_int8": (0.627, 0.97),
}
CHOSEN = (
    "mlperf-tiny/pretrainedResnet_quant",
    "mlperf-tiny/kws_ref_model",
    "mlperf-tiny/vww_96_int8",
    "mlperf-tiny/ad01_int8",
    "mlperf-tiny/str_ww_ref_model",
    "tflite-micro/mnist_lstm_trained_lstm_int8",
    "tflite-micro/dtln_dtln_noise_suppression",
    "tflite-micro/keyword_scrambled",
    "tflite-micro/person_detect",
    "tflite-micro/micro_speech_micro_speech_quantized",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one board."""

    model: str
    board: str
    exact: bool
    n_inputs: int
    instructions: int
    instructions_per_mac: float
    macs: int
    ram_bytes: int
    ram_lower_bound: int
    stack_bytes: int
    object_bytes: int
    kernel_bytes: int
    tflite_bytes: int
    ratio: float | None
    goal: float | None
    per_operator: tuple[tuple[int, str, int, int], ...]

    @property
    def met(self) -> bool:
        """Whether the row is exact and within its goal."""
        return self.exact and (self.ratio is None or self.goal is None or self.ratio <= self.goal)

    def line(self) -> str:
        """Lay out the row as text."""
        ratio = f"{self.ratio:5.2f}x (goal {self.goal:g})" if self.ratio is not None else ""
        return (
            f"{self.model[:28]:<28} {self.board:<5} {'exact' if self.exact else 'DIFFERS':<8}{self.n_inputs:4d} "
            f"{self.instructions / 1e6:9.3f} M {self.instructions_per_mac:6.2f} {self.ram_bytes:8d} "
            f"{self.object_bytes:8d} {self.kernel_bytes:8d} {self.tflite_bytes:8d}  {ratio}"
        )


HEAD = (
    f"{'model':<28} {'board':<5} {'equal':<8}{'n':>4} {'instructions':>11} {'/MAC':>6} "
    f"{'RAM':>8} {'object':>8} {'kernels':>8} {'.tflite':>8}"
)


def sources() -> Iterator[Path]:
    """Yield the models that are there."""
    yield from sorted((PROJECT / "models").glob("*/*.edgebundle"))
    for name in CHOSEN:
        path = PUBLIC / f"{name}.tflite"
        if path.is_file():
            yield path


def measure(path: Path, board: str, inputs: int) -> Row:
    """Emit one model for a board, verify it there and count."""
    source = read_source(path, None)
    target = find_target(TARGET_OF[board], RAM_KB)
    prepared = prepare(source.model, target)
    emission = emit_program(prepared.program, prepared.plan, target, name_from(source.name))
    if emission.manifest.macs > LARGE_MACS:
        inputs = min(inputs, 4)
    with tempfile.TemporaryDirectory(prefix="edge-firmware-") as folder:
        write_directory(Path(folder), source, emission, ())
        verification = verify_directory(Path(folder), (board,), seeded=inputs, litert=False)
    manifest = emission.manifest
    exact = [a for a in verification.agreements if a.allowed == 0]
    counted: Agreement = max(exact, key=lambda a: max(count.instructions for count in a.counts))
    worst = max(counted.counts, key=lambda count: count.instructions)
    peer = PEER.get(path.stem) if board == "m4" else None
    names = {index: (name, macs) for index, name, macs in manifest.operators}
    return Row(
        model=path.stem,
        board=board,
        exact=all(agreement.largest == 0 for agreement in exact),
        n_inputs=sum(agreement.n_records for agreement in exact),
        instructions=worst.instructions,
        instructions_per_mac=worst.instructions / max(manifest.macs, 1),
        macs=manifest.macs,
        ram_bytes=manifest.arena_bytes + manifest.state_bytes,
        ram_lower_bound=manifest.arena_lower_bound + manifest.state_bytes,
        stack_bytes=worst.stack_bytes,
        object_bytes=counted.flash_bytes - counted.kernel_bytes,
        kernel_bytes=counted.kernel_bytes,
        tflite_bytes=manifest.model_bytes,
        ratio=worst.instructions / (peer[0] * 1e6) if peer else None,
        goal=peer[1] if peer else None,
        per_operator=tuple((index, names[index][0], names[index][1], n) for index, n in worst.per_operator),
    )


DOCS = PROJECT / "docs" / "firmware.md"
MARKS = ("<!-- measured: python -m bench.firmware --docs -->\n", "<!-- end of measured -->")


def tables(rows: list[Row]) -> str:
    """Lay out rows as Markdown: one table per figure, a line per model, a column per board."""
    models = list(dict.fromkeys(row.model for row in rows))
    found = {(row.model, row.board): row for row in rows}

    def table(title: str, first: str, head: Callable[[list[Row]], str], cell: Callable[[Row], str]) -> str:
        lines = [f"{title}\n", f"| model | {first} | {' | '.join(BOARDS)} |", "|---" * (len(BOARDS) + 2) + "|"]
        for model in models:
            own = [found[model, board] for board in BOARDS if (model, board) in found]
            cells = (cell(found[model, board]) if (model, board) in found else "-" for board in BOARDS)
            lines.append(f"| {model} | {head(own)} | {' | '.join(cells)} |")
        return "\n".join(lines) + "\n"

    def exact(own: list[Row]) -> str:
        wrong = [row.board for row in own if not row.exact]
        return f"no: {', '.join(wrong)}" if wrong else f"{min(row.n_inputs for row in own)} inputs"

    peers = [row for row in rows if row.ratio is not None]
    compared = "\n".join(
        (
            "Against tflite-micro with CMSIS-NN on Cortex-M4 (same emulator, harness included):\n",
            "| model | peer, in thousands | to the peer | goal |",
            "|---|---|---|---|",
            *(f"| {row.model} | {PEER[row.model][0] * 1e3:,.0f} | {row.ratio:.2f} | {row.goal:g} |" for row in peers),
            "",
        )
    )
    return "\n".join(
        (
            table(
                "Instructions of one inference, in thousands:",
                "exact, each board",
                exact,
                lambda row: f"{row.instructions / 1e3:,.0f}",
            ),
            compared,
            table(
                "RAM in bytes, arena and state:",
                "lower bound (m4)",
                lambda own: next((f"{row.ram_lower_bound:,}" for row in own if row.board == "m4"), "-"),
                lambda row: f"{row.ram_bytes:,}",
            ),
            table(
                "Flash in bytes, model + kernels:",
                ".tflite",
                lambda own: f"{own[0].tflite_bytes:,}",
                lambda row: f"{row.object_bytes:,} + {row.kernel_bytes:,}",
            ),
            table(
                "Stack in bytes, with some 70 of the program around it:",
                "MACs",
                lambda own: f"{own[0].macs:,}",
                lambda row: f"{row.stack_bytes}",
            ),
        )
    )


def write_docs(rows: list[Row]) -> None:
    """Replace the tables in the documentation."""
    before, mark, rest = DOCS.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    DOCS.write_text(f"{before}{mark}\n{tables(rows)}\n{end}{after}", encoding="utf-8")


@click.command()
@click.option("--quick", is_flag=True, help="Two seeded inputs on the Cortex-M4 only.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON instead of a table.")
@click.option("--docs", is_flag=True, help="Write the tables of docs/firmware.md too.")
def main(*, quick: bool, as_json: bool, docs: bool) -> None:
    """Measure emitted models on emulated boards; writes bench/results/firmware.json."""
    boards = [name for name in (("m4",) if quick else BOARDS) if not missing_tools(BOARDS[name])]
    if not boards:
        print("no emulator and cross compiler installed: nothing measured", file=sys.stderr)
        sys.exit(5)
    rows: list[Row] = []
    refused: list[dict[str, str]] = []
    failed: list[dict[str, str]] = []
    if not as_json:
        print(HEAD)
    for path in sources():
        for board in boards:
            try:
                row = measure(path, board, 2 if quick else 16)
            except EdgeRuntimeError as error:
                told = refused if isinstance(error, UnsupportedOperatorError) else failed
                told.append({"model": path.stem, "board": board, "reason": str(error)})
                print(f"{path.stem[:28]:<28} {board:<5} {str(error).splitlines()[0][:80]}", file=sys.stderr)
                continue
            rows.append(row)
            if not as_json:
                print(row.line(), flush=True)
    result = {
        "benchmark": "firmware",
        "quick": quick,
        **machine(),
        "rows": [asdict(r) for r in rows],
        "left_out": refused,
        "failed": failed,
    }
    if docs and not quick and rows and not failed:
        write_docs(rows)
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result, indent=2)
    (RESULTS / "firmware.json").write_text(text + "\n")
    if as_json:
        print(text)
    sys.exit(0 if rows and not failed and all(row.met for row in rows) else 3)


if __name__ == "__main__":
    main()
