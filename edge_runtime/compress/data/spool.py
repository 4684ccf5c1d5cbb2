"""Samples beyond what memory should hold: an unnamed temporary file, read like an array."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

import numpy as np
import numpy.typing as npt

from edge_runtime.errors import CalibrationError

Array = npt.NDArray[Any]

#: Fewer bytes than this stay in memory.
MEMORY_BYTES: Final = 8 << 20
#: More than this is refused.
MAX_BYTES: Final = 16 << 30
_CHUNK_BYTES: Final = 1 << 20
_GATHERED: Final = 64


class Spool:
    """Gather samples of one shape without holding many of them in memory.

    Parameters
    ----------
    shape : tuple of int
        Of one sample.
    dtype : dtype
        Of the samples.
    what : str
        Named in errors.
    """

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike, *, what: str) -> None:
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self._what = what
        self._count = 0
        self._blocks: list[Array] = []
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return self._count

    @property
    def _sample_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def append(self, samples: Array) -> None:
        """Add samples.

        Parameters
        ----------
        samples : array, shape (n, *shape)
            Converted to the spool's dtype.

        Raises
        ------
        CalibrationError
            If there are too many bytes, or the disk is full.
        """
        block = np.array(samples, self.dtype, order="C")
        if block.shape[1:] != self.shape:
            raise CalibrationError(f"{self._what}: a sample has shape {block.shape[1:]}, those before {self.shape}")
        total = (self._count + len(block)) * self._sample_bytes
        if total > MAX_BYTES:
            raise CalibrationError(
                f"{self._what}: over {MAX_BYTES >> 30} GiB of samples at the model's input; use fewer, or a longer hop"
            )
        try:
            if self._file is not None:
                self._file.write(block.data)
            else:
                self._blocks.append(block)
                if total > MEMORY_BYTES:
                    self._roll()
        except OSError as error:
            raise CalibrationError(
                f"{self._what}: no room for the samples in {tempfile.gettempdir()}: {error.strerror}"
            ) from error
        self._count += len(block)

    def _roll(self) -> None:
        """Move to a file that has no name: nothing stays behind when the process dies."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        for block in self._blocks:
            self._file.write(block.data)
        self._blocks.clear()

    def finish(self) -> Array:
        """Give everything that was added.

        Returns
        -------
        samples : array, shape (n, *shape)
            In memory when small, else mapped from a file that vanishes with the array.

        Raises
        ------
        CalibrationError
            If the disk is full.
        """
        shape = (self._count, *self.shape)
        if self._file is None:
            return np.concatenate(self._blocks).reshape(shape) if self._blocks else np.empty(shape, self.dtype)
        try:
            self._file.flush()
            return np.memmap(self._file, self.dtype, "r", shape=shape)
        except OSError as error:
            raise CalibrationError(
                f"{self._what}: no room for the samples in {tempfile.gettempdir()}: {error.strerror}"
            ) from error


def chunks(samples: Array, *, at_most: int | None = None) -> Iterator[tuple[int, Array]]:
    """Walk over samples in blocks of a megabyte, giving the memory of mapped files back behind.

    Parameters
    ----------
    samples : array, shape (n, ...)
        Perhaps of a ``Spool``.
    at_most : int, optional
        Samples per block.

    Yields
    ------
    start : int
        Index of the block's first sample.
    block : array, shape (k, ...)
        A view.
    """
    size = max(1, _CHUNK_BYTES // max(1, samples[:1].nbytes))
    size = size if at_most is None else min(size, at_most)
    for start in range(0, len(samples), size):
        yield start, samples[start : start + size]
        _release(samples)


def _release(samples: Array) -> None:
    """Give back the memory of a mapped file: it is read again where it is needed again."""
    mapped = getattr(samples, "_mmap", None)
    if isinstance(mapped, mmap.mmap):
        mapped.madvise(mmap.MADV_DONTNEED)


def take(samples: Array, indices: npt.NDArray[np.intp], *, what: str) -> Array:
    """Choose samples, in the order of ``indices``, without holding many in memory.

    Parameters
    ----------
    samples : array, shape (n, ...)
        Perhaps of a ``Spool``.
    indices : intp, shape (k,)
        Which.
    what : str
        Named in errors.

    Returns
    -------
    chosen : array, shape (k, ...)
    """
    if len(indices) * max(1, samples[:1].nbytes) <= MEMORY_BYTES:
        chosen = np.empty((len(indices), *samples.shape[1:]), samples.dtype)
        # The kernel maps the neighbours of every page that is touched, so even a small choice is made step by step.
        for start in range(0, len(indices), _GATHERED):
            chosen[start : start + _GATHERED] = samples[indices[start : start + _GATHERED]]
            _release(samples)
        return chosen
    with Spool(samples.shape[1:], samples.dtype, what=what) as spool:
        for _, block in chunks(indices, at_most=max(1, _CHUNK_BYTES // max(1, samples[:1].nbytes))):
            spool.append(samples[block])
            _release(samples)
        return spool.finish()
