"""Folders of pictures: one folder per class, or pictures with masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge_runtime.bundle.manifest import Resize
from edge_runtime.compress.data.content import digest_of, file_digest, list_files
from edge_runtime.compress.data.labelling import encode
from edge_runtime.compress.data.pictures import SUFFIXES, Sizer, load_pictures, read_picture
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.data.spool import Spool
from edge_runtime.compress.dataset import Dataset
from edge_runtime.errors import CalibrationError

_NAMED: Final = 3


def load_class_folders(folder: Path, reading: Reading) -> Dataset:
    """Read a folder with one folder of pictures per class.

    Parameters
    ----------
    folder : Path
        Pictures that lie in it directly have no class.
    reading : Reading
        With the preprocessing of pictures.

    Returns
    -------
    data : Dataset
        Sorted by path.

    Raises
    ------
    CalibrationError
        If there is none, a file is unusable, a folder is none of the model's labels, two pictures share a name but for
        its end, or labels are needed and pictures lie outside of class folders.
    """
    paths = list_files(folder, SUFFIXES, reading.files)
    if not paths:
        raise CalibrationError(f"{folder}: no pictures ({', '.join(SUFFIXES)}) that match {reading.files!r}")
    _require_single(folder, paths)
    names = [path.relative_to(folder).as_posix() for path in paths]
    flat = [name for name in names if "/" not in name]
    if flat and (reading.needs_y or len(flat) != len(names)):
        raise CalibrationError(f"{folder}: {flat[0]} lies in no folder of a class; one folder per class is needed")
    y, labels = None, reading.labels
    if not flat:
        y, labels = encode([name.partition("/")[0] for name in names], names, reading)
    x, _ = load_pictures(paths, reading, what=str(folder))
    digest = digest_of(part for name, path in zip(names, paths, strict=True) for part in (name, file_digest(path)))
    return Dataset(x, y, digest=digest, labels=labels, names=names)


def _require_single(folder: Path, paths: Sequence[Path]) -> None:
    """Refuse masks that lie beside their pictures: they would be learnt as pictures."""
    twins: dict[Path, Path] = {}
    for path in paths:
        other = twins.setdefault(path.with_suffix(""), path)
        if other is not path:
            raise CalibrationError(
                f"{folder}: {path.relative_to(folder)} has the name of {other.name}; if one is a mask, say which files"
                ' are pictures: [data] files = "*.jpg"'
            )


def load_mask_folders(folder: Path, reading: Reading) -> Dataset:
    """Read ``images/`` and ``masks/`` with the same names (masks: PNG, grey level = class).

    Parameters
    ----------
    folder : Path
        Holds both.
    reading : Reading
        With the preprocessing of pictures. Masks are resized with it, by the nearest pixel.

    Returns
    -------
    data : Dataset
        With ``masks`` of class indices. A grey level beyond the labels counts as the last one where there are two
        (0 and 255), and is refused otherwise.

    Raises
    ------
    CalibrationError
        If a picture has no mask, or a file is unusable.
    """
    pictures = list_files(folder / "images", SUFFIXES, reading.files)
    masks = {path.relative_to(folder / "masks").with_suffix(""): path for path in _masks(folder)}
    names = [path.relative_to(folder / "images").with_suffix("") for path in pictures]
    missing = [str(name) for name in names if name not in masks]
    if missing:
        raise CalibrationError(
            f"{folder}: {len(missing)} pictures without masks/<name>.png: {', '.join(missing[:_NAMED])}"
        )
    x, sizes = load_pictures(pictures, reading, what=str(folder / "images"))
    chosen = [masks[name] for name in names]
    found = _load_masks(chosen, sizes, reading)
    files = [*pictures, *chosen]
    digest = digest_of(part for path in files for part in (str(path.relative_to(folder)), file_digest(path)))
    words = [path.relative_to(folder).as_posix() for path in pictures]
    return Dataset(x, None, digest=digest, labels=reading.labels, names=words, masks=found)


def _masks(folder: Path) -> list[Path]:
    return list_files(folder / "masks", (".png",), "*")


def _load_masks(paths: Sequence[Path], sizes: npt.NDArray[np.int32], reading: Reading) -> npt.NDArray[np.uint8]:
    """Bring masks to the model's size; what lies outside of the picture is class 0."""
    steps = reading.image
    assert steps is not None
    resize = Resize(
        mode=steps.resize.mode,
        height=steps.resize.height,
        width=steps.resize.width,
        interpolation="nearest",
        pad=0,
    )
    sizer, n_labels = Sizer(resize, "bgr"), len(reading.labels)
    with Spool((resize.height, resize.width), np.uint8, what=str(paths[0].parent)) as spool:
        for path, size in zip(paths, sizes, strict=True):
            pixels = read_picture(path)
            if pixels.shape[:2] != tuple(size):
                raise CalibrationError(
                    f"{path}: {pixels.shape[1]} x {pixels.shape[0]} pixels, its picture is {size[1]} x {size[0]}"
                )
            mask = sizer(pixels)[..., 0]
            if n_labels == 2:  # noqa: PLR2004 - background and fault
                mask = (mask > 0).astype(np.uint8)
            elif n_labels and int(mask.max()) >= n_labels:
                raise CalibrationError(f"{path}: grey level {int(mask.max())} for {n_labels} labels")
            spool.append(mask)
        return spool.finish()
