"""Many random graphs against tflite-micro, fast: kernels compiled once, the interpreter in this process.

``python -m tests.integration.firmware_bridge.many_graphs FIRST COUNT`` prints what does not agree and a summary.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.errors import FirmwareError
from firmware_bridge.build import prepare
from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.emit import emit_program, kernel_text
from firmware_bridge.runner import HOST_MAIN, decode_outputs, encode_commands, runner_source
from firmware_bridge.samples import make_samples
from firmware_bridge.targets import TARGETS
from firmware_bridge.toolchain import host_compiler, run_tool

KERNELS = (
    *("binary_s8", "conv_s8", "copy", "depthwise_s8", "fully_connected_s8", "lookup", "lstm_s8", "mean_s8", "pool_s8"),
    *("quantize_f32", "rescale", "resize_nearest", "softmax_s8", "svdf_s8"),
)
HEADERS = ("edge_arithmetic.h", "edge_dot.h", "edge_kernels.h", "edge_requant.h")
N_INPUTS = 20
_ARENA_BYTES = 4 << 20


def _tell(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def build_kernels(work: Path) -> list[str]:
    """Compile every kernel and the main program once; returns the objects."""
    compiler = host_compiler()
    assert compiler is not None
    (work / "kernels").mkdir()
    for header in HEADERS:
        (work / "kernels" / header).write_text(kernel_text("include", header))
    (work / "main.c").write_text(HOST_MAIN)
    objects = [str(work / "main.o")]
    run_tool([compiler, "-O2", "-c", str(work / "main.c"), "-o", objects[0]])
    for kernel in KERNELS:
        source, target = work / "kernels" / f"{kernel}.c", work / f"{kernel}.o"
        source.write_text(kernel_text("src", f"{kernel}.c"))
        run_tool([compiler, "-std=c99", "-O2", "-c", str(source), "-o", str(target)])
        objects.append(str(target))
    return objects


def _expected(model: bytes, records: list[tuple[Any, ...]], resets: set[int]) -> list[Any]:
    from tflite_micro.python.tflite_micro import runtime  # noqa: PLC0415 - loads the interpreter into this process

    found, interpreter = [], None
    for index, record in enumerate(records):
        if interpreter is None or index in resets:
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=_ARENA_BYTES)
        interpreter.set_input(record[0], 0)
        interpreter.invoke()
        found.append(interpreter.get_output(0).copy())
    return found


def compare(seed: int, work: Path, objects: list[str]) -> int:
    """Return how many output values of one random graph differ from the reference."""
    model = random_model(seed)
    prepared = prepare(model, TARGETS["generic"])
    emission = emit_program(prepared.program, prepared.plan, TARGETS["generic"], "net")
    for name in ("model.c", "model.h"):
        (work / name).write_text(emission.files[name])
    (work / "runner.c").write_text(runner_source(emission.manifest))
    compiler, program = host_compiler(), work / "program"
    assert compiler is not None
    sources = [str(work / "model.c"), str(work / "runner.c")]
    run_tool([compiler, "-std=c99", "-O1", f"-I{work}", *sources, *objects, "-o", str(program)])
    records, resets = make_samples(emission.manifest.inputs, N_INPUTS - 4, seed), {0, N_INPUTS // 2}
    answer = run_tool([str(program)], stdin=encode_commands(records, resets))
    outputs = decode_outputs(emission.manifest, answer, len(records))
    expected = _expected(model, records, resets)
    return sum(
        int(np.count_nonzero(ours[0].tobytes() != theirs.tobytes()))
        for ours, theirs in zip(outputs, expected, strict=True)
    )


def run_many(first: int, count: int) -> Counter[str]:
    """Compare ``count`` graphs in child processes of a hundred; a crash of the interpreter costs one hundred only."""
    total: Counter[str] = Counter()
    for start in range(first, first + count, 100):
        command = [
            sys.executable,
            "-m",
            __name__ if __name__ != "__main__" else __spec__.name,
            str(start),
            "100",
            "child",
        ]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word == "summary":
                total.update({key: int(value) for key, _, value in (item.partition("=") for item in rest.split())})
            else:
                _tell(line)
        if done.returncode:
            total["crashed"] += 1
    return total


def _child(first: int, count: int) -> None:
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        objects = build_kernels(work)
        for seed in range(first, first + count):
            try:
                different = compare(seed, work, objects)
            except FirmwareError as error:
                _tell(f"seed {seed} refused: {error}")
                tally["refused"] += 1
                continue
            tally["different" if different else "exact"] += 1
            if different:
                _tell(f"seed {seed}: {different} records differ")
    _tell("summary", *(f"{key}={value}" for key, value in tally.items()))


if __name__ == "__main__":
    if sys.argv[3:] == ["child"]:
        _child(int(sys.argv[1]), int(sys.argv[2]))
    else:
        _tell(dict(run_many(int(sys.argv[1]), int(sys.argv[2]))))
