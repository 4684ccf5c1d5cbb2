"""The three released bundles as they lie in the repository: signed, sound, small, and as good as their cards say."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.bundle.manifest import Metric
from edge_runtime.bundle.reader import Bundle, read_bundle
from edge_runtime.bundle.signature import TrustedKeys, parse_public_key
from edge_runtime.compress.golden_samples import clearly_decided
from edge_runtime.compress.recipe import load_recipe
from edge_runtime.inference.opening import open_runtime
from edge_runtime.inference.probe import probe_bundle
from edge_runtime.timeseries.monitor import Monitor

MODELS = ("surface-defect", "machine-failure", "turbofan-rul")
LARGEST_BYTES = 500_000
_ROW = re.compile(
    r"^\| (\w+)(?: \(([\w-]+)\))? \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \| (\d+) \|$", re.MULTILINE
)


def load(project: Path, name: str) -> Bundle:
    key = project / "models" / "keys" / "release.pub.pem"
    trusted = TrustedKeys([parse_public_key(key.read_bytes(), key.name)])
    return read_bundle((project / "models" / name / f"{name}.edgebundle").read_bytes(), trusted)


@pytest.fixture(scope="module", params=MODELS)
def bundle(request: pytest.FixtureRequest, project: Path) -> Bundle:
    """A released bundle, read with the released key."""
    return load(project, request.param)


def metric(metrics: tuple[Metric, ...], name: str, label: str = "") -> Metric:
    return next(each for each in metrics if each.name == name and each.slice == label)


def test_bundle_is_signed_with_the_released_key(bundle: Bundle) -> None:
    assert bundle.verified


def test_bundle_is_below_500_kb(bundle: Bundle) -> None:
    assert len(bundle.data) < LARGEST_BYTES


def test_everything_in_the_model_is_int8(bundle: Bundle) -> None:
    facts = bundle.manifest.quantization
    assert (facts.precision, facts.integer_macs_pct, facts.integer_weight_bytes_pct) == ("int8", 100.0, 100.0)


def test_recurrent_models_are_marked_stateful(bundle: Bundle) -> None:
    stateful = [member.stateful for member in bundle.manifest.models]
    assert stateful == [bundle.manifest.name != "surface-defect"]


def test_golden_outputs_hold_in_a_child_process(bundle: Bundle) -> None:
    assert probe_bundle(bundle).verdict.rule in {"shipped", "tolerated"}


def test_golden_samples_are_decided_clearly_so_that_other_processors_agree(bundle: Bundle) -> None:
    golden = bundle.manifest.golden
    output = bundle.golden().outputs[golden.sets[0].key][0]
    assert clearly_decided(bundle.manifest, output, golden.max_lsb).all()


def test_card_states_the_metrics_of_the_manifest(bundle: Bundle, project: Path) -> None:
    card = (project / "models" / bundle.manifest.name / "CARD.md").read_text()
    metrics = bundle.manifest.metrics
    stated = {(name, label): numbers for name, label, *numbers in _ROW.findall(card)}
    assert stated == {
        (new.name, new.slice): [f"{value:.4f}" for value in (old.value, new.value, new.low, new.high)] + [str(new.n)]
        for old, new in zip(metrics.before, metrics.after, strict=True)
    }


def test_card_names_data_protocol_limits_and_licence(bundle: Bundle, project: Path) -> None:
    card = (project / "models" / bundle.manifest.name / "CARD.md").read_text()
    assert re.findall(r"^## (\w+)", card, re.MULTILINE) == ["Data", "Protocol", "Figures", "Limits", "Licence"]


def test_committed_recipe_is_the_one_that_was_built(bundle: Bundle, project: Path) -> None:
    recipe = load_recipe(project / "models" / bundle.manifest.name / "recipe.toml")
    manifest = bundle.manifest
    assert (recipe.preprocessing, recipe.decision, recipe.model.labels) == (
        manifest.preprocessing,
        manifest.decision,
        manifest.labels,
    )


def test_quantization_loses_at_most_a_point_of_accuracy(project: Path) -> None:
    losses = []
    for name in ("surface-defect", "machine-failure"):
        metrics = load(project, name).manifest.metrics
        losses.append(metric(metrics.before, "accuracy").value - metric(metrics.after, "accuracy").value)
    assert max(losses) <= 0.01


def test_private_key_is_not_in_the_repository(project: Path) -> None:
    assert "models/keys/release.pem" in (project / ".gitignore").read_text().splitlines()


@pytest.mark.shared_data
def test_int8_turbofan_model_through_the_monitor_is_within_half_a_cycle_of_float(
    project: Path, shared_data: Path
) -> None:
    bundle = load(project, "turbofan-rul")
    table = np.loadtxt(shared_data / "cmapss" / "test_FD001.txt.gz")
    truth = np.minimum(np.loadtxt(shared_data / "cmapss" / "RUL_FD001.txt"), 125.0)
    sensors = [6, 7, 8, 11, 12, 13, 15, 16, 17, 18, 19, 21, 24, 25]
    found = bundle.model("tflite")
    assert found is not None
    runtime = open_runtime(found[1], "tflite")
    guesses = []
    for unit in range(1, 101):
        rows = np.ascontiguousarray(table[table[:, 0] == unit][:, sensors], np.float32)
        guesses.append(Monitor(bundle.manifest, runtime).push(rows)[-1].value)
    runtime.close()
    rmse = float(np.sqrt(np.mean((np.array(guesses, float) - truth) ** 2)))
    assert rmse <= metric(bundle.manifest.metrics.before, "rmse").value + 0.5
