"""Input to findings, with tiny real models, in this process."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from msgspec.structs import replace

from edge_runtime.daemon import protocol
from edge_runtime.daemon.stream import Stream, build_pipeline, with_thresholds
from edge_runtime.errors import BundleError, BundleSignatureError, PayloadFormatError, PayloadSizeError
from edge_runtime.vision.decoding import decode_picture
from tests.bundles import CHANNELS, STRANGER, TRUSTED_PEM, image_bundle, image_model, window_bundle

MAX_PIXELS = 1 << 16
CHANNEL_UNITS = tuple((name, "") for name in CHANNELS)


def orders(states: dict[str, bytes] | None = None) -> protocol.Load:
    return protocol.Load((), (TRUSTED_PEM,), states or {}, MAX_PIXELS)


def image_plan(name: str = "surface", *sources: str, **changes: Any) -> protocol.PipelinePlan:
    cameras = tuple(protocol.SourcePlan(source) for source in sources or ("cam1",))
    fields: dict[str, Any] = {"bundle": image_bundle(), "thresholds": {}, "recorded": ()}
    return protocol.PipelinePlan(name=name, sources=cameras, **{**fields, **changes})


def window_plan(**changes: Any) -> protocol.PipelinePlan:
    source = protocol.SourcePlan("press-3", CHANNEL_UNITS, 16.0)
    fields: dict[str, Any] = {"bundle": window_bundle(), "thresholds": {}, "recorded": (), "sources": (source,)}
    return protocol.PipelinePlan(name="life", **{**fields, **changes})


def stream(*plans: protocol.PipelinePlan, states: dict[str, bytes] | None = None) -> Stream:
    return Stream([build_pipeline(plan, orders(states))[0] for plan in plans], max_pixels=MAX_PIXELS)


def picture(value: int = 128, *, height: int = 48, width: int = 64, ending: str = ".png") -> bytes:
    done, data = cv2.imencode(ending, np.full((height, width, 3), value, np.uint8))
    assert done
    return data.tobytes()


def frame(payload: bytes, source: str = "cam1") -> tuple[protocol.FrameTask, memoryview]:
    return protocol.FrameTask(1, source, 0, len(payload), 1000.0, "A-17"), memoryview(payload)


def block(values: npt.NDArray[np.float32], start: int) -> tuple[protocol.BlockTask, memoryview]:
    times = (np.arange(len(values)) + start) / 16.0
    payload = times.tobytes() + values.tobytes()
    rows, columns = values.shape
    return protocol.BlockTask(1, "press-3", 0, len(payload), rows, columns), memoryview(payload)


def samples(n: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=(n, 4)).astype(np.float32)


def test_a_picture_gives_the_findings_and_verdict_of_its_pipeline() -> None:
    (outcome,) = stream(image_plan()).process(*frame(picture()))
    assert (outcome.pipeline, [finding.label for finding in outcome.findings]) == ("surface", ["crack", "stain"])
    assert outcome.verdict in {"ok", "ng", "unsure"}
    assert outcome.at == 1000.0


def test_every_pipeline_on_a_camera_looks_at_its_picture() -> None:
    outcomes = stream(image_plan("one"), image_plan("two"), image_plan("three", "cam2")).process(*frame(picture()))
    assert [outcome.pipeline for outcome in outcomes] == ["one", "two"]


def test_the_same_picture_gives_the_same_findings_each_time() -> None:
    worker = stream(image_plan())
    first, second = (worker.process(*frame(picture(77)))[0] for _ in range(2))
    assert (first.findings, first.verdict) == (second.findings, second.verdict)


def test_a_source_without_a_pipeline_gives_nothing() -> None:
    assert stream(image_plan()).process(*frame(picture(), "cam9")) == []


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x00", b"\xff\xd8\xff\xe0", picture()[:80], b"\x89PNG\r\n\x1a\n" + bytes(40)],
    ids=["empty", "one byte", "start of a jpeg", "half a png", "png of zeros"],
)
def test_a_picture_that_does_not_decode_is_refused_for_every_pipeline(payload: bytes) -> None:
    outcomes = stream(image_plan("one"), image_plan("two")).process(*frame(payload))
    assert [(outcome.pipeline, outcome.reason, outcome.findings) for outcome in outcomes] == [
        ("one", "image_decode", ()),
        ("two", "image_decode", ()),
    ]


def test_a_picture_larger_than_allowed_is_refused() -> None:
    (outcome,) = stream(image_plan()).process(*frame(picture(height=257, width=256)))
    assert outcome.reason == "payload_size"


def test_a_picture_of_exactly_the_largest_size_is_taken() -> None:
    assert decode_picture(memoryview(picture(height=256, width=256)), max_pixels=MAX_PIXELS).shape == (256, 256, 3)


def test_a_grey_picture_gets_three_equal_channels() -> None:
    data = cv2.imencode(".png", np.full((8, 8), 99, np.uint8))[1].tobytes()
    assert np.array_equal(decode_picture(memoryview(data), max_pixels=64), np.full((8, 8, 3), 99, np.uint8))


def test_a_picture_that_wishes_to_be_turned_is_taken_as_the_sensor_gave_it() -> None:
    jpeg = picture(height=16, width=32, ending=".jpg")
    turn = (
        b"\xff\xe1\x00\x22Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    )
    turn += bytes(4)
    turned = jpeg[:2] + turn + jpeg[2:]
    assert decode_picture(memoryview(turned), max_pixels=MAX_PIXELS).shape == (16, 32, 3)


def test_errors_of_decoding_say_what_is_wrong() -> None:
    with pytest.raises(PayloadFormatError, match="truncated or damaged"):
        decode_picture(memoryview(b"no picture"), max_pixels=64)
    with pytest.raises(PayloadSizeError, match="9 x 8 exceeds 64 pixels"):
        decode_picture(memoryview(picture(height=8, width=9)), max_pixels=64)


def test_a_bundle_of_a_stranger_is_refused() -> None:
    with pytest.raises(BundleSignatureError):
        build_pipeline(image_plan(bundle=image_bundle(key=STRANGER)), orders())


@pytest.mark.parametrize("data", [b"", b"PK", bytes(1000)])
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        build_pipeline(image_plan(bundle=data), orders())


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({}, (0.6, 0.4)),
        ({"crack": (0.9, None)}, (0.9, 0.4)),
        ({"crack": (None, 0.1)}, (0.6, 0.1)),
        ({"*": (0.8, 0.7)}, (0.8, 0.7)),
        ({"*": (0.8, 0.7), "crack": (0.5, None)}, (0.5, 0.4)),
        ({"stain": (0.9, 0.9)}, (0.6, 0.4)),
    ],
)
def test_thresholds_of_the_configuration_replace_those_of_the_bundle(
    overrides: dict[str, tuple[float | None, float | None]], expected: tuple[float, float]
) -> None:
    threshold = with_thresholds(image_model().manifest, overrides).decision.thresholds["crack"]
    assert (threshold.raise_at, threshold.clear_at) == expected


def test_a_window_is_judged_when_it_is_full() -> None:
    worker = stream(window_plan())
    (early,) = worker.process(*block(samples(15), 0))
    (full,) = worker.process(*block(samples(1), 15))
    assert (len(early.findings), len(full.findings)) == (0, 1)
    assert full.at == 15 / 16.0


@pytest.mark.parametrize("cut", [1, 7, 16, 24, 39])
def test_another_worker_goes_on_where_one_stopped_to_the_bit(cut: int) -> None:
    values = samples(40)
    worker = stream(window_plan())
    steady = [*worker.process(*block(values[:cut], 0)), *worker.process(*block(values[cut:], cut))]
    (before,) = stream(window_plan()).process(*block(values[:cut], 0))
    assert before.state is not None
    (after,) = stream(window_plan(), states={"life/press-3": before.state}).process(*block(values[cut:], cut))
    assert before.findings + after.findings == steady[0].findings + steady[1].findings
    assert after.state == steady[1].state


def test_block_that_the_broker_delivers_again_is_taken_once_however_old_it_is() -> None:
    worker = stream(window_plan())
    first, later = block(samples(16), 0), block(samples(64), 16)
    worker.process(*first)
    worker.process(*later)
    (again,) = worker.process(replace(first[0], again=True), first[1])
    assert (again.findings, again.irregular) == ((), {"late": 16})


def test_block_delivered_again_that_was_never_taken_is_taken() -> None:
    task, payload = block(samples(16), 0)
    (outcome,) = stream(window_plan()).process(replace(task, again=True), payload)
    assert len(outcome.findings) == 1


@pytest.mark.parametrize("state", [b"", b"nonsense", b"\x92\xc4\x00\xc0"])
def test_a_state_that_cannot_be_read_begins_an_empty_window(state: bytes) -> None:
    (outcome,) = stream(window_plan(), states={"life/press-3": state}).process(*block(samples(16), 0))
    assert len(outcome.findings) == 1


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (protocol.SourcePlan("press-3", CHANNEL_UNITS[:3], 16.0), "pressure"),
        (protocol.SourcePlan("press-3", (*CHANNEL_UNITS[:3], ("pressure", "bar")), 16.0), "bar"),
        (protocol.SourcePlan("press-3", CHANNEL_UNITS, 50.0), "50 Hz"),
    ],
    ids=["a channel is missing", "another unit", "another rate"],
)
def test_a_sensor_that_does_not_fit_the_model_is_refused_by_what_differs(
    source: protocol.SourcePlan, word: str
) -> None:
    with pytest.raises(BundleError, match=word):
        build_pipeline(window_plan(sources=(source,)), orders())


def test_values_that_are_no_numbers_do_not_end_the_worker() -> None:
    values = np.full((16, 4), np.nan, np.float32)
    (outcome,) = stream(window_plan()).process(*block(values, 0))
    assert all(np.isfinite(finding.score) for finding in outcome.findings)


def window_task(values: npt.NDArray[np.float32], pipeline: str = "life") -> tuple[protocol.WindowTask, memoryview]:
    data = values.tobytes()
    return protocol.WindowTask(1, pipeline, 0, len(data), *values.shape), memoryview(data)


def test_abnormal_windows_are_handed_over_and_give_the_same_findings_when_judged_again() -> None:
    worker = stream(window_plan())
    (outcome,) = worker.process(*block(samples(400) * 3, 0))
    assert len(outcome.windows) == sum(finding.abnormal for finding in outcome.findings) > 0
    for window in outcome.windows:
        again = np.frombuffer(window.samples, np.float32).reshape(16, 4)
        (judged,) = worker.process(*window_task(again))
        assert judged.findings == outcome.findings[window.first : window.first + window.count]


def test_normal_windows_are_not_handed_over() -> None:
    (outcome,) = stream(window_plan()).process(*block(samples(16) * 0, 0))
    assert (len(outcome.findings), outcome.windows) == (1, ())


def test_windows_handed_over_stay_within_the_bound() -> None:
    always = {"*": (1e9, 1e10)}
    (outcome,) = stream(window_plan(thresholds=always)).process(*block(samples(8000), 0))
    n_abnormal = sum(finding.abnormal for finding in outcome.findings)
    sizes = [window.size for window in outcome.windows]
    assert sum(sizes) <= protocol.WINDOWS_BYTES < n_abnormal * sizes[0]
    assert sum(sizes) + sizes[0] > protocol.WINDOWS_BYTES


def test_windows_of_one_block_are_not_handed_over_with_the_next() -> None:
    worker = stream(window_plan())
    worker.process(*block(samples(400) * 3, 0))
    (outcome,) = worker.process(*block(samples(1), 400))
    assert outcome.windows == ()


def test_a_window_of_another_shape_is_refused() -> None:
    (outcome,) = stream(window_plan()).process(*window_task(samples(15)))
    assert outcome.reason == "window_shape"


def test_a_window_for_a_pipeline_that_is_not_there_gives_nothing() -> None:
    assert stream(window_plan()).process(*window_task(samples(16), "other")) == []
