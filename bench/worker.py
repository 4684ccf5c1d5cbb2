"""CPU time of one 1080p JPEG frame in the worker, against the callback of a plain script.

Ours is what the worker does for a frame from the ring: decode, preprocess, infer, decide, and write the answer to the
supervisor. The plain script is what one writes first: ``cv2.imdecode``, ``cv2.resize``, ``cv2.cvtColor``, float32 NumPy
to int8, the bare interpreter. Both must say the same of every frame: equal scores to the bit where the preprocessing
is linear, the same label where a released bundle averages areas (OpenCV's differ by one grey level).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from bench.harness import Candidate, Case, Goal, run_benchmark
from bench.preprocessing import camera_frames
from edge_runtime.bundle.manifest import (
    Decision,
    ImagePreprocessing,
    Manifest,
    ModelMember,
    Resize,
    Threshold,
)
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.signature import TrustedKeys, parse_public_key
from edge_runtime.daemon import protocol
from edge_runtime.daemon.stream import Inspection, Stream
from edge_runtime.inference.interface import Runtime
from edge_runtime.inference.opening import open_runtime
from edge_runtime.vision.inspector import Inspector
from tests.bundles import LABELS, image_model
from tests.golden.models.make_models import Graph, dense

OURS, PLAIN = "worker", "plain script"
SIZE = 224
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
#: Output channels of the convolutions, each of which halves the picture.
_CHANNELS = (16, 32, 64)
_JPEG_QUALITY = 80
_RELEASED = Path(__file__).parents[1] / "models"

Answer = list[tuple[str, float]]


def network() -> bytes:
    """Give a small CNN of 34 million multiplications, int8, with random weights: three labels of a 224 px picture."""
    rng = np.random.default_rng(11)
    graph = Graph()
    image = graph.tensor("image", (1, SIZE, SIZE, 3), "int8", scale=0.018658, zero_point=-14)
    source, scale, n_in, side = image, 0.018658, 3, SIZE
    for n_out in _CHANNELS:
        side //= 2
        weights = rng.integers(-127, 128, (n_out, 3, 3, n_in), dtype=np.int8)
        bias = rng.integers(-500, 500, n_out, dtype=np.int32)
        inputs = [source]
        inputs.append(graph.tensor(f"weights{n_out}", weights.shape, "int8", data=weights, scale=1 / 512))
        inputs.append(graph.tensor(f"bias{n_out}", bias.shape, "int32", data=bias, scale=scale / 512))
        scale = scale * float(np.sqrt(9 * n_in)) / 4
        source = graph.tensor(f"features{n_out}", (1, side, side, n_out), "int8", scale=scale, zero_point=-128)
        convolution = schema.Conv2DOptionsT()
        convolution.strideH = convolution.strideW = 2
        convolution.padding = schema.Padding.SAME
        convolution.dilationHFactor = convolution.dilationWFactor = 1
        convolution.fusedActivationFunction = schema.ActivationFunctionType.RELU
        kind = schema.BuiltinOptions.Conv2DOptions
        graph.operator(schema.BuiltinOperator.CONV_2D, inputs, [source], kind, convolution)
        n_in = n_out
    mean = graph.tensor("mean", (1, 1, 1, n_in), "int8", scale=scale, zero_point=-128)
    pool = schema.Pool2DOptionsT()
    pool.filterHeight = pool.filterWidth = pool.strideH = pool.strideW = side
    pool.padding = schema.Padding.VALID
    graph.operator(schema.BuiltinOperator.AVERAGE_POOL_2D, [source], [mean], schema.BuiltinOptions.Pool2DOptions, pool)
    logits = graph.tensor("logits", (1, len(LABELS)), "int8", scale=scale / 4, zero_point=3)
    scores = graph.tensor("scores", (1, len(LABELS)), "int8", scale=1 / 256, zero_point=-128)
    dense(graph, mean, logits, n_in, len(LABELS), (scale, 1 / 512, scale / 4))
    options = schema.SoftmaxOptionsT()
    options.beta = 0.1
    graph.operator(schema.BuiltinOperator.SOFTMAX, [logits], [scores], schema.BuiltinOptions.SoftmaxOptions, options)
    return graph.finish([image], [scores])


def described(model: bytes) -> tuple[Manifest, bytes]:
    """Describe the network as a bundle's manifest would."""
    interface = open_runtime(model, "tflite").interface
    known = image_model().manifest
    fields = {name: getattr(known, name) for name in known.__struct_fields__}
    fields |= {
        "inputs": interface.inputs,
        "outputs": interface.outputs,
        "models": (ModelMember(format="tflite", member="model.tflite"),),
        "preprocessing": ImagePreprocessing(Resize("stretch", SIZE, SIZE), "rgb", MEAN, STD),
        "decision": Decision(
            activation="none",
            normal=("good",),
            thresholds={label: Threshold(raise_at=0.6, clear_at=0.4) for label in LABELS[1:]},
        ),
    }
    return Manifest(**fields), model


