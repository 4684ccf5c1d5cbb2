"""Running a model in tflite-micro, in a process of its own: a damaged model may crash the interpreter.

As a program (``python -m firmware_bridge.reference``) it reads a model, records and reset marks from files and writes
the outputs; ``run_reference`` is the way in for everybody else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import FirmwareError, HostEnvironmentError
from firmware_bridge.model import read_model
from firmware_bridge.samples import Record
from firmware_bridge.schema import ITEM_BYTES

TIMEOUT_S = 600.0
MAX_ARENA_BYTES: Final = 512 << 20


class ReferenceRunError(FirmwareError):
    """tflite-micro refuses the model or crashes on it."""


def reference_version() -> str | None:
    """Return the installed tflite-micro's version, None when it is not installed."""
    try:
        return metadata.version("tflite-micro")
    except metadata.PackageNotFoundError:
        return None


def arena_for(model: bytes) -> int:
    """Return how large an arena the interpreter gets for a model.

    Parameters
    ----------
    model : bytes
        The .tflite file.

    Returns
    -------
    n_bytes : int
        All activations beside each other, and ten times the file (at least 1 MiB) for what kernels keep and for
        scratch; at most ``MAX_ARENA_BYTES``.

    Raises
    ------
    ModelFormatError
        When the bytes are no model.
    """
    tensors = [tensor for graph in read_model(model).subgraphs for tensor in graph.tensors]
    activations = sum(t.nbytes for t in tensors if t.data is None and t.dtype in ITEM_BYTES)
    return min(activations + max(10 * len(model), 1 << 20), MAX_ARENA_BYTES)


def run_reference(
    model: bytes, records: Sequence[Record], *, resets: Sequence[int] = (0,), arena_bytes: int = 0
) -> list[Record]:
    """Run records one after the other, keeping the state between them.

    Parameters
    ----------
    model : bytes
        The .tflite file.
    records : sequence of tuple of arrays
        Inputs.
    resets : sequence of int
        Records before which the state is put to its beginning.
    arena_bytes : int
        The interpreter's arena; 0 takes ``arena_for(model)``.

    Returns
    -------
    outputs : list of tuple of arrays
        One array per graph output.

    Raises
    ------
    ReferenceRunError
        When the interpreter refuses the model or dies.
    HostEnvironmentError
        When tflite-micro is not installed.
    """
    if reference_version() is None:
        raise HostEnvironmentError("tflite-micro is not installed; pip install 'edge-runtime[firmware]'")
    arena_bytes = arena_bytes or arena_for(model)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "model.tflite").write_bytes(model)
        arrays: dict[str, npt.NDArray[Any]] = {
            f"r{i}_{j}": value for i, record in enumerate(records) for j, value in enumerate(record)
        }
        arrays["shape"] = np.array([len(records), len(records[0]), arena_bytes], np.int64)
        arrays["resets"] = np.array(sorted(resets), np.int64)
        np.savez(root / "in.npz", allow_pickle=False, **arrays)
        command = [sys.executable, "-m", "firmware_bridge.reference", str(root)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)  # noqa: S603 - our own
        except subprocess.TimeoutExpired as error:
            raise ReferenceRunError(f"tflite-micro did not finish within {TIMEOUT_S:.0f} s") from error
        if done.returncode != 0:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else f"it ended with {done.returncode}"
            raise ReferenceRunError(f"tflite-micro does not run this model in {arena_bytes} bytes: {reason}")
        with np.load(root / "out.npz", allow_pickle=False) as found:
            n_outputs = int(found["count"])
            return [tuple(found[f"r{i}_{j}"] for j in range(n_outputs)) for i in range(len(records))]


def _serve(root: Path) -> None:
    from tflite_micro.python.tflite_micro import runtime  # noqa: PLC0415 - only this process loads the interpreter

    model = (root / "model.tflite").read_bytes()
    with np.load(root / "in.npz", allow_pickle=False) as given:
        n_records, n_inputs, arena = (int(value) for value in given["shape"])
        resets = set(given["resets"].tolist())
        records = [[given[f"r{i}_{j}"] for j in range(n_inputs)] for i in range(n_records)]
    interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena)
    outputs: dict[str, npt.NDArray[Any]] = {}
    count = 0
    for i, record in enumerate(records):
        if i and i in resets:  # a fresh one: its own reset would not run CALL_ONCE again
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena)
        for j, value in enumerate(record):
            interpreter.set_input(value, j)
        interpreter.invoke()
        count = count or _count_outputs(interpreter)
        for j in range(count):
            outputs[f"r{i}_{j}"] = interpreter.get_output(j).copy()
    np.savez(root / "out.npz", allow_pickle=False, count=np.array(count), **outputs)


def _count_outputs(interpreter: Any) -> int:  # noqa: ANN401 - a foreign class without types
    count = 0
    while True:
        try:
            interpreter.get_output(count)
        except (IndexError, RuntimeError, ValueError):
            return count
        count += 1


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
