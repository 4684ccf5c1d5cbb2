"""machine-failure: whether a machine that still runs is about to fail. Data, network, training, recipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace
from training import ROOT, start_keras, working_folder, write_recipe

from edge_runtime.alerts import AlarmBook, AlarmRule
from edge_runtime.bundle.manifest import (
    Channel,
    Decision,
    Normalisation,
    Regimes,
    TensorSpec,
    Threshold,
    WindowPreprocessing,
)
from edge_runtime.compress.inputs import prepare
from edge_runtime.findings import Finding
from edge_runtime.inference.decision import class_findings
from edge_runtime.simulator.machines import CHANNELS, RATE_HZ, UNITS, Machine
from edge_runtime.simulator.scoring import Score, score_assets
from edge_runtime.simulator.truth import AssetTruth
from edge_runtime.timeseries.normalise import assign_regimes, fit_normalisation, fit_regimes

NAME = "machine-failure"
LABELS = ("healthy", "failing")
LENGTH, HOP = 64, 8
SEED = 11
EPOCHS = 14
BATCH = 256

#: Root seed, number of machines, and range of the difficulty. Live lines have seeds from 1,000,000 on and draw from
#: them in another way, so that no life is seen twice.
SETS: dict[str, tuple[int, int, tuple[float, float]]] = {
    "training": (201, 180, (0.3, 0.7)),
    "validation": (202, 120, (0.5, 0.5)),
    "evaluation": (203, 60, (0.5, 0.5)),
}
LIVES_PER_MACHINE = 4
LIFE_S = (28.0, 55.0)
FAILING_SHARE = 0.6

#: Bound of normalised values, and how long after a change of regime the temperature has settled.
CLIP, SETTLED_S = 8.0, 4.0

#: What a sensor of each channel can give at all; beyond it is broken.
RANGES = {"vibration": (0.0, 25.0), "temperature": (-20.0, 150.0), "current": (0.0, 60.0), "pressure": (0.0, 16.0)}
#: An alarm is right from wear 0.35 on. Windows that end between these two are not trained on: the model turns between
#: them, where an alarm is neither early nor late.
STILL_HEALTHY_WEAR, CLEARLY_FAILING_WEAR = 0.42, 0.60
#: The gateway's usual rule, under which the threshold is chosen.
RULE = AlarmRule(n=4, m=5, clear_after=5)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stream:
    """What one machine's sensors gave, life after life.

    Attributes
    ----------
    values : float32, shape (n, 4)
        In the units of the simulator.
    wear : float32, shape (n,)
        0 new to 1 failed.
    failing : bool, shape (n,)
        Whether an alarm is right.
    lives : tuple of AssetTruth
        With times in ms since the first sample.
    """

    values: Floats
    wear: Floats
    failing: npt.NDArray[np.bool_]
    lives: tuple[AssetTruth, ...]

    def ends(self) -> npt.NDArray[np.intp]:
        """Index of the last sample of every window that a gateway would judge."""
        return np.arange(LENGTH - 1, len(self.values), HOP)

    def windows(self) -> Floats:
        """Every window that a gateway would judge: float32, shape (n, LENGTH, 4)."""
        return np.stack([self.values[end - LENGTH + 1 : end + 1] for end in self.ends()])


def run_machine(name: str, index: int) -> Stream:
    """Run one machine of a set through its lives."""
    seed, _, difficulty = SETS[name]
    rng = np.random.default_rng([seed, index])
    blocks, lives, began = [], [], 0
    for life in range(1, LIVES_PER_MACHINE + 1):
        machine = Machine(
            int(rng.integers(1 << 62)),
            difficulty=float(rng.uniform(*difficulty)),
            life_s=float(rng.uniform(*LIFE_S)),
            fails=bool(rng.random() < FAILING_SHARE),
        )
        began_ms = round(began / RATE_HZ * 1000)
        lives.append(
            AssetTruth(
                asset=str(index),
                life=life,
                fails=machine.fails,
                mode=machine.mode if machine.fails else "",
                began_ms=began_ms,
                failing_from_ms=began_ms + round(machine.failing_from_s * 1000) if machine.fails else None,
                ends_ms=began_ms + round(machine.life_s * 1000),
            )
        )
        blocks.append(machine.advance(int(machine.life_s * RATE_HZ)))
        began += len(blocks[-1].values)
    return Stream(
        np.concatenate([block.values for block in blocks]),
        np.concatenate([block.wear for block in blocks]),
        np.concatenate([block.failing for block in blocks]),
        tuple(lives),
    )


def make_streams(name: str) -> list[Stream]:
    """Run every machine of a set."""
    return [run_machine(name, index) for index in range(SETS[name][1])]


def settle_temperature(normalisation: Normalisation, regimes: Regimes, calm: Floats) -> Normalisation:
    """Centre the temperature on where it settles in each regime, with one scale for all.

    It follows the load with a delay. What is left after this decays the same way from every change of regime, and what
    it decays to is wear.

    Parameters
    ----------
    normalisation : Normalisation
        Of healthy samples.
    regimes : Regimes
        The same that it has.
    calm : float, shape (n, 4)
        Healthy samples without surges, in the order of time.

    Returns
    -------
    normalisation : Normalisation
        A change between the coldest and the warmest regime just fits its clip.
    """
    column = CHANNELS.index("temperature")
    member = assign_regimes(calm.astype(np.float32), regimes)
    changes = np.flatnonzero(np.diff(member)) + 1
    began = np.zeros(len(member), np.intp)
    began[changes] = changes
    settled = np.arange(len(member)) - np.maximum.accumulate(began) >= SETTLED_S * RATE_HZ
    levels = [float(np.median(calm[settled & (member == each), column])) for each in range(len(regimes.centroids))]
    scale = (max(levels) - min(levels)) / CLIP

    def with_temperature(rows: tuple[tuple[float, ...], ...], values: Sequence[float]) -> tuple[tuple[float, ...], ...]:
        return tuple((*row[:column], value, *row[column + 1 :]) for row, value in zip(rows, values, strict=True))

    return replace(
        normalisation,
        centre=with_temperature(normalisation.centre, levels),
        scale=with_temperature(normalisation.scale, [scale] * len(levels)),
    )


def find_preprocessing(streams: Sequence[Stream]) -> WindowPreprocessing:
    """Find regimes and normalisation from machines in good health.

    Regimes are found on medians of five samples: a harmless surge of one sample is no regime.
    """
    healthy = np.concatenate([stream.values[stream.wear < 0.05] for stream in streams])
    calm = np.median(np.lib.stride_tricks.sliding_window_view(healthy, 5, axis=0), axis=-1)
    regimes = fit_regimes(calm, (CHANNELS.index("current"), CHANNELS.index("pressure")), 3)
    normalisation = fit_normalisation(healthy, "robust", regimes=regimes, clip=CLIP)
    return WindowPreprocessing(
        channels=tuple(
            Channel(name=name, unit=unit, low=RANGES[name][0], high=RANGES[name][1], stuck_after=20)
            for name, unit in zip(CHANNELS, UNITS, strict=True)
        ),
        length=LENGTH,
        hop=HOP,
        rate_hz=RATE_HZ,
        normalisation=settle_temperature(normalisation, regimes, calm),
        max_gap_s=0.5,
        max_hold=4,
    )


def score_streams(streams: Sequence[Stream], probabilities: Sequence[Floats], decision: Decision) -> Score:
    """Count lives whose failure was announced in time, and alarms that were wrong.

    Parameters
    ----------
    streams : sequence of Stream
        Machines.
    probabilities : sequence of float32, shape (n_windows, 2)
        What the model gave for each machine's windows.
    decision : Decision
        With the thresholds.

    Returns
    -------
    score : Score
        Over lives, with the gateway's usual rule.
    """
    total = Score(0, 0, 0, 0)
    for stream, rows in zip(streams, probabilities, strict=True):
        book, raised = AlarmBook(), []
        for end, row in zip(stream.ends(), rows, strict=True):
            finding: Finding = class_findings(row, LABELS, decision, "timeseries.failure")[0]
            at_s = float(end) / RATE_HZ
            steps = book.apply("alarm", finding, RULE, now_s=at_s, new_id="x")
            raised += [round(at_s * 1000) for step in steps if step.event_type == "raised"]
        asset = stream.lives[0].asset
        total += score_assets(stream.lives, {asset: raised}, end_ms=stream.lives[-1].ends_ms).score
    return total


def decide(threshold: float) -> Decision:
    """Give the decision for one threshold; an alarm clears well below it."""
    return Decision(
        normal=LABELS[:1],
        thresholds={LABELS[1]: Threshold(raise_at=round(threshold, 2), clear_at=round(threshold / 2, 2))},
    )


def choose_threshold(streams: Sequence[Stream], probabilities: Sequence[Floats]) -> float:
    """Find the middle of the thresholds that serve the lives of a validation set best."""
    candidates = np.arange(0.3, 0.96, 0.05)
    scores = np.array([score_streams(streams, probabilities, decide(each)).f1 for each in candidates])
    best = np.flatnonzero(scores >= scores.max() - 1e-9)
    for threshold, score in zip(candidates, scores, strict=True):
        print(f"  threshold {threshold:.2f}: F1 of lives {score:.4f}")
    return float(candidates[best[len(best) // 2]])


def train() -> None:
    """Train the float model, choose its threshold, and write data and recipe."""
    keras = start_keras(SEED)
    folder = working_folder(NAME)
    streams = {name: make_streams(name) for name in SETS}
    preprocessing = find_preprocessing(streams["training"])
    tensor = TensorSpec(name="input", dtype="float32", shape=(1, LENGTH, len(CHANNELS)))

    def inputs(name: str) -> list[Floats]:
        return [prepare(each.windows(), preprocessing, tensor, colour="rgb") for each in streams[name]]

    model = keras.Sequential(
        [
            keras.Input((LENGTH, len(CHANNELS))),
            keras.layers.LSTM(24),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    wear = np.concatenate([each.wear[each.ends()] for each in streams["training"]])
    clear = (wear < STILL_HEALTHY_WEAR) | (wear >= CLEARLY_FAILING_WEAR)
    x = np.concatenate(inputs("training"))[clear]
    y = (wear[clear] >= CLEARLY_FAILING_WEAR).astype(np.int64)
    steps = EPOCHS * -(-len(x) // BATCH)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(5e-3, steps), clipnorm=1.0),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=2)
    model.save(folder / "float.keras")

    validation = [np.asarray(model(each)) for each in inputs("validation")]
    threshold = choose_threshold(streams["validation"], validation)
    print(f"threshold {threshold:.2f}: {score_streams(streams['validation'], validation, decide(threshold))}")
    for name, every in (("calibration", "training"), ("evaluation", "evaluation")):
        chosen = streams[every]
        np.savez(
            folder / f"{name}.npz",
            x=np.concatenate([each.windows() for each in chosen]),
            y=np.concatenate([each.failing[each.ends()] for each in chosen]).astype(np.int64),
            group=np.concatenate([np.full(len(each.ends()), index) for index, each in enumerate(chosen)]),
        )
    _write_recipe(preprocessing, decide(threshold))


def _write_recipe(preprocessing: WindowPreprocessing, decision: Decision) -> None:
    write_recipe(
        ROOT / NAME / "recipe.toml",
        {
            "model": {
                "path": f"../../build/models/{NAME}/float.keras",
                "task": "classification",
                "labels": LABELS,
            },
            "data": {
                "calibration": f"../../build/models/{NAME}/calibration.npz",
                "evaluation": f"../../build/models/{NAME}/evaluation.npz",
                "calibration_samples": 1000,
            },
            "preprocessing": preprocessing,
            "decision": decision,
            "budget": {"metric": "accuracy", "max_drop": 0.01, "size_kb": 100.0},
            "method": {"quantize": "int8"},
            "output": {"bundle": f"{NAME}.edgebundle", "key": "../keys/release.pem"},
            "bundle": {"name": NAME, "version": "1.0.0", "release": 1},
        },
        why=(
            "Written by model.py: normalisation and thresholds are found from data.",
            f"To build again: python models/build.py {NAME}",
        ),
    )


if __name__ == "__main__":
    train()
