"""Pictures as users keep them: folders of classes, listings, COCO boxes, masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_runtime.bundle.manifest import ImagePreprocessing, Resize, TensorSpec
from edge_runtime.compress.data.loading import load_dataset
from edge_runtime.compress.data.reading import Reading
from edge_runtime.compress.dataset import Dataset
from edge_runtime.compress.inputs import prepare
from edge_runtime.errors import CalibrationError
from edge_runtime.vision.decoding import decode_picture
from edge_runtime.vision.preprocess import ImagePreprocessor


def steps(mode: Any = "letterbox", colour: Any = "rgb") -> ImagePreprocessing:
    n = 1 if colour == "gray" else 3
    resize = Resize(mode=mode, height=12, width=16)
    return ImagePreprocessing(resize=resize, colour=colour, mean=(10.0,) * n, std=(3.0,) * n)


def picture(path: Path, seed: int, height: int = 20, width: int = 30) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for index, name in enumerate(("good/b.png", "good/a.jpg", "scratch/c.png", "scratch/deep/d.png")):
        picture(tmp_path / "set" / name, index, 20 + index, 30)
    return tmp_path / "set"


def read(path: Path, **changes: Any) -> Dataset:
    return load_dataset(path, Reading(**{"preprocessing": steps(), "needs_y": True, **changes}))


def test_folders_are_classes_and_samples_come_sorted_by_path(classes: Path) -> None:
    data = read(classes)
    assert list(data.names) == ["good/a.jpg", "good/b.png", "scratch/c.png", "scratch/deep/d.png"]
    assert data.labels == ("good", "scratch")
    assert data.y is not None
    assert data.y.tolist() == [0, 0, 1, 1]


def test_the_models_order_of_labels_decides(classes: Path) -> None:
    data = read(classes, labels=("scratch", "dent", "good"))
    assert data.y is not None
    assert data.y.tolist() == [2, 2, 0, 0]


@pytest.mark.parametrize("mode", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("colour", ["rgb", "bgr", "gray"])
@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_a_loaded_picture_becomes_what_the_device_makes_of_the_file(
    classes: Path, mode: str, colour: str, order: Any
) -> None:
    preprocessing = steps(mode, colour)
    data = read(classes, preprocessing=preprocessing, colour=order)
    tensor = TensorSpec(name="i", dtype="float32", shape=(1, 12, 16, len(preprocessing.mean)))
    loaded = prepare(data.x, preprocessing, tensor, colour=order)
    for index, name in enumerate(data.names):
        pixels = decode_picture(memoryview((classes / name).read_bytes()), max_pixels=10_000)
        assert np.array_equal(ImagePreprocessor(preprocessing, tensor)(pixels)[0], loaded[index])


def test_the_digest_follows_content_and_names(classes: Path) -> None:
    before = read(classes).digest
    assert read(classes).digest == before
    (classes / "good" / "b.png").rename(classes / "scratch" / "b.png")
    assert read(classes).digest != before


def test_hidden_files_and_notes_are_passed_over(classes: Path) -> None:
    (classes / "good" / ".cache.png").write_bytes(b"junk")
    (classes / "good" / "Thumbs.db").write_bytes(b"junk")
    assert len(read(classes)) == 4


def test_a_mask_beside_its_picture_is_not_taken_for_a_picture(classes: Path) -> None:
    picture(classes / "good" / "a.png", 9)
    with pytest.raises(CalibrationError, match=r'files = "\*\.jpg"'):
        read(classes)
    assert list(read(classes, files="*.jpg").names) == ["good/a.jpg"]


def test_a_damaged_picture_is_named(classes: Path) -> None:
    path = classes / "scratch" / "c.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CalibrationError, match=r"scratch/c\.png"):
        read(classes)


def test_a_folder_that_is_no_label_of_the_model_is_named(classes: Path) -> None:
    with pytest.raises(CalibrationError, match=r'scratch/c\.png: label "scratch" is none of the'):
        read(classes, labels=("good", "dent"))


def test_pictures_outside_of_class_folders_have_no_label(classes: Path) -> None:
    assert read(classes / "good", needs_y=False).y is None
    with pytest.raises(CalibrationError, match="lies in no folder of a class"):
        read(classes / "good")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no pictures"):
        read(tmp_path)


def test_an_unknown_format_names_those_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "data.xlsx").write_bytes(b"x")
    with pytest.raises(CalibrationError, match=r"unknown format; an \.npz file"):
        read(tmp_path / "data.xlsx")


def listing(folder: Path, text: str) -> Path:
    path = folder / "parts.csv"
    path.write_text(text)
    return path


def test_a_listing_gives_labels_groups_and_slices_in_its_order(classes: Path) -> None:
    path = listing(classes, "file;label;group;slice_camera\nscratch/c.png;ng;p1;left\ngood/b.png;ok;p2;right\n")
    data = read(path, labels=("ok", "ng"))
    assert list(data.names) == ["scratch/c.png", "good/b.png"]
    assert data.y is not None
    assert data.y.tolist() == [1, 0]
    assert data.groups is not None
    assert data.groups.tolist() == ["p1", "p2"]
    assert data.slices["camera"].tolist() == ["left", "right"]


def test_without_a_label_column_the_folder_is_the_label(classes: Path) -> None:
    assert read(listing(classes, "file\tgroup\nscratch/c.png\t1\ngood/b.png\t2\n")).labels == ("good", "scratch")


def test_a_listing_of_targets_serves_a_regression(classes: Path) -> None:
    data = read(listing(classes, "file,label\ngood/b.png,1.5\n"), task="regression")
    assert data.y is not None
    assert data.y.tolist() == [1.5]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("picture,label\na,b\n", 'no column "file"'),
        ("file,label\n", "no rows"),
        ("file,label\ngood/b.png,good\nno.png,good\n", r"row 3: .*no\.png is not there"),
        ("file,label\ngood/b.png\n", "row 2 has 1 values for 2 columns"),
        ("file,label\ngood/b.png,\n", 'row 2: column "label" is empty'),
        ("file,label\ngood/b.png,good\ngood/b.png,good\n", "row 3: .* is listed before, in row 2"),
        ("file,label\ngood/b.png,dent\n", 'row 2: label "dent" is none'),
    ],
)
def test_what_is_wrong_in_a_listing_is_told_with_its_row(classes: Path, rows: str, said: str) -> None:
    with pytest.raises(CalibrationError, match=said):
        read(listing(classes, rows), labels=("good", "scratch"))


def coco(folder: Path, **changes: Any) -> Path:
    tree: dict[str, Any] = {
        "images": [{"id": 7, "file_name": "b.png"}, {"id": 3, "file_name": "a.jpg"}],
        "categories": [{"id": 2, "name": "dent"}, {"id": 1, "name": "crack"}],
        "annotations": [
            {"image_id": 3, "category_id": 2, "bbox": [1, 2, 10, 5]},
            {"image_id": 3, "category_id": 1, "bbox": [0, 0, 99, 99], "iscrowd": 1},
        ],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(tree | changes))
    return path


def test_coco_boxes_become_corners_with_the_label_first(classes: Path) -> None:
    data = read(coco(classes / "good"), needs_y=False)
    assert data.boxes is not None
    assert data.labels == ("crack", "dent")
    assert [boxes.tolist() for boxes in data.boxes] == [[], [[1.0, 1.0, 2.0, 11.0, 7.0]]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": [{"id": 1, "file_name": "no.png"}]}, "neither beside it nor in images"),
        (
            {"annotations": [{"image_id": 3, "category_id": 9, "bbox": [0, 0, 1, 1]}]},
            "annotation 0: image 3 or category 9",
        ),
        ({"annotations": [{"image_id": 3, "category_id": 1, "bbox": [25, 0, 9, 9]}]}, "annotation 0: the box"),
        ({"categories": "all"}, "not a COCO file"),
    ],
)
def test_what_is_wrong_in_a_coco_file_is_told(classes: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CalibrationError, match=said):
        read(coco(classes / "good", **changes), needs_y=False)


def test_boxes_are_no_labels_of_a_classification(classes: Path) -> None:
    with pytest.raises(CalibrationError, match="boxes or masks, not one label"):
        read(coco(classes / "good"))


def masks(folder: Path, height: int = 20) -> Path:
    for index, name in enumerate(("x", "y")):
        picture(folder / "images" / f"{name}.jpg", index)
        (folder / "masks").mkdir(exist_ok=True)
        mask = np.zeros((height, 30), np.uint8)
        mask[:10] = 255
        cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)
    return folder


def test_masks_come_at_the_models_size_by_the_nearest_pixel(tmp_path: Path) -> None:
    data = read(masks(tmp_path), needs_y=False, preprocessing=steps("stretch"), labels=("ok", "fault"))
    assert data.masks is not None
    assert data.masks.shape == (2, 12, 16)
    assert data.masks[0, :6].all()
    assert not data.masks[0, 6:].any()


def test_a_picture_without_its_mask_is_named(tmp_path: Path) -> None:
    (masks(tmp_path) / "masks" / "y.png").unlink()
    with pytest.raises(CalibrationError, match=r"1 pictures without masks/<name>\.png: y"):
        read(tmp_path, needs_y=False)


def test_a_mask_of_another_size_than_its_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"masks/x\.png: 30 x 21 pixels, its picture is 30 x 20"):
        read(masks(tmp_path, height=21), needs_y=False)
