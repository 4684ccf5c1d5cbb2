"""Models with flipped bits, and all third-party models, through the probe: each runs or is refused."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from edge_runtime.errors import InferenceError
from edge_runtime.inference.opening import Format
from edge_runtime.inference.probe import ProbeLimits, probe_model
from tests.bundles import MODELS
from tests.endurance.results import record

SEED = 20_261_122
LIMITS = ProbeLimits(wall_s=10, cpu_s=5)
COMMAND = "make test-long (tests/endurance/test_flipped_models.py)"


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Flip one to eight bits."""
    damaged = bytearray(data)
    for _ in range(rng.randrange(1, 9)):
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def probed(data: bytes, model_format: Format) -> str:
    """What the probe says of a model in one word."""
    try:
        probe_model(data, model_format, limits=LIMITS)
    except InferenceError as error:
        return "ended" if "ended" in str(error) or "killed" in str(error) else "refused"
    return "run"


def told(words: Counter[str]) -> str:
    """Say it in a row."""
    return f"{words['run']} run, {words['refused']} refused by the engine, {words['ended']} ended the child only"


@pytest.mark.parametrize(
    "n",
    [pytest.param(24, id="24"), pytest.param(2_000, id="2,000", marks=[pytest.mark.long, pytest.mark.timeout(7200)])],
)
def test_flipped_model_runs_or_is_refused_and_takes_nothing_with_it(n: int) -> None:
    rng = random.Random(SEED)
    paths = [
        MODELS / name
        for name in ("image_int8.tflite", "recurrent_float.tflite", "window_int8.tflite", "image_int8.onnx")
    ]
    words = Counter(
        probed(flipped(path.read_bytes(), rng), "onnx" if path.suffix == ".onnx" else "tflite")
        for number in range(n)
        for path in [paths[number % len(paths)]]
    )
    assert words.total() == n
    assert set(words) <= {"run", "refused", "ended"}
    if n == 2_000:
        record(
            "2,000 models with flipped bits through the probe",
            goal="each run or refused",
            measured=told(words),
            command=COMMAND,
            **words,
        )


@pytest.mark.shared_data
@pytest.mark.long
@pytest.mark.timeout(3600)
def test_all_third_party_models_run_or_are_refused(shared_data: Path) -> None:
    paths = sorted(each for each in (shared_data / "models").rglob("*") if each.suffix in {".tflite", ".onnx"})
    words = Counter(probed(path.read_bytes(), "onnx" if path.suffix == ".onnx" else "tflite") for path in paths)
    assert words.total() == len(paths) > 100
    record(
        f"{len(paths)} third-party models through the probe",
        goal="each run or refused",
        measured=told(words),
        command=COMMAND,
        **words,
    )
