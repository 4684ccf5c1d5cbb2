"""The line: one seed decides every byte, and truth goes with what is sent."""

from __future__ import annotations

import threading

import cv2
import msgspec
import numpy as np
import pytest

from edge_runtime.simulator.line import FIRST_LIVE_SEED, TRAINING_SEEDS, LineSettings, TimedMessage, line_messages
from edge_runtime.simulator.publisher import MemoryPublisher
from edge_runtime.simulator.running import run_messages
from edge_runtime.simulator.truth import AssetTruth, PartTruth

SETTINGS = LineSettings(seed=FIRST_LIVE_SEED + 5, height=96, width=128)


def play(settings: LineSettings = SETTINGS, duration_s: float = 12.0) -> list[TimedMessage]:
    return list(line_messages(settings, start_ms=1_700_000_000_000, duration_s=duration_s))


def test_the_same_seed_gives_the_same_messages() -> None:
    assert play() == play()


def test_another_seed_gives_others() -> None:
    assert play() != play(LineSettings(seed=FIRST_LIVE_SEED + 6, height=96, width=128))


def test_messages_come_in_the_order_of_time_and_end_in_time() -> None:
    times = [message.at_s for message in play()]
    assert times == sorted(times)
    assert times[-1] < 12.0


def test_every_frame_has_a_truth_with_its_part() -> None:
    messages = play()
    frames = [each for each in messages if each.topic.endswith("/frame")]
    truths = [msgspec.json.decode(each.payload, type=PartTruth) for each in messages if "/truth/part/" in each.topic]
    assert len(frames) > 20
    assert [each.metadata.part for each in frames if each.metadata] == [each.part for each in truths]
    assert {each.verdict for each in truths} == {"ok", "ng"}
    assert all((each.verdict == "ok") == (each.label == "good") == (not each.boxes) for each in truths)


def test_a_frame_is_a_jpeg_of_the_stated_size() -> None:
    frame = next(each for each in play() if each.topic.endswith("/frame"))
    pixels = cv2.imdecode(np.frombuffer(frame.payload, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.shape == (96, 128, 3)


def test_sensor_blocks_follow_each_other_without_a_gap() -> None:
    blocks = [each for each in play() if each.topic == "plant/sensor/machine1/telemetry"]
    starts = [each.metadata.ts_ms for each in blocks if each.metadata]
    assert starts == [1_700_000_000_000 + 500 * index for index in range(len(blocks))]
    assert [each.metadata.seq for each in blocks if each.metadata] == list(range(1, len(blocks) + 1))


def test_json_blocks_hold_the_same_values() -> None:
    settings = LineSettings(seed=SETTINGS.seed, height=96, width=128, sensor_format="json")
    raw = next(each for each in play() if "/sensor/" in each.topic)
    text = next(each for each in play(settings) if "/sensor/" in each.topic)
    values = np.array(msgspec.json.decode(text.payload)["values"])
    assert np.allclose(values, np.frombuffer(raw.payload, "<f4").reshape(-1, 4), atol=1e-4)


def test_a_life_is_told_when_it_begins() -> None:
    settings = LineSettings(seed=SETTINGS.seed, n_cameras=0, life_s=(5.0, 6.0))
    lives = [
        msgspec.json.decode(each.payload, type=AssetTruth)
        for each in play(settings, 20.0)
        if each.topic == "plant/truth/asset/machine1"
    ]
    assert len(lives) >= 3
    assert [each.life for each in lives] == list(range(1, len(lives) + 1))
    assert all((each.failing_from_ms is None) == (not each.fails) for each in lives)


def test_training_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="differs from training seeds"):
        LineSettings(seed=TRAINING_SEEDS[-1])


def test_running_as_fast_as_possible_publishes_everything_in_order() -> None:
    publisher = MemoryPublisher()
    messages = play()
    sent = run_messages(messages, publisher, speed=0, stop=threading.Event())
    assert sent.messages == len(messages) == len(publisher.messages)
    assert [topic for topic, _, _ in publisher.messages] == [each.topic for each in messages]


def test_a_stop_ends_the_run() -> None:
    stop = threading.Event()
    stop.set()
    assert run_messages(play(), MemoryPublisher(), speed=0, stop=stop).messages == 0
