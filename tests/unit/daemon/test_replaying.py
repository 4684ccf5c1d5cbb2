"""Inputs of alarms through a worker of their own: the same, different, or refused."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace

from edge_runtime.bundle.manifest import Channel, WindowPreprocessing
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.signature import TrustedKeys, parse_public_key
from edge_runtime.config import AlertRule, Bundles, Config, Gateway, Pipeline, config_sha256
from edge_runtime.daemon import protocol
from edge_runtime.daemon.past_alarm import PastAlarm
from edge_runtime.daemon.replaying import Replayed, load_release, replay_alarm
from edge_runtime.daemon.stream import Stream, build_pipeline
from edge_runtime.demo.released import released_bundle, released_key
from edge_runtime.errors import BundleError, BundleSignatureError, UsageError
from edge_runtime.findings import Finding
from edge_runtime.messages import Alert
from edge_runtime.mqtt.evidence import WindowEvidence, write_window
from tests.bundles import CHANNELS, TRUSTED, TRUSTED_PEM, image_bundle, trusting_store, window_bundle
from tests.unit.messages.payloads import EXAMPLES

MAX_PIXELS = 1 << 20
PICTURE = bytes(cv2.imencode(".jpg", np.random.default_rng(3).integers(0, 256, (48, 64, 3), np.uint8))[1])
CHANNEL_UNITS = tuple((name, "") for name in CHANNELS)


def gateway(folder: Path, **rule: Any) -> Config:
    """A gateway with both tiny bundles."""
    store = trusting_store(folder / "bundles")
    for data in (image_bundle(), window_bundle()):
        store.install(read_bundle(data, TRUSTED), activate=True)
    rules = (AlertRule(**rule),) if rule else ()
    return Config(
        gateway=Gateway(id="gw1"),
        bundles=Bundles(store=str(folder / "bundles")),
        pipelines=(Pipeline(id="surface", kind="inspection", bundle="tiny-surface", cameras=("cam1",), rules=rules),),
    )


def run_here(plan: protocol.PipelinePlan, pem: bytes, task: protocol.Task, payload: bytes) -> protocol.Outcome:
    """Run an input in this process: the first outcome."""
    pipeline, _ = build_pipeline(plan, protocol.Load((), (pem,), {}, MAX_PIXELS))
    return Stream([pipeline], max_pixels=MAX_PIXELS).process(task, memoryview(payload))[0]


def alarm(config: Config, finding: Finding, evidence: bytes, bundle: bytes, **changes: Any) -> PastAlarm:
    """Tell an alarm of a finding."""
    example, found = EXAMPLES["alert"], read_bundle(bundle, TRUSTED)
    assert isinstance(example, Alert)
    fields: dict[str, Any] = {name: getattr(finding, name) for name in ("kind", "label", "score", "threshold")}
    fields |= {name: getattr(finding, name) for name in ("value", "value_low", "value_high")}
    fields |= {"model": found.manifest.name, "model_sha256": found.digest, "config_sha256": config_sha256(config)}
    fields |= {"event_type": "raised", "evidence_sha256": hashlib.sha256(evidence).hexdigest()}
    return PastAlarm(replace(example, **{**fields, **changes}), evidence)


def pictured(config: Config, **changes: Any) -> PastAlarm:
    """An alarm of the picture."""
    plan = protocol.PipelinePlan("surface", image_bundle(), (protocol.SourcePlan("cam1"),), {}, ())
    outcome = run_here(plan, TRUSTED_PEM, protocol.FrameTask(1, "cam1", 0, 0, 0.0, None), PICTURE)
    return alarm(config, outcome.findings[0], PICTURE, image_bundle(), **{"pipeline": "surface", **changes})


def told(replayed: Replayed) -> list[str]:
    return replayed.as_text().splitlines()


def test_a_picture_gives_the_same_score(tmp_path: Path) -> None:
    config = gateway(tmp_path)
    replayed = replay_alarm(config, pictured(config))
    assert (replayed.same, replayed.exit_code, replayed.now) == (True, 0, replayed.then)
    assert told(replayed)[-1] == "same"


def test_a_window_of_a_pipeline_that_is_configured_no_longer_gives_the_same_value(tmp_path: Path) -> None:
    config = gateway(tmp_path)
    samples = np.random.default_rng(5).normal(size=(16, 4)).astype("<f4")
    plan = protocol.PipelinePlan("life", window_bundle(), (protocol.SourcePlan("press", CHANNEL_UNITS, 16.0),), {}, ())
    outcome = run_here(plan, TRUSTED_PEM, protocol.WindowTask(1, "life", 0, 0, 16, 4), samples.tobytes())
    window = WindowEvidence("life", "press", CHANNEL_UNITS, 16.0, bytes(8 * 16), samples.tobytes())
    past = alarm(config, outcome.findings[0], write_window(window), window_bundle(), pipeline="life")
    replayed = replay_alarm(config, past)
    assert (replayed.same, replayed.now["value"]) == (True, outcome.findings[0].value)


def test_another_score_is_told_beside_the_one_that_raised_the_alarm(tmp_path: Path) -> None:
    config = gateway(tmp_path, raise_at=0.75)
    past = pictured(config, score=0.123456789, engine="litert 1.0 other", config_sha256="0" * 64)
    replayed = replay_alarm(config, past)
    assert (replayed.same, replayed.exit_code) == (False, 3)
    assert f"score    0.123456789 then, {replayed.now['score']!r} now" in told(replayed)
    assert f"engine   {replayed.engine_now}, then litert 1.0 other" in told(replayed)
    assert "limit    0.6 then, 0.75 now" in told(replayed)
    assert "config   not the one that was in force (config_sha256 differs)" in told(replayed)
    assert told(replayed)[-1] == "different"


def test_an_input_that_gives_no_finding_now_says_why(tmp_path: Path) -> None:
    config = gateway(tmp_path)
    past = PastAlarm(pictured(config).alert, PICTURE[:100])
    replayed = replay_alarm(config, past)
    assert (replayed.same, replayed.now) == (False, {})
    assert "image_decode" in replayed.reason


def test_evidence_that_is_no_window_is_refused(tmp_path: Path) -> None:
    config = gateway(tmp_path)
    manifest = read_bundle(window_bundle(), TRUSTED)
    past = pictured(config, model="tiny-life", model_sha256=manifest.digest)
    with pytest.raises(UsageError, match="the evidence of alert"):
        replay_alarm(config, past)


def test_a_release_that_is_gone_is_asked_for(tmp_path: Path) -> None:
    config = gateway(tmp_path)
    past = pictured(config, model_sha256="0" * 64)
    with pytest.raises(BundleError, match=r"is not in .*edge-runtime bundle install FILE"):
        replay_alarm(config, past)


def test_a_release_whose_file_was_removed_is_asked_for(tmp_path: Path) -> None:
    config = gateway(tmp_path)
    past = pictured(config)
    for path in tmp_path.rglob("*.edgebundle"):
        path.unlink()
    with pytest.raises(BundleError, match="is not in"):
        replay_alarm(config, past)


def test_a_release_whose_signer_is_trusted_no_longer_is_refused(tmp_path: Path) -> None:
    config = gateway(tmp_path)
    past = pictured(config)
    store = trusting_store(tmp_path / "bundles")
    store.trust.remove(store.trust.keys().key_ids[0])
    with pytest.raises(BundleSignatureError):
        replay_alarm(config, past)


def test_an_alert_without_a_model_cannot_be_replayed(tmp_path: Path) -> None:
    config = gateway(tmp_path)
    past = pictured(config, model=None)
    with pytest.raises(UsageError, match="names no model"):
        load_release(trusting_store(tmp_path / "bundles"), past.alert)


def test_windows_of_a_recurrent_model_give_the_same_value_whatever_was_judged_before() -> None:
    """The released LSTM; every window is abnormal by its threshold."""
    data = released_bundle("turbofan-rul")
    wanted = read_bundle(data, TrustedKeys([parse_public_key(released_key(), "release")])).manifest.preprocessing
    assert isinstance(wanted, WindowPreprocessing)
    channels = tuple((channel.name, channel.unit) for channel in wanted.channels)
    source = protocol.SourcePlan("engine1", channels, wanted.rate_hz)
    plan = protocol.PipelinePlan("rul", data, (source,), {"*": (1e6, 1e7)}, ())
    pipeline, _ = build_pipeline(plan, protocol.Load((), (released_key(),), {}, MAX_PIXELS))
    worker = Stream([pipeline], max_pixels=MAX_PIXELS)
    values = ramp(wanted.channels, wanted.length + 15)
    block = np.arange(float(len(values))).tobytes() + values.tobytes()
    rows, columns = values.shape
    (outcome,) = worker.process(protocol.BlockTask(1, "engine1", 0, len(block), rows, columns), memoryview(block))
    assert len({finding.score for finding in outcome.findings}) > 3
    for window in reversed(outcome.windows):
        task = protocol.WindowTask(1, "rul", 0, 0, wanted.length, columns)
        (again,) = worker.process(task, memoryview(window.samples))
        assert again.findings == outcome.findings[window.first : window.first + window.count]


def ramp(channels: tuple[Channel, ...], rows: int) -> npt.NDArray[np.float32]:
    """Through the range of every channel, so that windows differ."""
    ends = [(0.0 if each.low is None else each.low, 1.0 if each.high is None else each.high) for each in channels]
    return np.stack([np.linspace(low, high, rows) for low, high in ends], axis=1).astype(np.float32)
