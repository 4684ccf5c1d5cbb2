"""What every engine gives: one protocol, and the check that arrays fit a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import TensorSpec
from edge_runtime.errors import TensorMismatchError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """What a golden vector belongs to: integer results differ between engines, versions and instruction sets.

    Attributes
    ----------
    engine : str
        ``litert``, ``onnxruntime`` or ``tflite-runtime``.
    version : str
        Version of the library.
    instruction_set : str
        The widest instruction set that the engine's kernels can choose here, such as ``x86-64-avx512vnni``.
    """

    engine: str
    version: str
    instruction_set: str


@dataclass(frozen=True, slots=True)
class ModelInterface:
    """Inputs and outputs of a model, in the order in which ``run`` takes and gives them."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class Runtime(Protocol):
    """A loaded model. Not thread-safe: one thread, or one Runtime per thread.

    Variable state (an LSTM's cell) never leaks from one ``run`` to the next: every call starts from the model's
    initial state.
    """

    @property
    def interface(self) -> ModelInterface:
        """Inputs and outputs of the model."""
        ...

    @property
    def identity(self) -> EngineIdentity:
        """The engine behind this Runtime."""
        ...

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
            If the engine fails, or a float output is NaN or infinite.
        """
        ...

    def close(self) -> None:
        """Release the model; ``run`` must not be called afterwards."""
        ...


def require_match(specs: Sequence[TensorSpec], arrays: Sequence[Array]) -> None:
    """Refuse arrays that do not fit the inputs of a model.

    Parameters
    ----------
    specs : sequence of TensorSpec
        What the model takes.
    arrays : sequence of arrays
        What it is given.

    Raises
    ------
    TensorMismatchError
        Naming the first input whose dtype or shape differs, or the wrong count.

    Examples
    --------
    >>> spec = TensorSpec(name="x", dtype="int8", shape=(1, 2))
    >>> require_match([spec], [np.zeros((1, 2), np.int8)])
    >>> require_match([spec], [np.zeros((1, 2), np.float32)])
    Traceback (most recent call last):
        ...
    edge_runtime.errors.TensorMismatchError: input "x": expected int8 (1, 2), got float32 (1, 2)
    """
    if len(specs) != len(arrays):
        raise TensorMismatchError(f"the model takes {len(specs)} inputs, got {len(arrays)}")
    for spec, array in zip(specs, arrays, strict=True):
        if array.dtype != np.dtype(spec.dtype) or array.shape != spec.shape:
            wanted = f"{spec.dtype} {tuple(spec.shape)}"
            raise TensorMismatchError(f'input "{spec.name}": expected {wanted}, got {array.dtype} {array.shape}')
