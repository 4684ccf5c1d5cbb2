"""From a model's bytes to a Runtime: which engines work here, and which one runs this model."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_runtime.bundle.manifest import ModelMember, TensorSpec
from edge_runtime.bundle.reader import Bundle
from edge_runtime.errors import BundleCompatibilityError, BundleError, EdgeRuntimeError, InvocationError, ModelLoadError
from edge_runtime.inference.interface import EngineIdentity, Runtime
from edge_runtime.inference.onnx import ONNXRUNTIME, OnnxRuntime
from edge_runtime.inference.smallest import ONNX, TFLITE
from edge_runtime.inference.tflite import LITERT, TFLITE_RUNTIME, TfliteRuntime

Format = Literal["tflite", "onnx"]

#: Engines of each format, the preferred one first.
ENGINES: dict[Format, tuple[str, ...]] = {"tflite": (LITERT, TFLITE_RUNTIME), "onnx": (ONNXRUNTIME,)}
#: The smallest model of each format.
SMALLEST: dict[Format, bytes] = {"tflite": TFLITE, "onnx": ONNX}


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Whether one engine works here.

    Attributes
    ----------
    engine : str
        ``litert``, ``tflite-runtime`` or ``onnxruntime``.
    format : {"tflite", "onnx"}
        What it runs.
    identity : EngineIdentity or None
        None when it does not work.
    reason : str
        Why it does not work; empty when it does.
    """

    engine: str
    format: Format
    identity: EngineIdentity | None
    reason: str = ""


@functools.cache
def engine_status(engine: str) -> EngineStatus:
    """Build and run the smallest model on an engine: an import alone proves nothing.

    Parameters
    ----------
    engine : str
        One of ``ENGINES``.

    Returns
    -------
    status : EngineStatus
        The same for the life of the process.

    Raises
    ------
    ModelLoadError
        If there is no engine of this name.
    """
    model_format = format_of_engine(engine)
    try:
        runtime = _build(engine, SMALLEST[model_format], threads=1)
        (output,) = runtime.run([np.array([-2.0], np.float32)])
        if output.tolist() != [2.0]:
            raise InvocationError(f"|-2| came out as {output.tolist()}")
    except EdgeRuntimeError as error:
        return EngineStatus(engine, model_format, None, str(error))
    return EngineStatus(engine, model_format, runtime.identity)


def available_engines() -> tuple[EngineStatus, ...]:
    """Try every engine.

    Returns
    -------
    engines : tuple of EngineStatus
        In order of preference, those that do not work with their reason.
    """
    return tuple(engine_status(engine) for engines in ENGINES.values() for engine in engines)


def format_of_engine(engine: str) -> Format:
    """Give the model format that an engine runs.

    Parameters
    ----------
    engine : str
        Its name.

    Returns
    -------
    format : {"tflite", "onnx"}
        What it runs.

    Raises
    ------
    ModelLoadError
        If there is no engine of this name.
    """
    for model_format, engines in ENGINES.items():
        if engine in engines:
            return model_format
    known = ", ".join(name for engines in ENGINES.values() for name in engines)
    raise ModelLoadError(f'there is no engine "{engine}"; known: {known}')


def choose_engine(model_format: Format, engine: str | None = None) -> str:
    """Choose the engine for a format.

    Parameters
    ----------
    model_format : {"tflite", "onnx"}
        Of the model.
    engine : str, optional
        The one that is wanted; by default the preferred one that works here.

    Returns
    -------
    engine : str
        It was tried and works.

    Raises
    ------
    ModelLoadError
        If the wanted one runs another format, or none works, each with its reason.
    """
    if engine is not None and format_of_engine(engine) != model_format:
        raise ModelLoadError(f"engine {engine} runs {format_of_engine(engine)} models, this is a {model_format} model")
    reasons = []
    for candidate in ENGINES[model_format] if engine is None else (engine,):
        status = engine_status(candidate)
        if status.identity is not None:
            return candidate
        reasons.append(f"{candidate}: {status.reason}")
    raise ModelLoadError(f"no engine here runs {model_format} models; {'; '.join(reasons)}")


