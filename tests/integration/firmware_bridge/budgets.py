"""What emitted models cost on each board, and the figures that they must not exceed.

``python -m tests.integration.firmware_bridge.budgets`` measures every model on every board and writes
``budgets.json`` anew; names of models after it measure these only. It tells what grew and what shrank.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from firmware_bridge.boards import BOARDS, run_board
from firmware_bridge.build import prepare
from firmware_bridge.directory import write_directory
from firmware_bridge.emit import emit_program
from firmware_bridge.naming import name_from
from firmware_bridge.reference import run_reference
from firmware_bridge.samples import Record, make_samples
from firmware_bridge.source import Source, read_source
from firmware_bridge.targets import find_target
from firmware_bridge.toolchain import run_tool

PROJECT: Final = Path(__file__).resolve().parents[3]
FILE: Final = Path(__file__).with_name("budgets.json")
FIGURES: Final = ("instructions", "flash_bytes", "kernel_bytes", "ram_bytes", "stack_bytes")
#: A figure may be this much above its budget.
TOLERANCE: Final = 1.01
TARGET_OF: Final = {
    "m0plus": "cortex-m0plus",
    "m3": "generic",
    "m4": "cortex-m4",
    "m33": "cortex-m33",
    "m55": "cortex-m55",
    "rv32": "rv32",
}
_PUBLIC: Final = "../shared/data/models"
MODELS: Final = {
    "machine-failure": "models/machine-failure/machine-failure.edgebundle",
    "surface-defect": "models/surface-defect/surface-defect.edgebundle",
    "turbofan-rul": "models/turbofan-rul/turbofan-rul.edgebundle",
    "resnet8": f"{_PUBLIC}/mlperf-tiny/pretrainedResnet_quant.tflite",
    "ds-cnn": f"{_PUBLIC}/mlperf-tiny/kws_ref_model.tflite",
    "mobilenet-vww": f"{_PUBLIC}/mlperf-tiny/vww_96_int8.tflite",
    "autoencoder": f"{_PUBLIC}/mlperf-tiny/ad01_int8.tflite",
    "wakeword": f"{_PUBLIC}/mlperf-tiny/str_ww_ref_model.tflite",
    "lstm": f"{_PUBLIC}/tflite-micro/mnist_lstm_trained_lstm_int8.tflite",
    "lstm-streaming": f"{_PUBLIC}/tflite-micro/dtln_dtln_noise_suppression.tflite",
    "svdf": f"{_PUBLIC}/tflite-micro/keyword_scrambled.tflite",
}


def read_budgets() -> dict[str, Any]:
    """The recorded figures."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@cache
def compiler_version(gcc: str) -> str:
    """Version of a cross compiler: figures of another one are not comparable."""
    return run_tool([gcc, "-dumpversion"]).decode().strip()


@cache
def _source(model: str) -> Source:
    return read_source(PROJECT / MODELS[model], None)


@cache
def _expected(model: str) -> tuple[list[Record], list[Record]]:
    """Inputs of a model and what the reference gives for them, from one reset."""
    target = find_target("generic")
    prepared = prepare(_source(model).model, target)
    manifest = emit_program(prepared.program, prepared.plan, target, "net").manifest
    records = make_samples(manifest.inputs, 2, 3)[:2]
    return records, run_reference(_source(model).model, records)


def measure(model: str, board: str, *defines: str) -> dict[str, int]:
    """Emit a model for a board and run it there on two inputs; fails when it is not exact.

    Returns
    -------
    figures : dict of str to int
        ``FIGURES``, and the model's ``macs`` and ``tflite_bytes``.
    """
    source, target = _source(model), find_target(TARGET_OF[board], 4096)
    records, expected = _expected(model)
    prepared = prepare(source.model, target)
    emission = emit_program(prepared.program, prepared.plan, target, name_from(model))
    manifest = emission.manifest
    with tempfile.TemporaryDirectory() as folder:
        write_directory(Path(folder), source, emission, ())
        run = run_board(BOARDS[board], Path(folder), manifest, records, {0}, defines=defines)
    for ours, theirs in zip(run.outputs, expected, strict=True):
        same = [a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True)]
        assert all(same), f"{model} differs from the reference on {board}"
    return {
        "instructions": max(count.instructions for count in run.counts),
        "flash_bytes": run.flash_bytes,
        "kernel_bytes": run.kernel_bytes,
        "ram_bytes": manifest.arena_bytes + manifest.state_bytes,
        "stack_bytes": max(count.stack_bytes for count in run.counts),
        "macs": manifest.macs,
        "tflite_bytes": manifest.model_bytes,
    }


def grown(found: Mapping[str, int], budget: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Figures above their budget, as (measured, budget)."""
    return {key: (found[key], budget[key]) for key in FIGURES if found[key] > budget[key] * TOLERANCE}


def write_budgets(budgets: Mapping[str, Any]) -> None:
    """One line for each model and board, so that a change reads well."""
    parts = []
    for model, entry in budgets["models"].items():
        head = ", ".join(f'"{key}": {entry[key]}' for key in ("macs", "tflite_bytes"))
        rows = ",\n".join(f'      "{board}": {json.dumps(row)}' for board, row in entry["boards"].items())
        parts.append(f'    "{model}": {{\n      {head},\n      "boards": {{\n{rows}\n      }}\n    }}')
    models = ",\n".join(parts)
    text = f'{{\n  "compilers": {json.dumps(budgets["compilers"])},\n  "models": {{\n{models}\n  }}\n}}\n'
    FILE.write_text(text, encoding="utf-8")


def _main(chosen: list[str]) -> None:
    before = read_budgets() if FILE.is_file() else {"models": {}}
    models: dict[str, Any] = dict(before["models"])
    for model in chosen or MODELS:
        rows, found = {}, {}
        for board in BOARDS:
            found = measure(model, board)
            old = models.get(model, {}).get("boards", {}).get(board, {})
            changes = [f"{key} {old[key]} -> {found[key]}" for key in FIGURES if key in old and old[key] != found[key]]
            sys.stdout.write(f"{model} {board}: {', '.join(changes) or 'as before' if old else 'new'}\n")
            sys.stdout.flush()
            rows[board] = {key: found[key] for key in FIGURES}
        models[model] = {"macs": found["macs"], "tflite_bytes": found["tflite_bytes"], "boards": rows}
    compilers = {gcc: compiler_version(gcc) for gcc in sorted({board.tools[0] for board in BOARDS.values()})}
    write_budgets({"compilers": compilers, "models": {name: models[name] for name in MODELS if name in models}})


if __name__ == "__main__":
    _main(sys.argv[1:])
