"""ONNX models on onnxruntime, on the CPU, one thread by default."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from edge_runtime.bundle.manifest import TensorSpec
from edge_runtime.errors import InvocationError, ModelLoadError
from edge_runtime.inference.instruction_set import current_instruction_set
from edge_runtime.inference.interface import Array, EngineIdentity, ModelInterface, require_match
from edge_runtime.inference.quiet import quiet_engine
from edge_runtime.inference.specs import require_finite, spec_of, wrong_shape

ONNXRUNTIME = "onnxruntime"
_FATAL = 4
_DTYPES = {
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(float)": "float32",
    "tensor(bool)": "bool",
}


class OnnxRuntime:
    """An ``.onnx`` model, loaded. Axes without a fixed size get size 1.

    Parameters
    ----------
    model : bytes
        The file; weights in other files are never read.
    threads : int
        Threads of the engine.

    Raises
    ------
    ModelLoadError
        If onnxruntime is not usable here, or refuses the model; the message says why.
    """

    def __init__(self, model: bytes, *, threads: int = 1) -> None:
        library, self._errors, self._identity = _library()
        try:
            with quiet_engine():
                session = library.InferenceSession(
                    model, sess_options=_options(library, threads), providers=["CPUExecutionProvider"]
                )
        except self._errors as error:
            raise ModelLoadError(f"{ONNXRUNTIME} refuses the model: {_first_line(error)}") from error
        self._interface = ModelInterface(
            inputs=tuple(_spec("input", index, node) for index, node in enumerate(session.get_inputs())),
            outputs=tuple(_spec("output", index, node) for index, node in enumerate(session.get_outputs())),
        )
        self._expected = [(np.dtype(spec.dtype), tuple(spec.shape)) for spec in self._interface.inputs]
        self._input_names = [node.name for node in session.get_inputs()]
        self._output_names = [node.name for node in session.get_outputs()]
        self._output_shapes = [tuple(spec.shape) for spec in self._interface.outputs]
        self._floats = [place for place, spec in enumerate(self._interface.outputs) if spec.dtype == "float32"]
        self._session = session

    @property
    def interface(self) -> ModelInterface:
        """Inputs and outputs of the model."""
        return self._interface

    @property
    def identity(self) -> EngineIdentity:
        """The library, its version and the instruction set."""
        return self._identity

    def run(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Run the model once; an ONNX model has no state but its inputs.

        Parameters
        ----------
        inputs : sequence of arrays
            One per input, each with the dtype and shape of its TensorSpec.

        Returns
        -------
        outputs : tuple of arrays
            One per output; the caller owns them.

        Raises
        ------
        TensorMismatchError
            If the number, dtype or shape of ``inputs`` is another.
        InvocationError
            If the engine fails, an output is not finite or has another shape than its TensorSpec, or the Runtime was
            closed.
        """
        if self._session is None:
            raise InvocationError("the model was closed")
        if [(array.dtype, array.shape) for array in inputs] != self._expected:
            require_match(self._interface.inputs, inputs)
        feed = dict(zip(self._input_names, inputs, strict=True))
        try:
            outputs = tuple(self._session.run(self._output_names, feed))
        except self._errors as error:
            raise InvocationError(f"{ONNXRUNTIME} cannot run the model: {_first_line(error)}") from error
        if [output.shape for output in outputs] != self._output_shapes:
            raise wrong_shape(self._interface.outputs, outputs)
        if self._floats:
            require_finite(self._interface.outputs, self._floats, outputs)
        return outputs

    def close(self) -> None:
        """Release the model; ``run`` must not be called afterwards."""
        self._session = None


@functools.cache
def _library() -> tuple[Any, tuple[type[Exception], ...], EngineIdentity]:
    """Import the library; give it, what it raises, and who it is."""
    try:
        with quiet_engine():
            library = importlib.import_module("onnxruntime")
            state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    except (ImportError, AttributeError) as error:
        raise ModelLoadError(f"engine {ONNXRUNTIME} is not usable here: {_first_line(error)}") from error
    own = [value for value in vars(state).values() if isinstance(value, type) and issubclass(value, Exception)]
    errors = (*own, RuntimeError, ValueError, TypeError, MemoryError)
    return library, errors, EngineIdentity(ONNXRUNTIME, library.__version__, current_instruction_set())


def _options(library: Any, threads: int) -> Any:  # noqa: ANN401 - the library has no types
    """Give session options that fix threads and keep to the model's own bytes."""
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = library.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.use_deterministic_compute", "1")
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", "/nonexistent")
    return options


def _spec(role: str, index: int, node: Any) -> TensorSpec:  # noqa: ANN401 - the library has no types
    """Read a TensorSpec from a session's node."""
    shape = tuple(size if isinstance(size, int) and size >= 0 else 1 for size in node.shape)
    return spec_of(role, index, node.name, _DTYPES.get(node.type, node.type), shape)


def _first_line(error: BaseException) -> str:
    """Give a foreign message as one line of bounded length."""
    return " ".join(str(error).split())[:400] or type(error).__name__
