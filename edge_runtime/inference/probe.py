"""Try a model in a child process before it may enter the worker: a crash, a hang or a hunger for memory stays there."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

import edge_runtime
from edge_runtime import errors
from edge_runtime.bundle.archive import ArchiveLimits, pack, unpack
from edge_runtime.bundle.arrays import Array, pack_arrays, unpack_arrays
from edge_runtime.bundle.manifest import Limits, ModelMember
from edge_runtime.bundle.reader import Bundle
from edge_runtime.errors import (
    AccuracyGateError,
    BundleCompatibilityError,
    BundleError,
    HostEnvironmentError,
    InferenceError,
    InvocationError,
    ModelLoadError,
)
from edge_runtime.inference.golden import GoldenVerdict, judge_golden, triple_of
from edge_runtime.inference.interface import EngineIdentity, ModelInterface
from edge_runtime.inference.opening import Format, require_same_tensors
from edge_runtime.inference.probe_child import MAX_RESULT_BYTES
from edge_runtime.inference.probe_messages import Measured, ProbeAnswer, ProbeCandidate, ProbeTask, encode
from edge_runtime.inference.quiet import without_chatter

_MODULE = "edge_runtime.inference.probe_child"
_LAST_WORDS = 400


@dataclass(frozen=True, slots=True)
class ProbeLimits:
    """What the child process may use.

    Attributes
    ----------
    wall_s : float
        Time until it is killed.
    cpu_s : int
        CPU time until the kernel ends it.
    address_space_bytes : int
        Virtual memory, of which Python and an engine take 0.2 GiB.
    """

    wall_s: float = 60.0
    cpu_s: int = 60
    address_space_bytes: int = 1 << 30


@dataclass(frozen=True, slots=True)
class ModelProbe:
    """A model that ran in the child process, and gave the same answers twice.

    Attributes
    ----------
    identity : EngineIdentity
        What ran it.
    interface : ModelInterface
        Inputs and outputs, read from the model.
    outputs : tuple of arrays
        Answers to the golden or made inputs, samples on axis 0.
    load_ms : float
        Time to load, wall clock.
    latency_ms_p50, latency_ms_p95 : float
        Time of one run, wall clock: the best of three rounds, without runs that the kernel interrupted for others.
    n_timed : int
        Runs in that round.
    peak_kb : float
        Resident memory that loading and running added at most, above the engine itself; KiB.
    """

    identity: EngineIdentity
    interface: ModelInterface
    outputs: tuple[Array, ...]
    load_ms: float
    latency_ms_p50: float
    latency_ms_p95: float
    n_timed: int
    peak_kb: float


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """A bundle that passed the probe.

    Attributes
    ----------
    probe : ModelProbe
        What was measured, and the answers to the golden inputs.
    member : ModelMember
        Which form of the model ran.
    verdict : GoldenVerdict
        How its answers compare with the golden ones. After ``tolerated`` the answers must be recorded.
    """

    probe: ModelProbe
    member: ModelMember
    verdict: GoldenVerdict


def probe_model(
    model: bytes, model_format: Format, *, engine: str | None = None, limits: ProbeLimits | None = None
) -> ModelProbe:
    """Load and run a model of unknown origin in a child process, on zeros and seeded noise.

    Parameters
    ----------
    model : bytes
        The model file.
    model_format : {"tflite", "onnx"}
        Its format.
    engine : str, optional
        By default the preferred one that works here.
    limits : ProbeLimits, optional
        What the child may use.

    Returns
    -------
    probe : ModelProbe
        Interface, answers, times, memory.

    Raises
    ------
    ModelLoadError
        If no engine works, or it refuses the model, or dies while loading it.
    InvocationError
        If the model dies, hangs, computes NaN, or keeps state while it runs.
    HostEnvironmentError
        If no child process can be started.
    """
    task = ProbeTask(candidates=(ProbeCandidate(format=model_format),), engine=engine)
    measured, outputs = _run_child(task, {"model/0": model}, ProbeLimits() if limits is None else limits)
    return _model_probe(measured, outputs)


def probe_bundle(
    bundle: Bundle,
    *,
    recorded: Mapping[EngineIdentity, tuple[Array, ...]] | None = None,
    engine: str | None = None,
    limits: ProbeLimits | None = None,
) -> ProbeReport:
    """Probe a verified bundle: load, golden outputs, then the manifest's limits of latency and memory.

    Parameters
    ----------
    bundle : Bundle
        From ``read_bundle``.
    recorded : mapping of EngineIdentity to tuple of arrays, optional
        What this gateway recorded for this bundle.
    engine : str, optional
        By default the preferred one that works here.
    limits : ProbeLimits, optional
        What the child may use.

    Returns
    -------
    report : ProbeReport
        The bundle may run here.

    Raises
    ------
    BundleError
        If the bundle was read without verification.
    ModelLoadError, InvocationError, HostEnvironmentError
        As ``probe_model``.
    BundleCompatibilityError
        If the model's tensors or golden outputs are not those of the bundle.
    AccuracyGateError
        If it is slower or larger than the manifest's limits.
    """
    if not bundle.verified:
        raise BundleError("the bundle was read without verification; read it with the trusted keys")
    manifest = bundle.manifest
    vectors = bundle.golden()
    task = ProbeTask(
        candidates=tuple(ProbeCandidate(format=member.format) for member in manifest.models),
        engine=engine,
        has_inputs=True,
    )
    files = {f"model/{index}": bundle.members[member.member] for index, member in enumerate(manifest.models)}
    files["inputs.npz"] = pack_arrays({f"input_{index}": array for index, array in enumerate(vectors.inputs)})
    measured, outputs = _run_child(task, files, ProbeLimits() if limits is None else limits)
    probe = _model_probe(measured, outputs)
    member = manifest.models[measured.candidate]
    require_same_tensors("input", member.inputs or manifest.inputs, probe.interface.inputs, by_name=bool(member.inputs))
    require_same_tensors(
        "output", member.outputs or manifest.outputs, probe.interface.outputs, by_name=bool(member.outputs)
    )
    known = None if recorded is None else recorded.get(probe.identity)
    verdict = judge_golden(manifest, vectors, triple_of(probe.identity), outputs, known)
    require_limits(manifest.limits, probe)
    return ProbeReport(probe, member, verdict)


def require_limits(limits: Limits, probe: ModelProbe) -> None:
    """Hold what was measured to the manifest's limits.

    Parameters
    ----------
    limits : Limits
        Of the manifest; what is left out is not limited.
    probe : ModelProbe
        What was measured.

    Raises
    ------
    AccuracyGateError
        Naming every limit that is exceeded, with the measured value.
    """
    problems = []
    if limits.latency_ms_p95 is not None and probe.latency_ms_p95 > limits.latency_ms_p95:
        problems.append(f"latency p95 {probe.latency_ms_p95:.3f} ms, {limits.latency_ms_p95} ms are allowed")
    if limits.ram_kb is not None and probe.peak_kb > limits.ram_kb:
        problems.append(f"memory {probe.peak_kb:.0f} KiB, {limits.ram_kb} KiB are allowed")
    if problems:
        raise AccuracyGateError(
            f"the model exceeds the limits of its bundle on this machine: {'; '.join(problems)}; build a smaller"
            " model, or use a faster machine",
            {"latency_ms_p95": probe.latency_ms_p95, "peak_kb": probe.peak_kb},
        )


def _model_probe(measured: Measured, outputs: tuple[Array, ...]) -> ModelProbe:
    """Give the public form of the child's answer."""
    return ModelProbe(
        identity=EngineIdentity(measured.engine, measured.version, measured.instruction_set),
        interface=ModelInterface(measured.inputs, measured.outputs),
        outputs=outputs,
        load_ms=measured.load_ms,
        latency_ms_p50=measured.latency_ms_p50,
        latency_ms_p95=measured.latency_ms_p95,
        n_timed=measured.n_timed,
        peak_kb=measured.peak_kb,
    )