def worker(manifest: Manifest, runtime: Runtime, payloads: Sequence[bytes]) -> Callable[[int], Answer]:
    """Give the worker's way, from the payload in the ring to the answer on the socket."""
    inspection = Inspection("bench", ("cam",), manifest, Inspector(manifest, runtime))
    stream = Stream([inspection], max_pixels=1 << 24)
    views = [memoryview(payload) for payload in payloads]

    def take(i: int) -> Answer:
        task = protocol.FrameTask(i, "cam", 0, len(views[i]), 0.0, "part")
        outcomes = stream.process(task, views[i])
        protocol.encode(protocol.Done(i, tuple(outcomes), 0.0))
        return [(finding.label, finding.score) for finding in outcomes[0].findings]

    return take


def script(manifest: Manifest, model: bytes, payloads: Sequence[bytes]) -> Callable[[int], Answer]:
    """Give the plain script's callback."""
    how = manifest.preprocessing
    assert isinstance(how, ImagePreprocessing)
    assert how.resize.mode == "stretch"
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero_point = entry["quantization"]
    out_scale, out_zero_point = exit_["quantization"]
    size = (how.resize.width, how.resize.height)
    interpolation = {"linear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA, "nearest": cv2.INTER_NEAREST}
    wanted = interpolation[how.resize.interpolation]
    mean, std = np.array(how.mean, np.float32), np.array(how.std, np.float32)
    faults = [(k, label) for k, label in enumerate(manifest.labels) if label not in manifest.decision.normal]

    def on_frame(i: int) -> Answer:
        picture = cv2.imdecode(np.frombuffer(payloads[i], np.uint8), cv2.IMREAD_COLOR)
        small = cv2.resize(np.asarray(picture), size, interpolation=wanted)
        if how.colour == "gray":
            small = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)[:, :, None]
        elif how.colour == "rgb":
            small = cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
        normalised = (small.astype(np.float32) - mean) / std
        codes = np.clip(np.round(normalised / np.float32(scale)) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(entry["index"], codes[None])
        interpreter.invoke()
        scores = (interpreter.get_tensor(exit_["index"])[0].astype(np.float32) - out_zero_point) * np.float32(out_scale)
        return [(label, float(scores[k])) for k, label in faults]

    return on_frame


def same_label(ours: Answer, theirs: Answer) -> bool:
    """Whether both are most afraid of the same fault."""
    return max(ours, key=lambda each: each[1])[0] == max(theirs, key=lambda each: each[1])[0]


def compared(name: str, manifest: Manifest, model: bytes, payloads: Sequence[bytes], rounds: int) -> Case:
    """Make the case of one model."""
    how = manifest.preprocessing
    assert isinstance(how, ImagePreprocessing)
    exact = how.resize.interpolation == "linear"
    candidates = [
        Candidate(PLAIN, script(manifest, model, payloads)),
        Candidate(OURS, worker(manifest, open_runtime(model, manifest.models[0]), payloads)),
    ]
    equal: Callable[[Any, Any], bool] = (lambda ours, theirs: bool(ours == theirs)) if exact else same_label
    goals = [Goal(OURS, PLAIN, 1.0)]
    return Case(name, candidates, goals, len(payloads), rounds, equal=equal)


def released() -> list[tuple[Manifest, bytes]]:
    """Give the released classifiers of pictures that were built."""
    found = []
    keys = [parse_public_key(path.read_bytes(), str(path)) for path in (_RELEASED / "keys").glob("*.pub.pem")]
    for path in sorted(_RELEASED.glob("*/*.edgebundle")):
        bundle = read_bundle(path.read_bytes(), TrustedKeys(keys))
        manifest = bundle.manifest
        if isinstance(manifest.preprocessing, ImagePreprocessing) and manifest.models[0].format == "tflite":
            found.append((manifest, bundle.members[manifest.models[0].member]))
    return found


def cases(quick: bool) -> list[Case]:
    """Give the CNN with linear resizing, and every released classifier."""
    cv2.setNumThreads(0)
    encode = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    payloads = [bytes(cv2.imencode(".jpg", frame, encode)[1]) for frame in camera_frames(4 if quick else 8)]
    rounds = 20 if quick else 120
    all_cases = [compared("1080p JPEG, CNN of 34 MMAC at 224 px", *described(network()), payloads, rounds)]
    all_cases += [compared(f"1080p JPEG, {each[0].name}", *each, payloads, rounds) for each in released()]
    return all_cases


if __name__ == "__main__":
    run_benchmark("worker", cases)
