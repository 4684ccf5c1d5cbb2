"""A bounded reader of FlatBuffers: every offset and length is checked against the bytes before it is followed."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import FirmwareError

MAX_STRING_BYTES = 4096


class ModelFormatError(FirmwareError):
    """The file is not a .tflite model that can be read: damaged, cut short, or beyond a limit."""


def _fail(what: str) -> ModelFormatError:
    return ModelFormatError(f"the model file is damaged ({what}); convert or download it again")


@dataclass(frozen=True, slots=True)
class Table:
    """One table of a FlatBuffer.

    Attributes
    ----------
    data : bytes
        The whole file.
    position : int
        Where the table starts.
    """

    data: bytes
    position: int

    def _field(self, index: int, size: int) -> int | None:
        """Position of a field's ``size`` bytes, or None when the table does not hold it."""
        vtable = self.position - self._unpack("<i", self.position)
        length = self._unpack("<H", vtable)
        slot = 4 + 2 * index
        if slot + 2 > length:
            return None
        offset = self._unpack("<H", vtable + slot)
        if offset == 0:
            return None
        position = self.position + offset
        if position + size > len(self.data):
            raise _fail("a field lies outside the file")
        return position

    def _unpack(self, form: str, position: int) -> int:
        if position < 0 or position + struct.calcsize(form) > len(self.data):
            raise _fail("an offset leads outside the file")
        value: int = struct.unpack_from(form, self.data, position)[0]
        return value

    def integer(self, index: int, form: str, default: int = 0) -> int:
        """Return a scalar integer field, or its default.

        Parameters
        ----------
        index : int
            The field's number in the schema.
        form : str
            A ``struct`` letter with ``<``, e.g. ``"<i"``.
        default : int
            What an absent field stands for.

        Raises
        ------
        ModelFormatError
            When the table leads outside the file.
        """
        position = self._field(index, struct.calcsize(form))
        return default if position is None else self._unpack(form, position)

    def real(self, index: int) -> float:
        """Return a float32 field, 0.0 when absent.

        Raises
        ------
        ModelFormatError
            When the table leads outside the file.
        """
        position = self._field(index, 4)
        if position is None:
            return 0.0
        value: float = struct.unpack_from("<f", self.data, position)[0]
        return value

    def _target(self, index: int) -> int | None:
        position = self._field(index, 4)
        if position is None:
            return None
        target = position + self._unpack("<I", position)
        if target + 4 > len(self.data):
            raise _fail("a reference leads outside the file")
        return target

    def table(self, index: int) -> Table | None:
        """Return the table that a field refers to, or None when absent.

        Raises
        ------
        ModelFormatError
            When the reference leads outside the file.
        """
        target = self._target(index)
        return None if target is None else Table(self.data, target)

    def _vector(self, index: int, item_bytes: int, limit: int) -> tuple[int, int]:
        target = self._target(index)
        if target is None:
            return 0, 0
        count = self._unpack("<I", target)
        if count > limit:
            raise _fail(f"a list of {count} entries, at most {limit} are allowed")
        if target + 4 + count * item_bytes > len(self.data):
            raise _fail("a list runs past the end of the file")
        return target + 4, count

    def array(self, index: int, dtype: str, limit: int) -> npt.NDArray[np.generic]:
        """Return a list of scalars without copying.

        Parameters
        ----------
        index : int
            The field's number in the schema.
        dtype : str
            A little-endian NumPy dtype such as ``"<i4"``.
        limit : int
            Most entries allowed.

        Returns
        -------
        values : dtype, shape (count,)
            Read-only view of the file; empty when the field is absent.

        Raises
        ------
        ModelFormatError
            When the list is longer than ``limit`` or runs past the file.
        """
        start, count = self._vector(index, np.dtype(dtype).itemsize, limit)
        return np.frombuffer(self.data, dtype=dtype, count=count, offset=start) if count else np.empty(0, dtype)

    def tables(self, index: int, limit: int) -> tuple[Table, ...]:
        """Return a list of tables; empty when the field is absent.

        Raises
        ------
        ModelFormatError
            When the list is longer than ``limit`` or leads outside the file.
        """
        start, count = self._vector(index, 4, limit)
        found = []
        for position in range(start, start + 4 * count, 4):
            target = position + self._unpack("<I", position)
            if target + 4 > len(self.data):
                raise _fail("a reference leads outside the file")
            found.append(Table(self.data, target))
        return tuple(found)

    def text(self, index: int) -> str:
        """Return a string field, undecodable bytes replaced; empty when absent.

        Raises
        ------
        ModelFormatError
            When it is longer than 4096 bytes or runs past the file.
        """
        start, count = self._vector(index, 1, MAX_STRING_BYTES)
        return self.data[start : start + count].decode("utf-8", errors="replace")


def root_table(data: bytes, identifier: bytes) -> Table:
    """Return the root table of a FlatBuffer with the given file identifier.

    Parameters
    ----------
    data : bytes
        The whole file.
    identifier : bytes, length 4
        What stands at offset 4.

    Raises
    ------
    ModelFormatError
        When the file is too short or has another identifier.
    """
    minimum = 8
    if len(data) < minimum or data[4:8] != identifier:
        raise ModelFormatError(f"not a .tflite file: bytes 4 to 7 are not {identifier.decode()}")
    position = int.from_bytes(data[:4], "little")
    if position + 4 > len(data):
        raise _fail("the root lies outside the file")
    return Table(data, position)
