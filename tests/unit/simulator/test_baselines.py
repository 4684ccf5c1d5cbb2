"""The trivial rules work as rules, and are too weak for the line."""

from __future__ import annotations

import msgspec
import numpy as np

from edge_runtime.simulator.baselines import ThreeSigmaRule, fit_brightness, mean_brightness
from edge_runtime.simulator.line import FIRST_LIVE_SEED, LineSettings, line_messages
from edge_runtime.simulator.machines import RATE_HZ
from edge_runtime.simulator.scoring import score_assets, score_parts
from edge_runtime.simulator.truth import AssetTruth, PartTruth


def test_a_jump_of_many_deviations_raises_once() -> None:
    rule = ThreeSigmaRule()
    rng = np.random.default_rng(0)
    assert not rule.push(rng.normal(size=(200, 2)).astype(np.float32))
    assert rule.push(np.full((5, 2), 50, np.float32))
    assert not rule.push(np.full((5, 2), 50, np.float32))


def test_bytes_that_are_no_picture_have_no_brightness() -> None:
    assert np.isnan(mean_brightness(b"no picture"))


def test_both_rules_score_below_0_8_on_a_live_line() -> None:
    settings = LineSettings(seed=FIRST_LIVE_SEED + 77, parts_per_s=1.2)
    rule = fit_brightness()
    said: dict[str, str] = {}
    truth: dict[str, str] = {}
    raised: dict[str, list[int]] = {}
    lives: list[AssetTruth] = []
    rules = {asset: ThreeSigmaRule() for asset in settings.assets}
    for message in line_messages(settings, start_ms=0, duration_s=60.0):
        levels = message.topic.split("/")
        if levels[1] == "cam" and message.metadata and message.metadata.part:
            said[message.metadata.part] = rule.verdict(message.payload)
        elif levels[1:3] == ["truth", "part"]:
            part = msgspec.json.decode(message.payload, type=PartTruth)
            truth[part.part] = part.verdict
        elif levels[1:3] == ["truth", "asset"]:
            lives.append(msgspec.json.decode(message.payload, type=AssetTruth))
        elif rules[levels[2]].push(np.frombuffer(message.payload, "<f4").reshape(-1, 4)):
            raised.setdefault(levels[2], []).append(round(message.at_s * 1000 - 10_000 / RATE_HZ))
    assert score_parts(truth, said).f1 < 0.8
    assert score_assets(lives, raised, end_ms=60_000).score.f1 < 0.8