def open_runtime(model: bytes, member: ModelMember | Format, *, engine: str | None = None, threads: int = 1) -> Runtime:
    """Load a model into this process. A model that nobody probed may take the process with it.

    Parameters
    ----------
    model : bytes
        The model file.
    member : ModelMember or {"tflite", "onnx"}
        Its description, whose tensors it must have, or its format alone.
    engine : str, optional
        By default the preferred one that works here.
    threads : int
        Threads of the engine; more than one was slower on a busy gateway.

    Returns
    -------
    runtime : Runtime
        The loaded model.

    Raises
    ------
    ModelLoadError
        If no engine works, or the engine refuses the model.
    BundleCompatibilityError
        If the model's tensors are not those of ``member``.
    """
    model_format: Format = member if isinstance(member, str) else member.format
    runtime = _build(choose_engine(model_format, engine), model, threads)
    if not isinstance(member, str):
        if member.inputs:
            require_same_tensors("input", member.inputs, runtime.interface.inputs)
        if member.outputs:
            require_same_tensors("output", member.outputs, runtime.interface.outputs)
    return runtime


def choose_model(bundle: Bundle, engine: str | None = None) -> tuple[ModelMember, bytes, str]:
    """Choose which form of a bundle's model runs here, on which engine.

    Parameters
    ----------
    bundle : Bundle
        Holds one form or more, the preferred one first.
    engine : str, optional
        The one that is wanted.

    Returns
    -------
    member : ModelMember
        The chosen form.
    model : bytes
        Its file.
    engine : str
        What runs it.

    Raises
    ------
    BundleCompatibilityError
        If no engine here runs any of the forms; each with its reason.
    """
    reasons = []
    for member in bundle.manifest.models:
        try:
            chosen = choose_engine(member.format, engine)
        except ModelLoadError as error:
            reasons.append(str(error))
        else:
            return member, bundle.members[member.member], chosen
    raise BundleCompatibilityError(f'"{bundle.manifest.name}" cannot run here: {"; ".join(reasons)}')


def open_bundle(bundle: Bundle, *, engine: str | None = None, threads: int = 1) -> Runtime:
    """Load a verified bundle's model into this process.

    Parameters
    ----------
    bundle : Bundle
        From ``read_bundle``; probed before, see ``inference.loading``.
    engine : str, optional
        By default the preferred one that works here.
    threads : int
        Threads of the engine.

    Returns
    -------
    runtime : Runtime
        Its tensors are those of the manifest.

    Raises
    ------
    BundleError
        If the bundle was read without verification.
    BundleCompatibilityError
        If no engine here runs it, or its tensors are not those of the manifest.
    ModelLoadError
        If the engine refuses the model.
    """
    if not bundle.verified:
        raise BundleError("the bundle was read without verification; read it with the trusted keys")
    member, model, chosen = choose_model(bundle, engine)
    runtime = open_runtime(model, member, engine=chosen, threads=threads)
    require_same_tensors("input", bundle.manifest.inputs, runtime.interface.inputs, by_name=False)
    require_same_tensors("output", bundle.manifest.outputs, runtime.interface.outputs, by_name=False)
    return runtime


def require_same_tensors(
    role: str, stated: tuple[TensorSpec, ...], found: tuple[TensorSpec, ...], *, by_name: bool = True
) -> None:
    """Refuse a model whose tensors are not those that were stated.

    Parameters
    ----------
    role : {"input", "output"}
        For the message.
    stated : tuple of TensorSpec
        In the manifest.
    found : tuple of TensorSpec
        In the model.
    by_name : bool
        Whether names must be equal, too; they differ between the forms of one model.

    Raises
    ------
    BundleCompatibilityError
        Naming the first tensor that differs.
    """
    if len(stated) != len(found):
        raise BundleCompatibilityError(f"the manifest states {len(stated)} {role}s, the model has {len(found)}")
    for wanted, actual in zip(stated, found, strict=True):
        same = (wanted.dtype, wanted.shape) == (actual.dtype, actual.shape)
        if by_name and wanted.name != actual.name:
            same = False
        if None not in (wanted.quantization, actual.quantization) and wanted.quantization != actual.quantization:
            same = False
        if not same:
            raise BundleCompatibilityError(
                f'{role} "{wanted.name}": the manifest states {wanted}, the model has {actual}'
            )


def _build(engine: str, model: bytes, threads: int) -> Runtime:
    """Load a model on a named engine."""
    if engine == ONNXRUNTIME:
        return OnnxRuntime(model, threads=threads)
    return TfliteRuntime(model, engine=engine, threads=threads)
