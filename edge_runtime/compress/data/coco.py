"""Boxes in COCO's JSON, with the pictures beside it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from edge_runtime.compress.data.content import digest_of, file_digest, require_size
from edge_runtime.compress.data.labelling import label_index
from edge_runtime.compress.data.pictures import load_pictures
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.dataset import Dataset
from edge_runtime.errors import CalibrationError

_MAX_BYTES: Final = 256 << 20


class _Image(Struct, frozen=True):
    """A picture."""

    id: int
    file_name: Annotated[str, Meta(min_length=1, max_length=4096)]


class _Category(Struct, frozen=True):
    """A class."""

    id: int
    name: str


class _Annotation(Struct, frozen=True):
    """A box: left, top, width, height in pixels."""

    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0


class _Coco(Struct, frozen=True):
    """The file."""

    images: Annotated[tuple[_Image, ...], Meta(max_length=1_000_000)]
    categories: Annotated[tuple[_Category, ...], Meta(max_length=100_000)]
    annotations: Annotated[tuple[_Annotation, ...], Meta(max_length=10_000_000)] = ()


def load_coco(path: Path, reading: Reading) -> Dataset:
    """Read a COCO file of boxes.

    Parameters
    ----------
    path : Path
        JSON; pictures are looked for beside it and in ``images/`` beside it. Crowds are passed over.
    reading : Reading
        With the preprocessing of pictures.

    Returns
    -------
    data : Dataset
        With ``boxes``, in the order of the file's pictures.

    Raises
    ------
    CalibrationError
        If it is no such file, a picture is missing or unusable, or a box lies outside of its picture.
    """
    try:
        require_size(path, _MAX_BYTES)
        tree = msgspec.json.decode(path.read_bytes(), type=_Coco)
    except OSError as error:
        raise CalibrationError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{path}: not a COCO file of boxes: {error}") from error
    labels = reading.labels or tuple(each.name for each in sorted(tree.categories, key=lambda each: each.id))
    codes = {each.id: label_index(each.name, labels, f"{path}: category {each.id}") for each in tree.categories}
    files = [_find(path, image) for image in tree.images]
    x, sizes = load_pictures(files, reading, what=str(path))
    boxes = _boxes(path, tree, codes, sizes)
    digest = digest_of([file_digest(path), *map(file_digest, files)])
    return Dataset(x, None, digest=digest, labels=labels, names=[i.file_name for i in tree.images], boxes=boxes)


def _find(path: Path, image: _Image) -> Path:
    for folder in (path.parent, path.parent / "images"):
        if (folder / image.file_name).is_file():
            return folder / image.file_name
    raise CalibrationError(f"{path}: image {image.id}: {image.file_name} is neither beside it nor in images/")


def _boxes(
    path: Path, tree: _Coco, codes: dict[int, int], sizes: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.float32], ...]:
    """Give the boxes of every picture as corners."""
    places = {image.id: index for index, image in enumerate(tree.images)}
    if len(places) != len(tree.images):
        raise CalibrationError(f"{path}: two images have the same id")
    found: list[list[tuple[float, ...]]] = [[] for _ in tree.images]
    for index, each in enumerate(tree.annotations):
        if each.iscrowd:
            continue
        where = f"{path}: annotation {index}"
        if each.image_id not in places or each.category_id not in codes:
            raise CalibrationError(f"{where}: image {each.image_id} or category {each.category_id} is not in the file")
        picture = places[each.image_id]
        left, top, width, height = each.bbox
        right, bottom = left + width, top + height
        fits = left >= -1 and top >= -1 and right <= sizes[picture, 1] + 1 and bottom <= sizes[picture, 0] + 1
        if not (all(map(math.isfinite, each.bbox)) and width > 0 and height > 0 and fits):
            raise CalibrationError(
                f"{where}: the box {list(each.bbox)} (left, top, width, height) is not inside its picture of"
                f" {sizes[picture, 1]} x {sizes[picture, 0]} pixels"
            )
        found[picture].append((codes[each.category_id], left, top, right, bottom))
    return tuple(np.array(rows, np.float32).reshape(-1, 5) for rows in found)
