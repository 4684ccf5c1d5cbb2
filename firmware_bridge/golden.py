"""Golden vectors of an emitted directory: inputs and the outputs that the contract gives for them.

``verify/golden.npz`` is for verification on a workstation, ``golden.h`` for a self-test on the device.
"""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import FirmwareError
from firmware_bridge.ctext import float_text
from firmware_bridge.manifest import FirmwareManifest, PortManifest
from firmware_bridge.samples import Record

MAX_FILE_BYTES: Final = 64 << 20
_HEADER_BYTES: Final = 64 << 10
_PER_LINE: Final = 24
#: What numpy and zipfile raise on damaged archives and array headers.
_DAMAGE: Final = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, slots=True)
class GoldenVectors:
    """Records in order, one array per graph end.

    Attributes
    ----------
    source : str
        What the outputs were computed by, with its version.
    resets : tuple of int
        Records before which the state is put to its beginning.
    inputs, outputs : list of tuple of arrays
        As long as each other.
    max_lsb : int
        How far an output may be from these, in codes; 0 where ``source`` is the contract's own reference.
    """

    source: str
    resets: tuple[int, ...]
    inputs: list[Record]
    outputs: list[Record]
    max_lsb: int = 0


def save_golden(path: Path | IO[bytes], sets: Sequence[GoldenVectors]) -> None:
    """Write golden vectors as an uncompressed .npz without pickles.

    Raises
    ------
    FirmwareError
        When they are more than ``load_golden`` would read.
    """
    total = sum(array.nbytes for golden in sets for record in golden.inputs + golden.outputs for array in record)
    if total > MAX_FILE_BYTES // 2:
        raise FirmwareError(f"golden vectors have {total} bytes, at most {MAX_FILE_BYTES // 2} are kept")
    arrays: dict[str, npt.NDArray[Any]] = {"n_sets": np.array(len(sets))}
    for s, golden in enumerate(sets):
        arrays[f"s{s}_source"] = np.array(golden.source)
        arrays[f"s{s}_resets"] = np.array(golden.resets, np.int64)
        arrays[f"s{s}_max_lsb"] = np.array(golden.max_lsb)
        arrays[f"s{s}_n"] = np.array([len(golden.inputs), len(golden.inputs[0]), len(golden.outputs[0])])
        for i, (given, found) in enumerate(zip(golden.inputs, golden.outputs, strict=True)):
            arrays.update({f"s{s}_in{i}_{j}": value for j, value in enumerate(given)})
            arrays.update({f"s{s}_out{i}_{j}": value for j, value in enumerate(found)})
    np.savez(path, allow_pickle=False, **arrays)


def load_golden(path: Path) -> list[GoldenVectors]:
    """Read what ``save_golden`` wrote.

    Raises
    ------
    FirmwareError
        When the file is too big, damaged, or holds something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = max(path.stat().st_size, sum(member.file_size for member in archive.infolist()))
        if size > MAX_FILE_BYTES:
            raise FirmwareError(f"{path} has more than {MAX_FILE_BYTES} bytes; emit the directory again")
        with np.load(path, allow_pickle=False) as found:
            return [_load_set(found, s) for s in range(int(found["n_sets"]))]
    except _DAMAGE as error:
        raise FirmwareError(f"{path} cannot be read ({error}); emit the directory again") from error


def check_golden(sets: Sequence[GoldenVectors], manifest: FirmwareManifest) -> None:
    """Refuse vectors that do not belong to a model.

    Parameters
    ----------
    sets : sequence of GoldenVectors
        As read.
    manifest : FirmwareManifest
        Of the model.

    Raises
    ------
    FirmwareError
        When a set is empty, or a record has not the model's inputs and outputs.
    """
    for golden in sets:
        if not golden.inputs or golden.max_lsb < 0:
            raise FirmwareError(f"golden vectors of {golden.source!r} hold no record; emit the directory again")
        inputs = all(_fits(record, manifest.inputs) for record in golden.inputs)
        if not inputs or not all(_fits(record, manifest.outputs) for record in golden.outputs):
            raise FirmwareError(
                f"golden vectors of {golden.source!r} have other inputs or outputs than the model; "
                "emit the directory again"
            )


def _fits(record: Record, ports: Sequence[PortManifest]) -> bool:
    return len(record) == len(ports) and all(
        value.dtype == port.dtype and value.nbytes == port.nbytes for value, port in zip(record, ports, strict=True)
    )


def _load_set(found: Mapping[str, npt.NDArray[Any]], s: int) -> GoldenVectors:
    n_records, n_inputs, n_outputs = (int(value) for value in found[f"s{s}_n"])
    return GoldenVectors(
        source=str(found[f"s{s}_source"]),
        resets=tuple(int(value) for value in found[f"s{s}_resets"]),
        inputs=[tuple(found[f"s{s}_in{i}_{j}"] for j in range(n_inputs)) for i in range(n_records)],
        outputs=[tuple(found[f"s{s}_out{i}_{j}"] for j in range(n_outputs)) for i in range(n_records)],
        max_lsb=int(found[f"s{s}_max_lsb"]),
    )


def golden_header(manifest: FirmwareManifest, golden: GoldenVectors) -> str:
    """C text of ``golden.h``: as many of the first records as fit into 64 KiB, at least one."""
    name, upper = manifest.name, manifest.name.upper()
    each = sum(port.nbytes for port in manifest.inputs + manifest.outputs)
    count = max(1, min(len(golden.inputs), _HEADER_BYTES // each))
    parts = [
        f"/* Inputs and the outputs of {golden.source} for them, in order, after one {name}_reset. */",
        f"#ifndef {upper}_GOLDEN_H\n#define {upper}_GOLDEN_H\n\n#include <stdint.h>\n",
        f"#define {upper}_GOLDEN_RECORDS {count}\n",
    ]
    for role, records in (("input", golden.inputs), ("output", golden.outputs)):
        for j in range(len(records[0])):
            values = np.stack([np.ravel(record[j]) for record in records[:count]])
            parts.append(_array(f"{name}_golden_{role}{j}", values))
    return "\n".join([*parts, "#endif\n"])


def _array(name: str, values: npt.NDArray[np.generic]) -> str:
    kind = "float" if values.dtype == np.float32 else f"{values.dtype.name}_t"
    rows = []
    for row in values.tolist():
        items = [float_text(v) if values.dtype == np.float32 else str(v) for v in row]
        lines = ",\n   ".join(", ".join(items[at : at + _PER_LINE]) for at in range(0, len(items), _PER_LINE))
        rows.append(f"  {{{lines}}}")
    body = ",\n".join(rows)
    return f"static const {kind} {name}[{values.shape[0]}][{values.shape[1]}] = {{\n{body}\n}};\n"
