"""A bundle reaches the gateway in the order of the contract, and only when every step agrees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from edge_runtime.bundle.golden import pack_golden
from edge_runtime.bundle.manifest import GoldenSet, Limits, ModelMember
from edge_runtime.bundle.reader import read_bundle, read_unverified
from edge_runtime.bundle.store import BundleStore
from edge_runtime.errors import (
    AccuracyGateError,
    BundleCompatibilityError,
    BundleError,
    BundleRollbackError,
    BundleSignatureError,
    HostEnvironmentError,
    InvocationError,
    ModelLoadError,
)
from edge_runtime.inference.golden import run_samples
from edge_runtime.inference.loading import install_bundle, load_active, open_checked, recorded_sets, roll_back
from edge_runtime.inference.opening import open_runtime
from edge_runtime.inference.probe import ProbeLimits, probe_bundle
from tests.bundles import (
    MODELS,
    STRANGER,
    TRUSTED,
    TinyModel,
    image_bundle,
    image_model,
    sign_tiny,
    trusting_store,
    window_bundle,
)

NAME = "tiny-surface"
FOREIGN = GoldenSet(engine="litert", version="0.0.1", instruction_set="mips-baseline", key="recorded")


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    return trusting_store(tmp_path)


def foreign_bundle(*, shift: int = 0, **changes: Any) -> bytes:
    """Sign the image bundle as if its golden outputs came from another machine, ``shift`` steps away."""
    model = image_model()
    vectors = read_bundle(image_bundle(), TRUSTED).golden()
    (outputs,) = vectors.outputs["recorded"]
    moved = np.clip(outputs.astype(np.int16) + shift, -128, 127).astype(np.int8)
    golden = pack_golden(vectors.inputs, vectors.references, {"recorded": [moved]})
    manifest = replace(model.manifest, golden=replace(model.manifest.golden, sets=(FOREIGN,)))
    return sign_tiny(TinyModel(manifest, {**model.members, "golden.npz": golden}), **changes)


def bundle_of_two_forms() -> bytes:
    """Sign the image bundle with an ONNX form, too, and the golden outputs of both engines."""
    model = image_model()
    onnx_form = (MODELS / "image_int8.onnx").read_bytes()
    vectors = read_bundle(image_bundle(), TRUSTED).golden()
    runtime = open_runtime(onnx_form, "onnx")
    identity = runtime.identity
    second = GoldenSet(
        engine=identity.engine, version=identity.version, instruction_set=identity.instruction_set, key="onnx"
    )
    outputs = {**vectors.outputs, "onnx": run_samples(runtime, vectors.inputs)}
    golden = replace(model.manifest.golden, sets=(*model.manifest.golden.sets, second))
    forms = (*model.manifest.models, ModelMember(format="onnx", member="model.onnx"))
    members = {
        **model.members,
        "model.onnx": onnx_form,
        "golden.npz": pack_golden(vectors.inputs, vectors.references, outputs),
    }
    return sign_tiny(TinyModel(replace(model.manifest, golden=golden, models=forms), members))


def active(store: BundleStore) -> int | None:
    stored = store.active(NAME)
    return None if stored is None else stored.release


def test_sound_bundle_is_installed_and_active(store: BundleStore) -> None:
    installation = install_bundle(image_bundle(), store)
    assert active(store) == 1
    assert installation.replaced is None
    assert installation.report.verdict.rule == "shipped"


def test_upgrade_names_what_it_replaced(store: BundleStore) -> None:
    install_bundle(image_bundle(), store)
    replaced = install_bundle(image_bundle(release=2), store).replaced
    assert replaced is not None
    assert replaced.release == 1


def test_window_bundle_is_installed(store: BundleStore) -> None:
    assert install_bundle(window_bundle(), store).bundle.manifest.name == "tiny-life"


def test_stranger_is_refused_and_the_old_release_stays(store: BundleStore) -> None:
    install_bundle(image_bundle(), store)
    with pytest.raises(BundleSignatureError):
        install_bundle(image_bundle(release=2, key=STRANGER), store)
    assert active(store) == 1


def test_older_release_is_refused_before_it_is_probed(store: BundleStore) -> None:
    install_bundle(image_bundle(release=2), store)
    with pytest.raises(BundleRollbackError):
        install_bundle(image_bundle(release=1), store, limits=ProbeLimits(wall_s=0.0))


def test_model_that_cannot_be_loaded_is_refused_and_leaves_no_trace(store: BundleStore) -> None:
    install_bundle(image_bundle(), store)
    model = image_model()
    broken = TinyModel(model.manifest, {**model.members, "model.tflite": b"\x00" * 100})
    with pytest.raises(ModelLoadError):
        install_bundle(sign_tiny(broken, release=2), store)
    assert [line.stored.release for line in store.list()] == [1]


def test_refused_release_does_not_raise_the_bar(store: BundleStore) -> None:
    install_bundle(image_bundle(), store)
    with pytest.raises(AccuracyGateError):
        install_bundle(image_bundle(release=9, limits=Limits(latency_ms_p95=1e-6)), store)
    install_bundle(image_bundle(release=2), store)
    assert active(store) == 2


def test_slow_model_is_refused_with_the_measured_time(store: BundleStore) -> None:
    with pytest.raises(AccuracyGateError, match="latency p95") as caught:
        install_bundle(image_bundle(limits=Limits(latency_ms_p95=1e-6)), store)
    assert caught.value.metrics["latency_ms_p95"] > 1e-6


def test_hungry_model_is_refused_with_the_measured_memory(store: BundleStore) -> None:
    with pytest.raises(AccuracyGateError, match=r"memory \d+ KiB"):
        install_bundle(image_bundle(limits=Limits(ram_kb=0.001)), store)


def test_model_within_its_limits_is_installed(store: BundleStore) -> None:
    install_bundle(image_bundle(limits=Limits(latency_ms_p95=1000.0, ram_kb=100_000.0)), store)
    assert active(store) == 1


def test_probe_that_takes_too_long_refuses(store: BundleStore) -> None:
    with pytest.raises((ModelLoadError, InvocationError), match="no end within"):
        install_bundle(image_bundle(), store, limits=ProbeLimits(wall_s=0.001))


def test_changed_golden_outputs_of_this_engine_are_refused(store: BundleStore) -> None:
    model = image_model()
    vectors = read_bundle(image_bundle(), TRUSTED).golden()
    (outputs,) = vectors.outputs["recorded"]
    golden = pack_golden(vectors.inputs, vectors.references, {"recorded": [outputs ^ 1]})
    with pytest.raises(BundleCompatibilityError, match="the bundle's set recorded"):
        install_bundle(sign_tiny(TinyModel(model.manifest, {**model.members, "golden.npz": golden})), store)


def test_bundle_of_another_machine_is_tolerated_and_recorded(store: BundleStore) -> None:
    installation = install_bundle(foreign_bundle(shift=1), store)
    assert installation.report.verdict.rule == "tolerated"
    assert len(recorded_sets(installation.bundle, store)) == 1


def test_later_start_must_equal_what_was_recorded(store: BundleStore) -> None:
    install_bundle(foreign_bundle(shift=1), store)
    assert load_active(NAME, store).report.verdict.rule == "recorded"


def test_later_start_that_differs_from_the_record_is_refused(store: BundleStore) -> None:
    installation = install_bundle(foreign_bundle(shift=1), store)
    ((identity, (outputs,)),) = recorded_sets(installation.bundle, store).items()
    recorded = {identity: (outputs ^ 1,)}
    with pytest.raises(BundleCompatibilityError, match="recorded before"):
        probe_bundle(installation.bundle, recorded=recorded)


def test_bundle_of_another_machine_that_is_too_far_is_refused(store: BundleStore) -> None:
    with pytest.raises(BundleCompatibilityError, match="steps"):
        install_bundle(foreign_bundle(shift=5), store)
    assert active(store) is None


@pytest.mark.parametrize(
    ("engine", "member"), [(None, "model.tflite"), ("litert", "model.tflite"), ("onnxruntime", "model.onnx")]
)
def test_wanted_engine_chooses_the_form_of_the_model(engine: str | None, member: str, store: BundleStore) -> None:
    report = install_bundle(bundle_of_two_forms(), store, engine=engine).report
    assert report.member.member == member
    assert report.verdict.rule == "shipped"


def test_engine_without_a_form_is_refused_with_the_reason(store: BundleStore) -> None:
    with pytest.raises(ModelLoadError, match="onnxruntime runs onnx models"):
        install_bundle(image_bundle(), store, engine="onnxruntime")


def test_nothing_installed_is_one_clear_error(store: BundleStore) -> None:
    with pytest.raises(HostEnvironmentError, match="bundle install"):
        load_active(NAME, store)


def test_unverified_bundle_is_not_probed() -> None:
    with pytest.raises(BundleError, match="without verification"):
        probe_bundle(read_unverified(image_bundle()))


def test_probed_bundle_is_opened_and_checked_again_in_this_process() -> None:
    bundle = read_bundle(image_bundle(), TRUSTED)
    runtime, verdict = open_checked(bundle)
    assert verdict.rule == "shipped"
    assert runtime.interface.inputs == bundle.manifest.inputs


def test_going_back_by_hand_with_the_file(tmp_path: Path) -> None:
    store = trusting_store(tmp_path, keep_per_name=0)
    for release in (1, 2, 3):
        store.install(read_bundle(image_bundle(release=release), TRUSTED), activate=True)
    install_bundle(image_bundle(release=1), store, by_hand=True)
    assert active(store) == 1


def test_rollback_is_probed_and_names_what_it_replaced(store: BundleStore) -> None:
    for release in (1, 2):
        store.install(read_bundle(image_bundle(release=release), TRUSTED), activate=True)
    installation = roll_back(NAME, store)
    assert installation.replaced is not None
    assert (active(store), installation.replaced.release) == (1, 2)


def test_rollback_to_a_model_that_does_not_run_any_more_is_refused(store: BundleStore) -> None:
    slow = read_bundle(image_bundle(limits=Limits(latency_ms_p95=1e-6)), TRUSTED)
    store.install(slow, activate=True)
    store.install(read_bundle(image_bundle(release=2), TRUSTED), activate=True)
    with pytest.raises(AccuracyGateError):
        roll_back(NAME, store)
    assert active(store) == 2


def test_rollback_without_an_earlier_release_is_refused(store: BundleStore) -> None:
    with pytest.raises(BundleRollbackError, match="no previous release"):
        roll_back(NAME, store)


def test_supervisor_side_loads_no_engine_and_no_numba(tmp_path: Path, project: Path) -> None:
    (tmp_path / "b.edgebundle").write_bytes(image_bundle())
    trusting_store(tmp_path / "store")
    code = (
        "import sys; from pathlib import Path\n"
        "from edge_runtime.bundle.store import BundleStore\n"
        "from edge_runtime.inference.loading import install_bundle\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "install_bundle((folder / 'b.edgebundle').read_bytes(), BundleStore(folder / 'store'))\n"
        "heavy = {'ai_edge_litert', 'tflite_runtime', 'onnxruntime', 'numba', 'cv2', 'tensorflow', 'keras'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=project, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
    assert done.stderr == ""
