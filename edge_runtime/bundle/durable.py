"""Files that are either the old or the new ones, whenever the power goes."""

from __future__ import annotations

import os
from pathlib import Path

TEMPORARY_SUFFIX = ".part"


class Disk:
    """The few operations that the store needs; each leaves the disk in a state that the store can go on from."""

    def create(self, path: Path, data: bytes) -> None:
        """Write a new file and wait until its bytes are on the disk."""
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Put a file in the place of another in one step."""
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Wait until names in a folder are on the disk."""
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file; it may be gone already."""
        path.unlink(missing_ok=True)


def replace_durably(disk: Disk, path: Path, data: bytes) -> None:
    """Write a file so that a reader, also after a power cut, finds the old or the new content and nothing between.

    Parameters
    ----------
    disk : Disk
        Where.
    path : Path
        The file.
    data : bytes
        Its new content.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    disk.create(temporary, data)
    disk.rename(temporary, path)
    disk.sync_folder(path.parent)
