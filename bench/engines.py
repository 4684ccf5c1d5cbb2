"""What our Runtime adds to the bare engine: checks of dtype and shape, reset of state, a look for NaN.

The bare script sets, invokes and gets with everything prepared before; it checks nothing. The smallest models show the
microseconds that are added, the released bundles what that means for a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.harness import Candidate, Case, Goal, run_benchmark
from edge_runtime.bundle.reader import read_unverified
from edge_runtime.inference.interface import Runtime
from edge_runtime.inference.measuring import sample_inputs
from edge_runtime.inference.opening import Format, open_runtime

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "tests" / "golden" / "models"
OURS, BARE = "Runtime.run", "bare engine"
N_INPUTS = 8

#: The wrapper may cost so much of a model that does nearly nothing, and of a real one.
TINY_AT_MOST, REAL_AT_MOST = 2.5, 1.1

Array = npt.NDArray[Any]


def bare_litert(model: bytes, inputs: Sequence[list[Array]], *, stateful: bool) -> Callable[[int], Array]:
    """Set, invoke and get; a model with state is reset, or its results would be wrong."""
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - only where LiteRT is measured

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    places = [details["index"] for details in interpreter.get_input_details()]
    (out,) = [details["index"] for details in interpreter.get_output_details()]

    def run(i: int) -> Array:
        if stateful:
            interpreter.reset_all_variables()
        for place, array in zip(places, inputs[i], strict=True):
            interpreter.set_tensor(place, array)
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(out))

    return run


def bare_onnxruntime(model: bytes, inputs: Sequence[list[Array]]) -> Callable[[int], Array]:
    """Run a session on one thread."""
    import onnxruntime  # noqa: PLC0415 - only where onnxruntime is measured

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    feeds = [dict(zip(names, arrays, strict=True)) for arrays in inputs]

    def run(i: int) -> Array:
        return np.asarray(session.run(None, feeds[i])[0])

    return run


def case(name: str, model: bytes, model_format: Format, rounds: int, at_most: float, *, stateful: bool = False) -> Case:
    """Compare our Runtime with the bare engine on one model."""
    runtime: Runtime = open_runtime(model, model_format)
    samples = sample_inputs(runtime.interface.inputs, N_INPUTS)
    specs = runtime.interface.inputs
    inputs = [
        [array[i : i + 1].reshape(spec.shape) for spec, array in zip(specs, samples, strict=True)]
        for i in range(N_INPUTS)
    ]
    bare = (
        bare_litert(model, inputs, stateful=stateful) if model_format == "tflite" else bare_onnxruntime(model, inputs)
    )

    def ours(i: int) -> Array:
        return runtime.run(inputs[i])[0]

    calls = 400 if at_most == TINY_AT_MOST else 40
    return Case(
        name, [Candidate(BARE, bare), Candidate(OURS, ours)], [Goal(OURS, BARE, at_most)], N_INPUTS, rounds, calls
    )


def cases(quick: bool) -> list[Case]:
    """Tiny models on both engines, then every released bundle."""
    rounds = 20 if quick else 200
    found = [
        case("tiny int8 classifier, LiteRT", (TINY / "image_int8.tflite").read_bytes(), "tflite", rounds, TINY_AT_MOST),
        case(
            "tiny float LSTM, LiteRT",
            (TINY / "recurrent_float.tflite").read_bytes(),
            "tflite",
            rounds,
            TINY_AT_MOST,
            stateful=True,
        ),
        case(
            "tiny int8 classifier, onnxruntime",
            (TINY / "image_int8.onnx").read_bytes(),
            "onnx",
            rounds,
            TINY_AT_MOST,
        ),
    ]
    for path in sorted((ROOT / "models").glob("*/*.edgebundle")):
        bundle = read_unverified(path.read_bytes())
        for member in bundle.manifest.models:
            model = bundle.members[member.member]
            label = f"{bundle.manifest.name}, {member.format}"
            found.append(case(label, model, member.format, rounds, REAL_AT_MOST, stateful=member.stateful))
    return found


if __name__ == "__main__":
    run_benchmark("engines", cases)
