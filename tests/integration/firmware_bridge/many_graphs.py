"""Many random graphs against tflite-micro, fast: kernels compiled once per place, the interpreter in this process.

``python -m tests.integration.firmware_bridge.many_graphs FIRST COUNT [PLACE]`` prints what does not agree and a
summary. PLACE is one of ``edge-firmware verify --on``; without it the host. Graphs are emitted for the target that
belongs to the place.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import firmware_bridge
from edge_runtime.errors import FirmwareError
from firmware_bridge.boards import BOARDS, link_program, run_program
from firmware_bridge.build import prepare
from firmware_bridge.conformance.graphs import random_model
from firmware_bridge.emit import emit_program, kernel_text
from firmware_bridge.emulator import PROCESSORS, link_image, run_image
from firmware_bridge.manifest import FirmwareManifest
from firmware_bridge.runner import HOST_MAIN, decode_outputs, encode_commands, runner_source
from firmware_bridge.samples import Record, make_samples
from firmware_bridge.targets import find_target
from firmware_bridge.toolchain import host_compiler, run_tool

_LIBRARY = Path(firmware_bridge.__file__).parent / "c"
KERNELS = sorted(path.stem for path in _LIBRARY.glob("src/*.c"))
HEADERS = sorted(path.name for path in _LIBRARY.glob("include/*.h"))
N_INPUTS = 20
_ARENA_BYTES = 4 << 20


def _tell(*words: object) -> None:
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def fresh_seed() -> int:
    """A seed that no run had before; the environment's EDGE_SEED repeats an earlier run."""
    given = os.environ.get("EDGE_SEED")
    return int(given) if given else 10_000 + secrets.randbelow(1 << 30)


def _compiler(place: str) -> list[str]:
    """Command that compiles kernels for a place."""
    if place in BOARDS:
        return [BOARDS[place].tools[0], *BOARDS[place].flags, "-std=c99", "-O2"]
    if place in PROCESSORS:
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", "thumb-freestanding-eabi"]
        return [*zig, f"-mcpu={PROCESSORS[place].zig}", "-O2", "-ffreestanding", "-fno-sanitize=undefined"]
    found = host_compiler()
    assert found is not None
    return [found, "-std=c99", "-O2"]


def build_kernels(place: str, work: Path) -> list[str]:
    """Compile every kernel once; returns the objects."""
    (work / "kernels").mkdir()
    for header in HEADERS:
        (work / "kernels" / header).write_text(kernel_text("include", header))
    objects = []
    for kernel in KERNELS:
        source, target = work / "kernels" / f"{kernel}.c", work / f"{kernel}.o"
        source.write_text(kernel_text("src", f"{kernel}.c"))
        run_tool([*_compiler(place), "-ffunction-sections", "-c", str(source), "-o", str(target)])
        objects.append(str(target))
    return objects


def _run(
    place: str, work: Path, objects: list[str], manifest: FirmwareManifest, records: list[Record], resets: set[int]
) -> list[Record]:
    """Build the graph that lies in ``work`` and run records through it."""
    (work / "runner.c").write_text(runner_source(manifest))
    sources = [str(work / "model.c"), str(work / "runner.c"), *objects]
    commands = encode_commands(records, resets)
    if place in PROCESSORS:
        image = link_image(PROCESSORS[place], sources, [f"-I{work}"], work)
        return run_image(PROCESSORS[place], image, manifest, records, resets)
    if place in BOARDS:
        (work / "bench.c").write_text(kernel_text("board", "bench.c"))
        (work / "in.bin").write_bytes(commands)
        program = link_program(BOARDS[place], [*sources, str(work / "bench.c")], work, flags=[f"-I{work}"])
        run_program(BOARDS[place], program)
        return decode_outputs(manifest, (work / "out.bin").read_bytes(), len(records))
    (work / "main.c").write_text(HOST_MAIN)
    program = work / "program"
    run_tool([*_compiler(place), "-O1", f"-I{work}", *sources, str(work / "main.c"), "-o", str(program)])
    return decode_outputs(manifest, run_tool([str(program)], stdin=commands), len(records))


def _expected(model: bytes, n_outputs: int, records: list[tuple[Any, ...]], resets: set[int]) -> list[Record]:
    from tflite_micro.python.tflite_micro import runtime  # noqa: PLC0415 - loads the interpreter into this process

    found: list[Record] = []
    interpreter = None
    for index, record in enumerate(records):
        if interpreter is None or index in resets:
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=_ARENA_BYTES)
        interpreter.set_input(record[0], 0)
        interpreter.invoke()
        found.append(tuple(interpreter.get_output(port).copy() for port in range(n_outputs)))
    return found


def compare(seed: int, place: str, work: Path, objects: list[str]) -> int:
    """Return how many records of one random graph differ from the reference in any output."""
    model, target = random_model(seed), find_target(_target_of(place), 8192)
    prepared = prepare(model, target)
    emission = emit_program(prepared.program, prepared.plan, target, "net")
    for name in ("model.c", "model.h"):
        (work / name).write_text(emission.files[name])
    records, resets = make_samples(emission.manifest.inputs, N_INPUTS - 4, seed), {0, N_INPUTS // 2}
    outputs = _run(place, work, objects, emission.manifest, records, resets)
    expected = _expected(model, len(emission.manifest.outputs), records, resets)
    return sum(_codes(ours) != _codes(theirs) for ours, theirs in zip(outputs, expected, strict=True))


def _codes(record: Record) -> list[bytes]:
    return [values.tobytes() for values in record]


def _target_of(place: str) -> str:
    """What an application of a place would emit for."""
    core = place.removeprefix("unicorn-")
    return "rv32" if core == "rv32" else "generic" if core in {"host", "m3"} else f"cortex-{core}"


def run_many(first: int, count: int, place: str = "host") -> Counter[str]:
    """Compare ``count`` graphs in child processes of a hundred; a crash of the interpreter costs one hundred only."""
    total: Counter[str] = Counter()
    module = __name__ if __name__ != "__main__" else __spec__.name
    for start in range(first, first + count, 100):
        size = min(100, first + count - start)
        command = [sys.executable, "-m", module, str(start), str(size), place, "child"]
        done = subprocess.run(command, capture_output=True, check=False, text=True)
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word == "summary":
                total.update({key: int(value) for key, _, value in (item.partition("=") for item in rest.split())})
            else:
                _tell(line)
        if done.returncode:
            _tell(f"seeds {start} to {start + size - 1} on {place}: the process ended with {done.returncode}")
            _tell(done.stderr[-2000:])
            total["crashed"] += 1
    return total


def _child(first: int, count: int, place: str) -> None:
    tally: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        objects = build_kernels(place, work)
        for seed in range(first, first + count):
            try:
                different = compare(seed, place, work, objects)
            except FirmwareError as error:
                _tell(f"seed {seed} on {place} refused: {error}")
                tally["refused"] += 1
                continue
            tally["different" if different else "exact"] += 1
            if different:
                _tell(f"seed {seed} on {place}: {different} records differ")
    _tell("summary", *(f"{key}={value}" for key, value in tally.items()))


if __name__ == "__main__":
    _place = sys.argv[3] if sys.argv[3:] else "host"
    if sys.argv[4:] == ["child"]:
        _child(int(sys.argv[1]), int(sys.argv[2]), _place)
    else:
        _tell(dict(run_many(int(sys.argv[1]), int(sys.argv[2]), _place)))
