"""surface-defect: which of six faults, if any, a rendered surface shows. Data, network, training, recipe."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from training import ROOT, start_keras, working_folder, write_recipe

from edge_runtime.bundle.manifest import (
    Decision,
    ImagePreprocessing,
    Quantization,
    Resize,
    TensorSpec,
    Threshold,
)
from edge_runtime.compress.inputs import prepare
from edge_runtime.kernels.image import resize
from edge_runtime.simulator.line import encode_jpeg
from edge_runtime.simulator.surfaces import DEFECT_CLASSES, GOOD, render_part

NAME = "surface-defect"
LABELS = (GOOD, *DEFECT_CLASSES)
SIDE_PX = 128
SEED = 7

#: Root seed, number of pictures, share of faults and range of the difficulty of each set. Live lines have seeds from
#: 1,000,000 on and draw from them in another way, so that no picture is seen twice.
SETS: dict[str, tuple[int, int, float, tuple[float, float]]] = {
    "training": (101, 20_000, 0.55, (0.3, 0.7)),
    "validation": (102, 3_000, 0.4, (0.5, 0.5)),
    "evaluation": (103, 4_000, 0.4, (0.5, 0.5)),
}
JPEG_QUALITY = (80, 95)
EPOCHS = 8
BATCH = 64
#: How far below the threshold a part is left to a person.
UNSURE_WIDTH = 0.05

PREPROCESSING = ImagePreprocessing(
    resize=Resize(mode="stretch", height=SIDE_PX, width=SIDE_PX, interpolation="area"),
    colour="rgb",
    mean=(128.0, 128.0, 128.0),
    std=(128.0, 128.0, 128.0),
)

Pictures = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


def render(name: str, first: int, last: int) -> tuple[Pictures, Indices]:
    """Draw pictures of a set as a gateway gets them, resized by the gateway's own kernel.

    Parameters
    ----------
    name : str
        One of ``SETS``.
    first, last : int
        Which pictures; each has a random state of its own.

    Returns
    -------
    x : uint8, shape (n, SIDE_PX, SIDE_PX, 3)
        Blue, green, red.
    y : int64, shape (n,)
        Index into ``LABELS``.
    """
    seed, _, share, difficulty = SETS[name]
    x = np.empty((last - first, SIDE_PX, SIDE_PX, 3), np.uint8)
    y = np.empty(last - first, np.int64)
    for row, index in enumerate(range(first, last)):
        rng = np.random.default_rng([seed, index])
        label = str(rng.choice(DEFECT_CLASSES)) if rng.random() < share else GOOD
        picture = render_part(rng, label=label, difficulty=float(rng.uniform(*difficulty)))
        jpeg = encode_jpeg(picture.pixels, int(rng.integers(*JPEG_QUALITY)))
        pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None
        x[row] = resize(np.asarray(pixels, np.uint8), SIDE_PX, SIDE_PX, "area")
        y[row] = LABELS.index(label)
    return x, y


def make_set(name: str, folder: Path, workers: int) -> None:
    """Render a set in parallel and save it as NPZ."""
    count = SETS[name][1]
    bounds = [*range(0, count, 500), count]
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        parts = list(pool.map(render, [name] * (len(bounds) - 1), bounds[:-1], bounds[1:]))
    np.savez(folder / f"{name}.npz", x=np.concatenate([x for x, _ in parts]), y=np.concatenate([y for _, y in parts]))


def build_network(keras: Any) -> Any:  # noqa: ANN401 - Keras has no types
    """Build the network: five convolutions, then the strongest and the mean answer of each feature over the part."""
    layers = keras.layers

    def block(x: Any, filters: int, size: int = 3, stride: int = 1) -> Any:  # noqa: ANN401 - Keras has no types
        x = layers.Conv2D(filters, size, strides=stride, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.97)(x))

    image = keras.Input((SIDE_PX, SIDE_PX, 3))
    x = block(image, 16, size=5, stride=2)
    x = block(block(layers.MaxPooling2D()(x), 32), 32)
    x = block(block(layers.MaxPooling2D()(x), 48), 64)
    side = x.shape[1]
    strongest = layers.Flatten()(layers.MaxPooling2D(side)(x))
    mean = layers.Flatten()(layers.AveragePooling2D(side)(x))
    x = layers.Dropout(0.2)(layers.Concatenate()([strongest, mean]))
    return keras.Model(image, layers.Dense(len(LABELS), activation="softmax")(x))


def load_codes(folder: Path, name: str) -> tuple[npt.NDArray[np.int8], Indices]:
    """Read a set and preprocess it as the gateway does, to int8 codes of 1/128."""
    with np.load(folder / f"{name}.npz") as file:
        x, y = file["x"], file["y"]
    quantization = Quantization(scale=(1 / 128,), zero_point=(0,))
    tensor = TensorSpec(name="input", dtype="int8", shape=(1, SIDE_PX, SIDE_PX, 3), quantization=quantization)
    return prepare(x, PREPROCESSING, tensor, colour="bgr"), y


def batches(keras: Any, codes: npt.NDArray[np.int8], y: Indices) -> Any:  # noqa: ANN401 - Keras has no types
    """Give shuffled batches, each picture turned over at random: no fault has a right side up."""
    rng = np.random.default_rng(SEED)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
        """A fresh order every epoch."""

        order = rng.permutation(len(y))

        def __len__(self) -> int:
            return len(y) // BATCH

        def __getitem__(self, index: int) -> tuple[npt.NDArray[np.float32], Indices]:
            chosen = self.order[index * BATCH : (index + 1) * BATCH]
            x = codes[chosen].astype(np.float32) * np.float32(1 / 128)
            turns = rng.integers(0, 8, len(x))
            for row, turn in enumerate(turns):
                turned = np.rot90(x[row], turn % 4)
                x[row] = turned[:, ::-1] if turn >= 4 else turned
            return x, y[chosen]

        def on_epoch_end(self) -> None:
            self.order = rng.permutation(len(y))

    return Batches()


def decide(threshold: float) -> Decision:
    """Give the decision for one threshold, the same for every fault: what kind it is matters less than that it is."""
    both = Threshold(raise_at=round(threshold, 3), clear_at=round(threshold, 3))
    return Decision(
        normal=LABELS[:1],
        thresholds=dict.fromkeys(DEFECT_CLASSES, both),
        unsure=(round(threshold - UNSURE_WIDTH, 3), round(threshold, 3)),
    )


def choose_threshold(probabilities: npt.NDArray[np.float32], y: Indices) -> float:
    """Find the threshold on the likeliest fault at which faults missed and parts accused are fewest, by F1."""
    scores, bad = probabilities[:, 1:].max(axis=1), y > 0
    candidates = np.arange(0.2, 0.9, 0.01)

    def f1(threshold: float) -> float:
        said = scores >= threshold
        return float(2 * (said & bad).sum() / (said.sum() + bad.sum()))

    values = np.array([f1(each) for each in candidates])
    smooth = np.convolve(values, np.ones(5) / 5, mode="same")
    smooth[[0, 1, -2, -1]] = 0.0  # the ends lack neighbours
    best = float(candidates[int(smooth.argmax())])
    said = scores >= best
    print(f"threshold {best:.2f}: recall {(said & bad).sum() / bad.sum():.4f}, precision", end=" ")
    print(f"{(said & bad).sum() / said.sum():.4f}, F1 {values.max():.4f}")
    for index, label in enumerate(LABELS[1:], 1):
        print(f"  {label}: {said[y == index].mean():.4f}")
    return best


def train() -> None:
    """Render, train the float model, choose its threshold, and write data and recipe."""
    folder = working_folder(NAME)
    for name in SETS:
        if not (folder / f"{name}.npz").is_file():
            make_set(name, folder, workers=2)
    keras = start_keras(SEED)
    model = build_network(keras)
    codes, y = load_codes(folder, "training")
    held_codes, held_y = load_codes(folder, "validation")
    held = held_codes.astype(np.float32) / 128
    steps = EPOCHS * (len(y) // BATCH)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps)),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(batches(keras, codes, y), epochs=EPOCHS, validation_data=(held, held_y), verbose=2)
    model.save(folder / "float.keras")
    threshold = choose_threshold(model.predict(held, batch_size=250, verbose=0), held_y)
    _write_recipe(decide(threshold))


def _write_recipe(decision: Decision) -> None:
    write_recipe(
        ROOT / NAME / "recipe.toml",
        {
            "model": {"path": f"../../build/models/{NAME}/float.keras", "task": "classification", "labels": LABELS},
            "data": {
                "calibration": f"../../build/models/{NAME}/validation.npz",
                "evaluation": f"../../build/models/{NAME}/evaluation.npz",
                "colour": "bgr",
                "calibration_samples": 500,
            },
            "preprocessing": PREPROCESSING,
            "decision": decision,
            "budget": {"metric": "accuracy", "max_drop": 0.01, "size_kb": 200.0},
            "method": {"quantize": "int8"},
            "output": {"bundle": f"{NAME}.edgebundle", "key": "../keys/release.pem"},
            "bundle": {"name": NAME, "version": "1.0.0", "release": 1},
        },
        why=(
            "Written by model.py: the threshold is found from data.",
            f"To build again: python models/build.py {NAME}",
        ),
    )


if __name__ == "__main__":
    train()
