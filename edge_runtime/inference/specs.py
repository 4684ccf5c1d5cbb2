"""TensorSpecs of loaded models, and what engines may give back."""

from __future__ import annotations

import typing
from collections.abc import Sequence

import numpy as np

from edge_runtime.bundle.manifest import Dtype, Quantization, TensorSpec
from edge_runtime.errors import InvocationError, ModelLoadError
from edge_runtime.inference.interface import Array

#: Converters write names of thousands of characters; this many are kept.
MAX_NAME = 256
_DTYPES: dict[str, Dtype] = {dtype: dtype for dtype in typing.get_args(Dtype)}


def spec_of(
    role: str, index: int, name: str, dtype: str, shape: tuple[int, ...], quantization: Quantization | None = None
) -> TensorSpec:
    """Describe a tensor of a foreign model.

    Parameters
    ----------
    role : {"input", "output"}
        For the message.
    index : int
        Its position, which stands in for a name that is empty and marks one that is cut.
    name : str
        The tensor's name, of any length.
    dtype : str
        NumPy's name of the element type.
    shape : tuple of int
        With the batch axis.
    quantization : Quantization, optional
        Affine parameters.

    Returns
    -------
    spec : TensorSpec
        The description.

    Raises
    ------
    ModelLoadError
        If the dtype is none that this runtime carries, or an axis is empty.
    """
    if len(name) > MAX_NAME:
        name = f"{name[: MAX_NAME - 8]}~{index}"
    name = name or f"{role}_{index}"
    known = _DTYPES.get(dtype)
    if known is None:
        raise ModelLoadError(f'{role} "{name}" is {dtype}; this runtime carries {", ".join(_DTYPES)}')
    if any(size < 1 for size in shape):
        raise ModelLoadError(f'{role} "{name}" has shape {shape}; every axis must have at least one element')
    return TensorSpec(name=name, dtype=known, shape=shape, quantization=quantization)


def require_finite(specs: Sequence[TensorSpec], floats: Sequence[int], outputs: Sequence[Array]) -> None:
    """Refuse NaN and infinity in float outputs.

    Parameters
    ----------
    specs : sequence of TensorSpec
        The outputs.
    floats : sequence of int
        Positions of those that are float.
    outputs : sequence of arrays
        What the engine gave.

    Raises
    ------
    InvocationError
        Naming the first output that is not finite.
    """
    for place in floats:
        if not np.isfinite(outputs[place]).all():
            raise InvocationError(
                f'output "{specs[place].name}" is not finite: the model computes NaN or infinity from this'
            )


def wrong_shape(specs: Sequence[TensorSpec], outputs: Sequence[Array]) -> InvocationError:
    """Say which output has another shape than the model states.

    Parameters
    ----------
    specs : sequence of TensorSpec
        The outputs.
    outputs : sequence of arrays
        What the engine gave; one of them differs.

    Returns
    -------
    error : InvocationError
        To be raised.
    """
    spec, shape = next(
        (spec, output.shape) for spec, output in zip(specs, outputs, strict=True) if output.shape != tuple(spec.shape)
    )
    return InvocationError(
        f'output "{spec.name}" came out with shape {shape} instead of {tuple(spec.shape)}: its size depends on the'
        " input, and such models are not run; export the model with fixed shapes"
    )
