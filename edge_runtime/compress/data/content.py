"""What files hold, as a digest, and how large they may be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from edge_runtime.errors import CalibrationError

MAX_FILE_BYTES: Final = 4 << 30
#: Files of one folder or listing.
MAX_FILES: Final = 1_000_000


def require_size(path: Path, limit: int = MAX_FILE_BYTES) -> None:
    """Refuse a file that is too long.

    Parameters
    ----------
    path : Path
        A file.
    limit : int, bytes
        Most that is read.

    Raises
    ------
    CalibrationError
        If it is longer.
    OSError
        If it is not there.
    """
    size = path.stat().st_size
    if size > limit:
        raise CalibrationError(f"{path}: {size} bytes, at most {limit} are read; split the file")


def file_digest(path: Path) -> str:
    """Give the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(parts: Iterable[str]) -> str:
    """Give the SHA-256 of texts in their order: names, digests of files, labels."""
    whole = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        whole.update(len(encoded).to_bytes(8, "little"))
        whole.update(encoded)
    return whole.hexdigest()


def list_files(folder: Path, suffixes: tuple[str, ...], pattern: str) -> list[Path]:
    """List files of a folder and the folders below it, sorted by their path.

    Parameters
    ----------
    folder : Path
        Hidden files and folders in it are passed over.
    suffixes : tuple of str
        Lower-case ends of names.
    pattern : str
        Shell pattern that a file's name must match.

    Returns
    -------
    files : list of Path

    Raises
    ------
    CalibrationError
        If there are too many, or the folder cannot be read.
    """
    found = []
    try:
        for path in folder.rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if path.name.lower().endswith(suffixes) and not hidden and path.match(pattern) and path.is_file():
                found.append(path)
                if len(found) > MAX_FILES:
                    raise CalibrationError(f"{folder}: more than {MAX_FILES} files")
    except OSError as error:
        raise CalibrationError(f"{folder}: cannot be read: {error.strerror or error}") from error
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())
