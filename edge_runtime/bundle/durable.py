"""Files that are either the old or the new ones, whenever the power goes."""

from __future__ import annotations

import os
from pathlib import Path

TEMPORARY_SUFFIX = ".part"


class Disk:
    """The few operations that the store needs; each leaves the disk in a state that the store can go on from."""

    def create(self, path: Path, data: bytes) -> None:
        """Write a new file and wait until its bytes are on the disk.

        Parameters
        ----------
        path : Path
            The file; its folder exists.
        data : bytes
            Its content.

        Raises
        ------
        OSError
            If the disk refuses; part of the file may be there.
        """
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, source: Path, target: Path) -> None:
        """Put a file in the place of another in one step.

        Parameters
        ----------
        source : Path
            The file.
        target : Path
            Where it goes, on the same file system; what is there is replaced.

        Raises
        ------
        OSError
            If the disk refuses; nothing changed.
        """
        source.replace(target)

    def sync_folder(self, folder: Path) -> None:
        """Wait until names in a folder are on the disk.

        Parameters
        ----------
        folder : Path
            The folder.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def remove(self, path: Path) -> None:
        """Remove a file; it may be gone already.

        Parameters
        ----------
        path : Path
            The file.

        Raises
        ------
        OSError
            If the disk refuses.
        """
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

    Raises
    ------
    OSError
        If the disk refuses; the old content is still in place.
    """
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    disk.create(temporary, data)
    disk.rename(temporary, path)
    disk.sync_folder(path.parent)
