"""turbofan-rul: cycles left before a turbofan engine fails, from NASA's C-MAPSS FD001. Data, network, training.

Three seeds are trained, so that the published figure is no lucky draw; the best on validation engines ships.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from training import ROOT, start_keras, working_folder, write_recipe

from edge_runtime.bundle.manifest import Channel, Decision, TensorSpec, Threshold, WindowPreprocessing
from edge_runtime.compress.inputs import prepare
from edge_runtime.timeseries.normalise import fit_normalisation

NAME = "turbofan-rul"
DATA = ROOT.parents[1] / "shared" / "data" / "cmapss"
SEEDS = (0, 1, 2)

#: Cycles of a window: the shortest engine of the official test has 31, so that no window is ever padded.
LENGTH = 30
#: More cycles left than this are not told apart: a healthy engine shows nothing yet.
CAP_CYCLES = 125.0
N_VALIDATION_UNITS = 20
EPOCHS = 20
BATCH = 256
#: Noise added to training windows, in deviations of a sensor.
NOISE = 0.2

#: The 14 sensors that change at all in FD001: column in the file, name, unit, and what the sensor can give.
SENSORS = (
    (6, "t24", "degR", 300.0, 1500.0),
    (7, "t30", "degR", 300.0, 3500.0),
    (8, "t50", "degR", 300.0, 3500.0),
    (11, "p30", "psia", 0.0, 1500.0),
    (12, "nf", "rpm", 0.0, 6000.0),
    (13, "nc", "rpm", 0.0, 20000.0),
    (15, "ps30", "psia", 0.0, 150.0),
    (16, "phi", "pps/psi", 0.0, 1500.0),
    (17, "nrf", "rpm", 0.0, 6000.0),
    (18, "nrc", "rpm", 0.0, 20000.0),
    (19, "bpr", "", 0.0, 30.0),
    (21, "htbleed", "", 0.0, 1000.0),
    (24, "w31", "lbm/s", 0.0, 150.0),
    (25, "w32", "lbm/s", 0.0, 100.0),
)

Floats = npt.NDArray[np.float32]


def read_units(name: str) -> list[Floats]:
    """Read a file of the set: float32 (cycles, 14) per engine."""
    table = np.loadtxt(DATA / name)
    columns = [column for column, *_ in SENSORS]
    return [table[table[:, 0] == unit][:, columns].astype(np.float32) for unit in np.unique(table[:, 0])]


def windows(units: list[Floats]) -> tuple[Floats, Floats]:
    """Cut every window of engines that ran to failure.

    Returns
    -------
    x : float32, shape (n, LENGTH, 14)
    y : float32, shape (n,)
        Cycles left after the window's last one, capped.
    """
    x, y = [], []
    for unit in units:
        cut = np.lib.stride_tricks.sliding_window_view(unit, LENGTH, axis=0).transpose(0, 2, 1)
        x.append(cut)
        y.append(np.minimum(np.arange(len(cut))[::-1], CAP_CYCLES))
    return np.ascontiguousarray(np.concatenate(x)), np.concatenate(y).astype(np.float32)


def official_test() -> tuple[Floats, Floats]:
    """Give the last window of each of the 100 test engines, and the true cycles left, not capped."""
    x = np.stack([unit[-LENGTH:] for unit in read_units("test_FD001.txt.gz")])
    return x, np.loadtxt(DATA / "RUL_FD001.txt").astype(np.float32)


def nasa_score(predicted: Floats, truth: Floats) -> float:
    """Sum the asymmetric penalty of the 2008 challenge; late predictions cost more.

    ``exp(-d/13) - 1`` for ``d = predicted - truth < 0``, else ``exp(d/10) - 1``.
    """
    d = predicted.astype(np.float64) - truth
    return float(np.where(d < 0, np.exp(-d / 13) - 1, np.exp(d / 10) - 1).sum())


def rmse(predicted: Floats, truth: Floats) -> float:
    """Give the root of the mean squared error."""
    return math.sqrt(float(((predicted.astype(np.float64) - truth) ** 2).mean()))


def find_preprocessing(units: list[Floats]) -> WindowPreprocessing:
    """Find the normalisation from training engines."""
    return WindowPreprocessing(
        channels=tuple(Channel(name=name, unit=unit, low=low, high=high) for _, name, unit, low, high in SENSORS),
        length=LENGTH,
        hop=1,
        rate_hz=0.0,
        normalisation=fit_normalisation(np.concatenate(units), "zscore", clip=4.0),
        max_hold=2,
    )


def fit(keras: Any, x: Floats, y: Floats, seed: int) -> Any:  # noqa: ANN401 - Keras has no types
    """Train one network on normalised windows and targets in units of the cap."""
    rng = np.random.default_rng(seed)

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
        """A fresh order and fresh noise every epoch."""

        order = rng.permutation(len(y))

        def __len__(self) -> int:
            return len(y) // BATCH

        def __getitem__(self, index: int) -> tuple[Floats, Floats]:
            chosen = self.order[index * BATCH : (index + 1) * BATCH]
            noise = rng.standard_normal(x[chosen].shape, np.float32) * np.float32(NOISE)
            return x[chosen] + noise, y[chosen]

        def on_epoch_end(self) -> None:
            self.order = rng.permutation(len(y))

    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((LENGTH, len(SENSORS))),
            layers.LSTM(48),
            layers.Dropout(0.2),
            layers.Dense(16, activation="relu"),
            layers.Dense(1),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(3e-3, EPOCHS * (len(y) // BATCH), alpha=0.02)
    model.compile(keras.optimizers.Adam(schedule, clipnorm=1.0, use_ema=True, ema_momentum=0.99), "mse")
    model.fit(Batches(), epochs=EPOCHS, verbose=2)
    return model


@dataclass(frozen=True, slots=True)
class Trained:
    """One seed's result.

    Attributes
    ----------
    seed : int
    preprocessing : WindowPreprocessing
        Of its training engines.
    error_cycles : float
        RMSE on its validation engines.
    interval_cycles : float
        Within which 95 % of the errors on its validation engines lie.
    """

    seed: int
    preprocessing: WindowPreprocessing
    error_cycles: float
    interval_cycles: float


def train_seed(seed: int, units: list[Floats]) -> Trained:
    """Train one seed; leave its model and data in a folder of its own."""
    keras = start_keras(seed)
    folder = working_folder(f"{NAME}/seed-{seed}")
    held = set(np.random.default_rng(seed).permutation(len(units))[:N_VALIDATION_UNITS].tolist())
    learning = [unit for index, unit in enumerate(units) if index not in held]
    preprocessing = find_preprocessing(learning)
    tensor = TensorSpec(name="input", dtype="float32", shape=(1, LENGTH, len(SENSORS)))
    x, y = windows(learning)
    held_x, held_y = windows([units[index] for index in sorted(held)])
    model = fit(keras, prepare(x, preprocessing, tensor, colour="rgb"), y / np.float32(CAP_CYCLES), seed)
    model.save(folder / "float.keras")
    guess = np.asarray(model(prepare(held_x, preprocessing, tensor, colour="rgb")))[:, 0] * np.float32(CAP_CYCLES)
    np.savez(folder / "calibration.npz", x=x, y=y)
    test_x, test_y = official_test()
    np.savez(folder / "evaluation.npz", x=test_x, y=np.minimum(test_y, np.float32(CAP_CYCLES)))
    interval = round(float(np.quantile(np.abs(guess - held_y), 0.95)), 1)
    trained = Trained(seed, preprocessing, rmse(guess, held_y), interval)
    print(f"seed {seed}: {trained.error_cycles:.2f} cycles on validation engines", flush=True)
    return trained


def write_seed_recipe(path: Path, trained: Trained, *, data: str, key: str) -> None:
    """Write the recipe of one seed.

    Parameters
    ----------
    path : Path
        The recipe.
    trained : Trained
        What it is about.
    data, key : str
        Folder of model and data, and private key, relative to the recipe's folder.
    """
    write_recipe(
        path,
        {
            "model": {"path": f"{data}float.keras", "task": "regression"},
            "data": {
                "calibration": f"{data}calibration.npz",
                "evaluation": f"{data}evaluation.npz",
                "calibration_samples": 1000,
            },
            "preprocessing": trained.preprocessing,
            "decision": Decision(
                thresholds={"remaining_useful_life": Threshold(raise_at=30.0, clear_at=40.0)},
                direction="below",
                quantity="remaining_useful_life",
                unit="cycles",
                output_scale=CAP_CYCLES,
                interval=trained.interval_cycles,
            ),
            "budget": {"metric": "rmse", "max_drop": 0.5, "size_kb": 100.0},
            "method": {"quantize": "int8"},
            "output": {"bundle": f"{NAME}.edgebundle", "key": key},
            "bundle": {"name": NAME, "version": "1.0.0", "release": 1},
        },
        why=(
            f"Written by model.py: seed {trained.seed}; normalisation is found from its training engines.",
            f"To build again: python models/build.py {NAME}",
        ),
    )


def train() -> None:
    """Train every seed, and write its recipe beside it; that of the best on validation engines ships."""
    units = read_units("train_FD001.txt.gz")
    found = [train_seed(seed, units) for seed in SEEDS]
    for each in found:
        folder = working_folder(f"{NAME}/seed-{each.seed}")
        write_seed_recipe(folder / "recipe.toml", each, data="", key="../../../../models/keys/release.pem")
    best = min(found, key=lambda each: each.error_cycles)
    data = f"../../build/models/{NAME}/seed-{best.seed}/"
    write_seed_recipe(ROOT / NAME / "recipe.toml", best, data=data, key="../keys/release.pem")


if __name__ == "__main__":
    train()
