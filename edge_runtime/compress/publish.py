"""Writes a result in one step: the old file or the new one is there, never half of one."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from edge_runtime.errors import HostEnvironmentError


def write_file(path: Path, data: bytes) -> None:
    """Write a file beside its place and rename it.

    Parameters
    ----------
    path : Path
        Its folder is made where needed.
    data : bytes
        The content.

    Raises
    ------
    HostEnvironmentError
        If the disk refuses; nothing is left behind.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            with suppress(OSError):
                Path(temporary).unlink()
        raise HostEnvironmentError(f"{path}: cannot be written: {error.strerror}") from error