def _run_child(task: ProbeTask, files: dict[str, bytes], limits: ProbeLimits) -> tuple[Measured, tuple[Array, ...]]:
    """Start the child, wait for it within the limits, and judge how it ended."""
    data = pack({"task.json": encode(task), **files})
    try:
        task_fd, result_fd, error_fd = (os.memfd_create(name) for name in ("task", "result", "errors"))
    except OSError as error:
        raise HostEnvironmentError(f"the model cannot be probed: {error.strerror}") from error
    try:
        _write_all(task_fd, data)
        status = _wait_for_child(task_fd, result_fd, error_fd, limits)
        said = _read_all(error_fd)
        result = _read_all(result_fd)
    finally:
        for descriptor in (task_fd, result_fd, error_fd):
            os.close(descriptor)
    if status != 0:
        raise _death(status, said, limits)
    return _open_result(result)


def _wait_for_child(task_fd: int, result_fd: int, error_fd: int, limits: ProbeLimits) -> int | None:
    """Run the child to its end; None when it had to be killed for taking too long."""
    command = [sys.executable, "-P", "-m", _MODULE, str(task_fd), str(result_fd)]
    command += [str(limits.address_space_bytes), str(limits.cpu_s), str(math.ceil(limits.wall_s) + 1)]
    try:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and module, numbers as arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=error_fd,
            pass_fds=(task_fd, result_fd),
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise HostEnvironmentError(f"the model cannot be probed: no child process: {error.strerror}") from error
    try:
        return child.wait(limits.wall_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def _environment() -> dict[str, str]:
    """Give the child what it needs to find this package and to stay on one thread, and nothing else."""
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL") if key in os.environ}
    package = str(Path(edge_runtime.__file__).resolve().parents[1])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return {**kept, **threads, "PYTHONPATH": package, "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2"}


def _death(status: int | None, said: bytes, limits: ProbeLimits) -> InferenceError:
    """Say how the child ended, in which stage, and what it said last."""
    lines = without_chatter(said).decode(errors="replace").splitlines()
    stages = [line.removeprefix("stage=") for line in lines if line.startswith("stage=")]
    spoken = [line.strip() for line in lines if line.strip() and not line.startswith("stage=")]
    words = spoken[-1][-_LAST_WORDS:] if spoken else ""
    stage = stages[-1] if stages else "start"
    doing = {"start": "before the model was loaded", "load": "while the model was loaded"}.get(
        stage, f"while the model ran ({stage})"
    )
    if status is None:
        what = f"no end within {limits.wall_s:g} s: it hangs or is far too slow"
    elif status == -signal.SIGXCPU:
        what = f"more than {limits.cpu_s} s of CPU time"
    elif status < 0:
        what = f"the process was ended by {_signal_name(-status)}"
    else:
        what = f"the process ended with status {status}"
    message = f"the probe's child process failed {doing}: {what}"
    error = InvocationError if stages and stage != "load" else ModelLoadError
    return error(f"{message}; its last words: {words}" if words else message)


def _signal_name(number: int) -> str:
    """Name a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _open_result(result: bytes) -> tuple[Measured, tuple[Array, ...]]:
    """Read the child's answer, which is not trusted either, and raise what it refused with."""
    limits = ArchiveLimits(archive_bytes=MAX_RESULT_BYTES, member_bytes=MAX_RESULT_BYTES)
    try:
        members = unpack(result, limits).members
        answer = msgspec.json.decode(members["answer.json"], type=ProbeAnswer)
    except (BundleError, KeyError, ValueError, msgspec.MsgspecError) as error:
        raise InvocationError(f"the probe's child process gave no readable answer: {error}") from error
    if answer.measured is None:
        raise _refusal(answer)
    arrays = unpack_arrays(members["outputs.npz"], limits)
    return answer.measured, tuple(arrays[f"output_{index}"] for index in range(len(arrays)))


def _refusal(answer: ProbeAnswer) -> InferenceError | BundleCompatibilityError:
    """Give the error that the child named."""
    if answer.refused is None:
        return InvocationError("the probe's child process gave no answer")
    kind = getattr(errors, answer.refused.error, InvocationError)
    if not (isinstance(kind, type) and issubclass(kind, (InferenceError, BundleCompatibilityError))):
        kind = InvocationError
    return kind(answer.refused.message)


def _write_all(descriptor: int, data: bytes) -> None:
    """Write a file from its start and go back there."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)


def _read_all(descriptor: int) -> bytes:
    """Read a file from its start, up to the limit."""
    size = min(os.fstat(descriptor).st_size, MAX_RESULT_BYTES)
    return os.pread(descriptor, size, 0)
