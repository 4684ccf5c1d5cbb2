"""TensorFlow Lite models on ai-edge-litert, or on tflite-runtime where that has no wheel."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_runtime.bundle.manifest import Quantization, TensorSpec
from edge_runtime.errors import InvocationError, ModelLoadError
from edge_runtime.inference.instruction_set import current_instruction_set
from edge_runtime.inference.interface import Array, EngineIdentity, ModelInterface, require_match
from edge_runtime.inference.quiet import quiet_engine
from edge_runtime.inference.specs import require_finite, spec_of, wrong_shape

LITERT = "litert"
TFLITE_RUNTIME = "tflite-runtime"
_MODULES = {
    LITERT: ("ai_edge_litert.interpreter", "ai-edge-litert"),
    TFLITE_RUNTIME: ("tflite_runtime.interpreter", "tflite-runtime"),
}
_MAGIC = b"TFL3"
#: What the interpreters raise: MemoryError when a limit of the process is reached, SystemError and ImportError by
#: tflite-runtime beside NumPy 2, which it imports without complaint.
_ENGINE_ERRORS = (ValueError, RuntimeError, TypeError, MemoryError, OverflowError, SystemError, ImportError)


class TfliteRuntime:
    """A ``.tflite`` model, loaded.

    Parameters
    ----------
    model : bytes
        The file.
    engine : {"litert", "tflite-runtime"}
        Which library.
    threads : int
        Threads of the engine.

    Raises
    ------
    ModelLoadError
        If the library is not usable here, or refuses the model; the message says which and why.
    """

    def __init__(self, model: bytes, *, engine: str = LITERT, threads: int = 1) -> None:
        _require_flatbuffer(model)
        interpreter_class, self._identity = _library(engine)
        try:
            with quiet_engine():
                interpreter = interpreter_class(model_content=model, num_threads=threads)
                interpreter.allocate_tensors()
        except _ENGINE_ERRORS as error:
            raise ModelLoadError(f"{engine} refuses the model: {_first_line(error)}") from error
        inputs = interpreter.get_input_details()
        outputs = interpreter.get_output_details()
        self._interface = ModelInterface(
            inputs=tuple(_spec("input", *each) for each in enumerate(inputs)),
            outputs=tuple(_spec("output", *each) for each in enumerate(outputs)),
        )
        self._expected = [(np.dtype(spec.dtype), tuple(spec.shape)) for spec in self._interface.inputs]
        self._input_indices = [details["index"] for details in inputs]
        self._output_indices = [details["index"] for details in outputs]
        self._output_shapes = [tuple(spec.shape) for spec in self._interface.outputs]
        self._floats = [place for place, spec in enumerate(self._interface.outputs) if spec.dtype == "float32"]
        self._interpreter = interpreter

    @property
    def interface(self) -> ModelInterface:
        """Inputs and outputs of the model."""
        return self._interface

    @property
    def identity(self) -> EngineIdentity:
        """The library, its version and the instruction set."""
        return self._identity

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run the model once, from its initial state.

        Parameters
        ----------
        inputs : sequence of arrays
            One per input, each with the dtype and shape of its TensorSpec.

        Returns
        -------
        outputs : tuple of arrays
            One per output; copies that the caller owns.

        Raises
        ------
        TensorMismatchError
            If the number, dtype or shape of ``inputs`` is another.
        InvocationError
            If the engine fails, an output is not finite or has another shape than its TensorSpec, or the Runtime was
            closed.
        """
        interpreter = self._interpreter
        if interpreter is None:
            raise InvocationError("the model was closed")
        if [(array.dtype, array.shape) for array in inputs] != self._expected:
            require_match(self._interface.inputs, inputs)
        try:
            interpreter.reset_all_variables()
            for index, array in zip(self._input_indices, inputs, strict=True):
                interpreter.set_tensor(index, array)
            interpreter.invoke()
            outputs = tuple(map(interpreter.get_tensor, self._output_indices))
        except _ENGINE_ERRORS as error:
            raise InvocationError(f"{self._identity.engine} cannot run the model: {_first_line(error)}") from error
        if [output.shape for output in outputs] != self._output_shapes:
            raise wrong_shape(self._interface.outputs, outputs)
        if self._floats:
            require_finite(self._interface.outputs, self._floats, outputs)
        return outputs

    def close(self) -> None:
        """Release the model; ``run`` must not be called afterwards."""
        self._interpreter = None


def _require_flatbuffer(model: bytes) -> None:
    """Refuse what is no TFLite file at the first glance: tflite-runtime does not look, and crashes.

    A FlatBuffer begins with the offset of its root table; the table with the distance back to its list of fields.
    """
    if model[4:8] != _MAGIC:
        raise ModelLoadError("this is not a TensorFlow Lite model: the file identifier is missing")
    root = int.from_bytes(model[:4], "little")
    fields = root - int.from_bytes(model[root : root + 4], "little", signed=True)
    if not (8 <= root <= len(model) - 4 and 8 <= fields <= len(model) - 4):  # noqa: PLR2004 - bytes of the header
        raise ModelLoadError("this is not a TensorFlow Lite model: its root lies outside the file")


@functools.cache
def _library(engine: str) -> tuple[Any, EngineIdentity]:
    """Import one library and say who it is."""
    module_name, distribution = _MODULES[engine]
    try:
        with quiet_engine():
            module = importlib.import_module(module_name)
        version = importlib.metadata.version(distribution)
    except (ImportError, AttributeError, importlib.metadata.PackageNotFoundError) as error:
        raise ModelLoadError(f"engine {engine} is not usable here: {_first_line(error)}") from error
    return module.Interpreter, EngineIdentity(engine, version, current_instruction_set())


def _spec(role: str, index: int, details: Mapping[str, Any]) -> TensorSpec:
    """Read a TensorSpec from the interpreter's details."""
    facts = details["quantization_parameters"]
    scales = tuple(float(scale) for scale in facts["scales"])
    quantization = None
    if scales:
        zero_points = tuple(int(zero_point) for zero_point in facts["zero_points"])
        axis = int(facts["quantized_dimension"]) if len(scales) > 1 else None
        quantization = Quantization(scale=scales, zero_point=zero_points, axis=axis)
    shape = tuple(int(size) for size in details["shape"])
    return spec_of(role, index, str(details["name"]), np.dtype(details["dtype"]).name, shape, quantization)


def _first_line(error: BaseException) -> str:
    """Give a foreign message as one line of bounded length."""
    return " ".join(str(error).split())[:400] or type(error).__name__
