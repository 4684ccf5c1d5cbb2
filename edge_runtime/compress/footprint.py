"""Time and memory of a model on this machine, measured as a gateway measures them before it takes a model in."""

from __future__ import annotations

from dataclasses import dataclass

from edge_runtime.inference.opening import Format
from edge_runtime.inference.probe import probe_model


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one model costs here, one thread, in a process of its own.

    Attributes
    ----------
    p50_ms, p95_ms : float
        Time of one inference: the best of three rounds, without runs that the kernel interrupted for others.
    n_timed : int
        Runs in that round.
    load_ms : float
        Time to load.
    peak_kb : float
        Resident memory that loading and running added at most; KiB.
    engine : str
        What ran it: library, version, instruction set.
    """

    p50_ms: float
    p95_ms: float
    n_timed: int
    load_ms: float
    peak_kb: float
    engine: str


def measure_footprint(model: bytes, model_format: Format = "tflite") -> Footprint:
    """Load and run a model in a child process.

    Parameters
    ----------
    model : bytes
        The model file.
    model_format : {"tflite", "onnx"}
        Its format.

    Returns
    -------
    footprint : Footprint
        On zeros and seeded noise; the time does not depend on the values.

    Raises
    ------
    ModelLoadError, InvocationError, HostEnvironmentError
        If the engine refuses it, it fails, or no child can be started.
    """
    probe = probe_model(model, model_format)
    identity = probe.identity
    return Footprint(
        probe.latency_ms_p50,
        probe.latency_ms_p95,
        probe.n_timed,
        probe.load_ms,
        probe.peak_kb,
        f"{identity.engine} {identity.version} {identity.instruction_set}",
    )
