"""Running a model in LiteRT, in a process of its own, to report how far its kernels are from the contract's.

"TFLite int8" is several functions: LiteRT's default kernels (XNNPACK) and its reference kernels both differ from
tflite-micro. The difference is measured and shown; it decides nothing.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from firmware_bridge.samples import Record

KERNELS: Final = ("default", "reference")
_TIMEOUT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one set of kernels is from the outputs compared with.

    Attributes
    ----------
    kernels : str
        Which.
    problem : str
        Why nothing could be measured; empty when it could.
    n_values, n_different : int
        Output values compared and values that differ.
    largest : float
        The largest difference: in codes, or in the model's unit where an output is float32.
    """

    kernels: str
    problem: str
    n_values: int = 0
    n_different: int = 0
    largest: float = 0.0


def measure_differences(
    model: bytes, records: Sequence[Record], outputs: Sequence[Record], resets: Sequence[int]
) -> list[Difference]:
    """Compare outputs with both kernel sets of LiteRT, which keep the state from record to record as well.

    Parameters
    ----------
    model : bytes
        The .tflite file.
    records, outputs : sequence of tuple of arrays
        Inputs and what was found for them.
    resets : sequence of int
        Records before which the state is put to its beginning.

    Returns
    -------
    differences : list of Difference
        Empty when LiteRT is not installed.
    """
    if importlib.util.find_spec("ai_edge_litert") is None:
        return []
    return [_measure(model, records, outputs, resets, kernels) for kernels in KERNELS]


def _measure(
    model: bytes, records: Sequence[Record], outputs: Sequence[Record], resets: Sequence[int], kernels: str
) -> Difference:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "model.tflite").write_bytes(model)
        arrays: dict[str, npt.NDArray[Any]] = {
            f"r{i}_{j}": value for i, record in enumerate(records) for j, value in enumerate(record)
        }
        shape = np.array([len(records), len(records[0])], np.int64)
        arrays["resets"] = np.array(sorted(resets), np.int64)
        np.savez(root / "in.npz", allow_pickle=False, shape=shape, **arrays)
        command = [sys.executable, "-m", "firmware_bridge.litert", str(root), kernels]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 - our own
        except subprocess.TimeoutExpired:
            return Difference(kernels, f"did not finish within {_TIMEOUT_S:.0f} s")
        if done.returncode != 0:
            return Difference(kernels, f"LiteRT does not run this model (it ended with {done.returncode})")
        with np.load(root / "out.npz", allow_pickle=False) as found:
            pairs = [
                (value.astype(np.float64).ravel(), found[f"r{i}_{j}"].astype(np.float64).ravel())
                for i, record in enumerate(outputs)
                for j, value in enumerate(record)
            ]
    distances = np.concatenate([np.abs(ours - theirs) for ours, theirs in pairs])
    return Difference(kernels, "", distances.size, int(np.count_nonzero(distances)), float(distances.max()))


def _serve(root: Path, kernels: str) -> None:
    model = (root / "model.tflite").read_bytes()
    interpreter = _fresh(model, kernels)
    ports, results = interpreter.get_input_details(), interpreter.get_output_details()
    outputs: dict[str, npt.NDArray[Any]] = {}
    with np.load(root / "in.npz", allow_pickle=False) as given:
        n_records, n_inputs = (int(value) for value in given["shape"])
        resets = set(given["resets"].tolist())
        for i in range(n_records):
            if i and i in resets:  # a fresh one: reset_all_variables leaves resource variables as they are
                interpreter = _fresh(model, kernels)
            for j in range(n_inputs):
                interpreter.set_tensor(ports[j]["index"], given[f"r{i}_{j}"])
            interpreter.invoke()
            for j, result in enumerate(results):
                outputs[f"r{i}_{j}"] = interpreter.get_tensor(result["index"])
    np.savez(root / "out.npz", allow_pickle=False, **outputs)


def _fresh(model: bytes, kernels: str) -> Any:  # noqa: ANN401 - a foreign class without types
    from ai_edge_litert.interpreter import Interpreter, OpResolverType  # noqa: PLC0415 - only this process loads it

    resolver = OpResolverType.BUILTIN_REF if kernels == "reference" else OpResolverType.AUTO
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.reset_all_variables()
    return interpreter


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), sys.argv[2])
