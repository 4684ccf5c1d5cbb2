"""Golden vectors are held to their manifest."""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np
import pytest

from edge_runtime.bundle.archive import ArchiveLimits
from edge_runtime.bundle.arrays import Array, pack_arrays, unpack_arrays
from edge_runtime.bundle.golden import pack_golden, sample_shape, unpack_golden
from edge_runtime.bundle.manifest import TensorSpec
from edge_runtime.errors import BundleFormatError
from tests.bundles import image_model

MODEL = image_model()


def arrays() -> dict[str, Array]:
    return unpack_arrays(MODEL.members["golden.npz"], ArchiveLimits())


def changed(**changes: Array | None) -> bytes:
    merged = {**arrays(), **changes}
    return pack_arrays({name: array for name, array in merged.items() if array is not None})


def test_packing_is_reproducible() -> None:
    vectors = unpack_golden(MODEL.members["golden.npz"], MODEL.manifest)
    data = pack_golden(vectors.inputs, vectors.references, vectors.outputs)
    assert hashlib.sha256(data).digest() == hashlib.sha256(MODEL.members["golden.npz"]).digest()


@pytest.mark.parametrize("name", ["input_0", "float_0", "recorded_output_0"])
def test_missing_array_is_named(name: str) -> None:
    with pytest.raises(BundleFormatError, match=f'"{name}" is missing'):
        unpack_golden(changed(**{name: None}), MODEL.manifest)


def test_surplus_array_is_named() -> None:
    with pytest.raises(BundleFormatError, match="more"):
        unpack_golden(changed(more=np.zeros(1, np.int8)), MODEL.manifest)


@pytest.mark.parametrize(
    "array", [np.zeros((6, 8, 8, 3), np.uint8), np.zeros((5, 8, 8, 3), np.int8), np.zeros((6, 1, 8, 8, 3), np.int8)]
)
def test_array_of_another_form_is_named(array: Array) -> None:
    with pytest.raises(BundleFormatError, match='"input_0" is'):
        unpack_golden(changed(input_0=array), MODEL.manifest)


def test_reference_that_is_not_finite_is_refused() -> None:
    with pytest.raises(BundleFormatError, match='"float_0" is not finite'):
        unpack_golden(changed(float_0=np.full((6, 3), np.nan, np.float32)), MODEL.manifest)


def test_set_that_the_manifest_names_must_be_there() -> None:
    golden = MODEL.manifest.golden
    second = msgspec.structs.replace(golden.sets[0], key="second", version="0")
    manifest = msgspec.structs.replace(
        MODEL.manifest, golden=msgspec.structs.replace(golden, sets=(*golden.sets, second))
    )
    with pytest.raises(BundleFormatError, match="second_output_0"):
        unpack_golden(MODEL.members["golden.npz"], manifest)


@pytest.mark.parametrize(("shape", "expected"), [((1, 2, 3), (2, 3)), ((), ()), ((1,), ()), ((4, 2), (4, 2))])
def test_sample_has_no_batch_axis(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert sample_shape(TensorSpec(name="x", dtype="int8", shape=shape)) == expected
