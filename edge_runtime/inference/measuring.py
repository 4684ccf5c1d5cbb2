"""What the probe's child process does: load a model, run it, look whether it forgets, time it, weigh it."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from edge_runtime.bundle.archive import ArchiveLimits, pack, unpack
from edge_runtime.bundle.arrays import Array, pack_arrays, unpack_arrays
from edge_runtime.bundle.golden import sample_shape
from edge_runtime.bundle.manifest import TensorSpec
from edge_runtime.errors import EdgeRuntimeError, InvocationError, ModelLoadError
from edge_runtime.inference.golden import run_samples
from edge_runtime.inference.interface import Runtime
from edge_runtime.inference.opening import SMALLEST, choose_engine, format_of_engine, open_runtime
from edge_runtime.inference.probe_messages import Measured, ProbeAnswer, ProbeTask, Refused, encode

_STANDARD_ERROR = 2
_STATUS = Path("/proc/self/status")
_N_SAMPLES = 4
_MIN_TIMED = 20
_ROUNDS = 3
_SEED = 20240501


def answer(data: bytes) -> bytes:
    """Do a task; a refusal by one of our errors is an answer, too.

    Parameters
    ----------
    data : bytes
        Archive of ``task.json``, ``model/<index>`` and, where the task says so, ``inputs.npz``.

    Returns
    -------
    result : bytes
        Archive of ``answer.json`` and, after a measurement, ``outputs.npz``.
    """
    members = unpack(data, ArchiveLimits(archive_bytes=len(data), member_bytes=len(data))).members
    task = msgspec.json.decode(members["task.json"], type=ProbeTask)
    try:
        measured, outputs = _measure(task, members)
    except EdgeRuntimeError as error:
        return _refusal(type(error).__name__, str(error))
    except MemoryError:
        return _refusal("InvocationError", "the model needs more memory than the probe allows")
    arrays = pack_arrays({f"output_{index}": array for index, array in enumerate(outputs)})
    return pack({"answer.json": encode(ProbeAnswer(measured=measured)), "outputs.npz": arrays})


def sample_inputs(specs: tuple[TensorSpec, ...], n_samples: int) -> tuple[Array, ...]:
    """Make inputs for a model of which nothing but its interface is known.

    Parameters
    ----------
    specs : tuple of TensorSpec
        The inputs.
    n_samples : int
        How many; the first is all zeros.

    Returns
    -------
    inputs : tuple of arrays
        Samples on axis 0: codes over the whole range for 8 and 16 bits, -1..1 for floats, zeros for wider
        integers (which are indices, lengths or rates) and booleans.
    """
    rng = np.random.default_rng(_SEED)
    inputs = []
    for spec in specs:
        array = np.zeros((n_samples, *sample_shape(spec)), spec.dtype)
        if spec.dtype == "float32":
            array[1:] = rng.uniform(-1.0, 1.0, array[1:].shape)
        elif spec.dtype in {"int8", "uint8", "int16"}:
            bounds = np.iinfo(spec.dtype)
            array[1:] = rng.integers(bounds.min, bounds.max, array[1:].shape, endpoint=True)
        inputs.append(array)
    return tuple(inputs)


def _measure(task: ProbeTask, members: Mapping[str, bytes]) -> tuple[Measured, tuple[Array, ...]]:
    """Load, run twice, time and weigh the first candidate that an engine here takes."""
    candidate, engine = _choose(task)
    model = members[f"model/{candidate}"]
    _rehearse(engine, task)
    _settle()
    before_kb = _anonymous_kb()
    _enter("load")
    started = time.perf_counter()
    runtime = open_runtime(model, task.candidates[candidate].format, engine=engine, threads=task.threads)
    load_ms = (time.perf_counter() - started) * 1e3
    after_load_kb = _anonymous_kb()
    _enter("run")
    inputs = _inputs(task, members, runtime)
    outputs = run_samples(runtime, inputs)
    _enter("run again")
    _require_forgetful(runtime, inputs, outputs)
    _enter("time")
    latencies = _latencies_ms(runtime, inputs, task)
    peak_kb = max(after_load_kb, _anonymous_kb()) - before_kb
    identity, interface = runtime.identity, runtime.interface
    measured = Measured(
        candidate=candidate,
        engine=identity.engine,
        version=identity.version,
        instruction_set=identity.instruction_set,
        inputs=interface.inputs,
        outputs=interface.outputs,
        load_ms=load_ms,
        latency_ms_p50=float(np.percentile(latencies, 50)),
        latency_ms_p95=float(np.percentile(latencies, 95)),
        n_timed=len(latencies),
        peak_kb=max(peak_kb, 0.0),
    )
    return measured, outputs


def _choose(task: ProbeTask) -> tuple[int, str]:
    """Give the index of the first candidate that some engine here takes, and the engine."""
    reasons = []
    for index, candidate in enumerate(task.candidates):
        try:
            return index, choose_engine(candidate.format, task.engine)
        except ModelLoadError as error:
            reasons.append(str(error))
    raise ModelLoadError("; ".join(reasons))


def _rehearse(engine: str, task: ProbeTask) -> None:
    """Do everything once with the smallest model, so that what only a first time takes is not put down to the model."""
    model_format = format_of_engine(engine)
    runtime = open_runtime(SMALLEST[model_format], model_format, engine=engine, threads=task.threads)
    inputs = sample_inputs(runtime.interface.inputs, _N_SAMPLES)
    _require_forgetful(runtime, inputs, run_samples(runtime, inputs))
    _latencies_ms(runtime, inputs, task)


def _inputs(task: ProbeTask, members: Mapping[str, bytes], runtime: Runtime) -> tuple[Array, ...]:
    """Give the golden inputs, or made ones for a foreign model."""
    if not task.has_inputs:
        return sample_inputs(runtime.interface.inputs, _N_SAMPLES)
    data = members["inputs.npz"]
    arrays = unpack_arrays(data, ArchiveLimits(archive_bytes=len(data), member_bytes=len(data)))
    return tuple(arrays[f"input_{index}"] for index in range(len(arrays)))


def _require_forgetful(runtime: Runtime, inputs: tuple[Array, ...], outputs: tuple[Array, ...]) -> None:
    """Run the samples in reverse: another answer means that state leaks from one run to the next, or chance."""
    again = run_samples(runtime, tuple(array[::-1] for array in inputs))
    for spec, first, second in zip(runtime.interface.outputs, outputs, again, strict=True):
        if first.tobytes() != np.ascontiguousarray(second[::-1]).tobytes():
            raise InvocationError(
                f'output "{spec.name}" depends on what was run before: the model keeps state that the engine cannot'
                " reset, or draws random numbers; export it with its state as an input, or as a fused LSTM"
            )


def _latencies_ms(runtime: Runtime, inputs: tuple[Array, ...], task: ProbeTask) -> list[float]:
    """Time single runs; of three rounds the one with the lowest p95 counts, since other work only ever adds."""
    sample = [
        np.ascontiguousarray(array[0]).reshape(spec.shape)
        for spec, array in zip(runtime.interface.inputs, inputs, strict=True)
    ]
    rounds = [_one_round_ms(runtime, sample, task.n_timed, task.timed_s / _ROUNDS) for _ in range(_ROUNDS)]
    return min(rounds, key=lambda times: float(np.percentile(times, 95)))


def _one_round_ms(runtime: Runtime, sample: list[Array], n_timed: int, timed_s: float) -> list[float]:
    """Time runs until there are enough or the time is up, but at least twenty where that is quick.

    Runs during which the kernel gave the processor to somebody else are left out, where enough others remain.
    """
    times: list[float] = []
    undisturbed: list[float] = []
    started = time.perf_counter()
    while len(undisturbed) < n_timed:
        taken_before = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
        before = time.perf_counter()
        runtime.run(sample)
        after = time.perf_counter()
        times.append((after - before) * 1e3)
        if resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw == taken_before:
            undisturbed.append(times[-1])
        elapsed_s = after - started
        if elapsed_s > timed_s and (len(undisturbed) >= _MIN_TIMED or elapsed_s > 3 * timed_s):
            break
    return undisturbed if len(undisturbed) >= _MIN_TIMED else times


def _enter(stage: str) -> None:
    """Leave a trace of what is going on, should the process die."""
    os.write(_STANDARD_ERROR, f"stage={stage}\n".encode())


def _refusal(error: str, message: str) -> bytes:
    """Give the answer of a model that is refused."""
    return pack({"answer.json": encode(ProbeAnswer(refused=Refused(error=error, message=message)))})


def _settle() -> None:
    """Give freed memory back to the system, so that it does not hide what the model takes."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _anonymous_kb() -> float:
    """Give the resident memory that belongs to no file: without the pages of libraries that a first run touches."""
    for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("RssAnon:"):
            return float(line.split()[1])
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
