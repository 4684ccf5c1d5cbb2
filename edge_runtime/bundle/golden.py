"""Golden vectors: inputs, float reference outputs, and what each engine answered when the bundle was built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge_runtime.bundle.archive import ArchiveLimits
from edge_runtime.bundle.arrays import Array, pack_arrays, unpack_arrays
from edge_runtime.bundle.manifest import Manifest, TensorSpec
from edge_runtime.errors import BundleFormatError

MEMBER = "golden.npz"
MAX_ARRAYS = 2048


@dataclass(frozen=True, slots=True)
class GoldenVectors:
    """The arrays of ``golden.npz``; samples are on axis 0, in place of the model's batch axis.

    Attributes
    ----------
    inputs : tuple of arrays
        One per input, dtype of its TensorSpec, shape (n_samples, ...).
    references : tuple of float32 arrays
        Real outputs of the float model, one per output, shape (n_samples, ...).
    outputs : mapping of str to tuple of arrays
        By key of the GoldenSet: one per output, dtype of its TensorSpec, shape (n_samples, ...).
    """

    inputs: tuple[Array, ...]
    references: tuple[Array, ...]
    outputs: Mapping[str, tuple[Array, ...]]


def pack_golden(inputs: Sequence[Array], references: Sequence[Array], outputs: Mapping[str, Sequence[Array]]) -> bytes:
    """Write ``golden.npz``.

    Parameters
    ----------
    inputs : sequence of arrays
        One per input, shape (n_samples, ...).
    references : sequence of float32 arrays
        The float model's real outputs, one per output, shape (n_samples, ...).
    outputs : mapping of str to sequence of arrays
        By key of the GoldenSet, one per output, shape (n_samples, ...).

    Returns
    -------
    data : bytes
        The same bytes for equal arrays.

    Raises
    ------
    ValueError
        If a dtype or key cannot be stored.
    """
    arrays = {f"input_{index}": array for index, array in enumerate(inputs)}
    arrays |= {f"float_{index}": array for index, array in enumerate(references)}
    for key, answers in outputs.items():
        arrays |= {f"{key}_output_{index}": array for index, array in enumerate(answers)}
    return pack_arrays(arrays)


def unpack_golden(data: bytes, manifest: Manifest) -> GoldenVectors:
    """Read ``golden.npz`` and hold it to its manifest.

    Parameters
    ----------
    data : bytes
        The member.
    manifest : Manifest
        Says which arrays there are and how they look.

    Returns
    -------
    vectors : GoldenVectors
        Read-only arrays.

    Raises
    ------
    BundleFormatError
        If an array is missing, surplus, not finite, or has another dtype or shape than its TensorSpec.
    """
    limits = ArchiveLimits(archive_bytes=len(data), member_bytes=len(data), n_members=MAX_ARRAYS)
    arrays = unpack_arrays(data, limits)
    n_samples = manifest.golden.n_samples
    inputs = tuple(
        _take(arrays, f"input_{index}", spec.dtype, (n_samples, *sample_shape(spec)))
        for index, spec in enumerate(manifest.inputs)
    )
    references = tuple(
        _take(arrays, f"float_{index}", "float32", (n_samples, *sample_shape(spec)))
        for index, spec in enumerate(manifest.outputs)
    )
    outputs = {
        entry.key: take_outputs(arrays, f"{entry.key}_output_", manifest.outputs, n_samples)
        for entry in manifest.golden.sets
    }
    if arrays:
        raise BundleFormatError(f"{MEMBER} holds arrays that the manifest does not name: {', '.join(sorted(arrays))}")
    return GoldenVectors(inputs, references, outputs)


def take_outputs(
    arrays: dict[str, Array], prefix: str, specs: Sequence[TensorSpec], n_samples: int
) -> tuple[Array, ...]:
    """Remove one set of outputs from ``arrays`` and check it.

    Parameters
    ----------
    arrays : dict of str to array
        Decoded arrays; those that are taken are removed.
    prefix : str
        The arrays are called by it and the index of the output.
    specs : sequence of TensorSpec
        The outputs.
    n_samples : int
        Length of axis 0.

    Returns
    -------
    outputs : tuple of arrays
        One per output.

    Raises
    ------
    BundleFormatError
        If one is missing, not finite, or has another dtype or shape.
    """
    return tuple(
        _take(arrays, f"{prefix}{index}", spec.dtype, (n_samples, *sample_shape(spec)))
        for index, spec in enumerate(specs)
    )


def sample_shape(spec: TensorSpec) -> tuple[int, ...]:
    """Give the shape of one sample: that of the tensor without its batch axis of 1, where it has one.

    Parameters
    ----------
    spec : TensorSpec
        The tensor.

    Returns
    -------
    shape : tuple of int
        What follows axis 0 in an array of samples.
    """
    return tuple(spec.shape[1:] if spec.shape[:1] == (1,) else spec.shape)


def _take(arrays: dict[str, Array], name: str, dtype: str, shape: tuple[int, ...]) -> Array:
    """Remove one array and hold it to its dtype, shape and finiteness."""
    array = arrays.pop(name, None)
    if array is None:
        raise BundleFormatError(f'{MEMBER}: array "{name}" is missing')
    if array.dtype.name != dtype or array.shape != shape:
        raise BundleFormatError(
            f'{MEMBER}: array "{name}" is {array.dtype} {array.shape}, the manifest says {dtype} {shape}'
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise BundleFormatError(f'{MEMBER}: array "{name}" is not finite')
    return array
