"""A small factory: cameras over a line of parts, machines with sensors, all of it decided by one seed.

Everything is a stream of timed messages. The same settings give the same bytes in the same order, at any speed.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import cv2
import msgspec
import numpy as np

from edge_runtime.mqtt.metadata import Metadata
from edge_runtime.simulator.machines import CHANNELS, RATE_HZ, Machine
from edge_runtime.simulator.surfaces import DEFECT_CLASSES, MATERIALS, render_part
from edge_runtime.simulator.truth import AssetTruth, PartTruth

#: Seeds below are for training and tuning, seeds from here on for live lines: the two never meet.
FIRST_LIVE_SEED: Final = 1_000_000
#: Seeds that training draws from.
TRAINING_SEEDS: Final = range(FIRST_LIVE_SEED)
#: Seeds that a line may have.
LIVE_SEEDS: Final = range(FIRST_LIVE_SEED, 1 << 31)

_BLOCK: Final = 10
_JPEG_QUALITY: Final = (80, 95)


def live_seed(number: int) -> int:
    """Map any number into the live seeds; one that is live already stays.

    Examples
    --------
    >>> live_seed(7), live_seed(1_000_007)
    (1000007, 1000007)
    """
    return number if number in LIVE_SEEDS else FIRST_LIVE_SEED + number % (LIVE_SEEDS.stop - FIRST_LIVE_SEED)


@dataclass(frozen=True, slots=True)
class LineSettings:
    """What the factory is like.

    Attributes
    ----------
    seed : int
        Of everything; one of ``LIVE_SEEDS``.
    n_cameras, n_machines : int
        Sources.
    parts_per_s : float
        Parts per second in front of each camera.
    defect_share : float
        Share of parts with a defect.
    failing_share : float
        Share of machine lives that end in a failure.
    difficulty : float
        0 to 1, of pictures and machines.
    height, width : int
        Size of a frame in pixels.
    life_s : (float, float)
        Shortest and longest life of a machine.
    topic : str
        First level of every topic.
    sensor_format : {"f32", "json"}
        Payload of the sensor messages.
    """

    seed: int
    n_cameras: int = 2
    n_machines: int = 6
    parts_per_s: float = 3.0
    defect_share: float = 0.3
    failing_share: float = 0.6
    difficulty: float = 0.5
    height: int = 480
    width: int = 640
    life_s: tuple[float, float] = (30.0, 50.0)
    topic: str = "plant"
    sensor_format: Literal["f32", "json"] = "f32"

    def __post_init__(self) -> None:
        if self.seed not in LIVE_SEEDS:
            raise ValueError(f"a line's seed is {LIVE_SEEDS.start} or more, so that it differs from training seeds")

    @property
    def cameras(self) -> tuple[str, ...]:
        """Ids of the cameras."""
        return tuple(f"cam{index + 1}" for index in range(self.n_cameras))

    @property
    def assets(self) -> tuple[str, ...]:
        """Ids of the machines."""
        return tuple(f"machine{index + 1}" for index in range(self.n_machines))


@dataclass(frozen=True, slots=True)
class TimedMessage:
    """One message and when it is due.

    Attributes
    ----------
    at_s : float
        Since the line's start.
    topic : str
        Where it goes.
    payload : bytes
        What is published.
    metadata : Metadata or None
        Said about the payload; its time is that of the line's start plus ``at_s``.
    qos : int
        0 or 1.
    properties : tuple of (name, value)
        User properties that are sent as they are, in place of ``metadata``.
    """

    at_s: float
    topic: str
    payload: bytes
    metadata: Metadata | None
    qos: int = 1
    properties: tuple[tuple[str, str], ...] = ()


def line_messages(settings: LineSettings, *, start_ms: int, duration_s: float) -> Iterator[TimedMessage]:
    """Give every message of a line in the order of time.

    Parameters
    ----------
    settings : LineSettings
        The factory.
    start_ms : int
        Wall clock of its start, epoch milliseconds.
    duration_s : float
        How long it runs.

    Yields
    ------
    message : TimedMessage
        Frames and their truth, sensor blocks, and the truth about each machine's life at its beginning.
    """
    seeds = np.random.SeedSequence(settings.seed).spawn(settings.n_cameras + settings.n_machines)
    streams = [
        _camera(settings, camera, np.random.default_rng(seed), start_ms)
        for camera, seed in zip(settings.cameras, seeds[: settings.n_cameras], strict=True)
    ]
    streams += [
        _machine(settings, asset, np.random.default_rng(seed), start_ms)
        for asset, seed in zip(settings.assets, seeds[settings.n_cameras :], strict=True)
    ]
    for message in heapq.merge(*streams, key=lambda each: each.at_s):
        if message.at_s >= duration_s:
            return
        yield message


def _camera(settings: LineSettings, camera: str, rng: np.random.Generator, start_ms: int) -> Iterator[TimedMessage]:
    """Give the frames of one camera, with the truth right behind each."""
    material = MATERIALS[int(rng.integers(len(MATERIALS)))]
    at_s = float(rng.uniform(0.0, 1.0 / settings.parts_per_s))
    for seq in range(1, 1 << 31):
        bad = rng.random() < settings.defect_share
        label = DEFECT_CLASSES[int(rng.integers(len(DEFECT_CLASSES)))] if bad else "good"
        picture = render_part(
            rng,
            material=material,
            label=label,
            difficulty=settings.difficulty,
            height=settings.height,
            width=settings.width,
        )
        quality = int(rng.integers(*_JPEG_QUALITY))
        jpeg = encode_jpeg(picture.pixels, quality)
        part = f"{camera}-{seq:06d}"
        ts_ms = start_ms + round(at_s * 1000)
        yield TimedMessage(
            at_s, f"{settings.topic}/cam/{camera}/frame", jpeg, Metadata(ts_ms=ts_ms, seq=seq, part=part)
        )
        truth = PartTruth(
            part=part,
            camera=camera,
            label=label,
            verdict="ng" if bad else "ok",
            boxes=tuple((float(x1), float(y1), float(x2), float(y2)) for x1, y1, x2, y2 in picture.boxes),
            timestamp_ms=ts_ms,
        )
        yield TimedMessage(at_s, f"{settings.topic}/truth/part/{part}", msgspec.json.encode(truth), None)
        at_s += float(rng.uniform(0.7, 1.3)) / settings.parts_per_s


def _machine(settings: LineSettings, asset: str, rng: np.random.Generator, start_ms: int) -> Iterator[TimedMessage]:
    """Give the sensor blocks of one machine, life after life."""
    began = 0
    seq = 0
    for life in range(1, 1 << 31):
        fails = rng.random() < settings.failing_share
        life_s = float(rng.uniform(*settings.life_s))
        machine = Machine(int(rng.integers(1 << 62)), difficulty=settings.difficulty, life_s=life_s, fails=fails)
        began_s = began / RATE_HZ
        yield TimedMessage(
            began_s,
            f"{settings.topic}/truth/asset/{asset}",
            msgspec.json.encode(_asset_truth(asset, life, machine, start_ms + round(began_s * 1000))),
            None,
        )
        n_blocks = int(life_s * RATE_HZ) // _BLOCK
        for _ in range(n_blocks):
            block = machine.advance(_BLOCK)
            seq += 1
            first_ms = start_ms + round(began / RATE_HZ * 1000)
            began += _BLOCK
            # A block leaves when its last sample is taken.
            yield _block_message(settings, asset, block.values, began / RATE_HZ, first_ms, seq)


def _block_message(
    settings: LineSettings, asset: str, values: np.ndarray, at_s: float, first_ms: int, seq: int
) -> TimedMessage:
    topic = f"{settings.topic}/sensor/{asset}/telemetry"
    if settings.sensor_format == "json":
        fields = {"t0_ms": first_ms, "rate_hz": RATE_HZ, "values": values.astype(float).round(4).tolist()}
        return TimedMessage(at_s, topic, msgspec.json.encode(fields), Metadata(seq=seq))
    metadata = Metadata(ts_ms=first_ms, seq=seq, rate_hz=RATE_HZ, channels=len(CHANNELS), dtype="f32")
    return TimedMessage(at_s, topic, values.astype("<f4").tobytes(), metadata)


def _asset_truth(asset: str, life: int, machine: Machine, began_ms: int) -> AssetTruth:
    return AssetTruth(
        asset=asset,
        life=life,
        fails=machine.fails,
        mode=machine.mode if machine.fails else "",
        began_ms=began_ms,
        failing_from_ms=began_ms + round(machine.failing_from_s * 1000) if machine.fails else None,
        ends_ms=began_ms + round(machine.life_s * 1000),
    )


def encode_jpeg(pixels: np.ndarray, quality: int) -> bytes:
    """Encode a picture as a camera does.

    Parameters
    ----------
    pixels : uint8, shape (height, width, 3)
        Blue, green, red.
    quality : int
        1 to 100.

    Returns
    -------
    jpeg : bytes
        The file.
    """
    ok, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert ok
    return bytes(encoded)
