"""Payload bytes and the source's declaration to a sensor block or an undecoded frame: limits first, nothing guessed.

Any bytes give a value or a :class:`~edge_runtime.errors.MessageError` with a stable ``reason``.

A value that is not finite is refused in text (``number``, ``json``), which has no such numbers; in ``cbor``, ``f32``
it is a broken sample that stays visible, to be masked by cleaning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct, structs

from edge_runtime.config import Camera, Sensor, SensorChannel
from edge_runtime.errors import PayloadFormatError, PayloadSizeError
from edge_runtime.mqtt import sensor_formats
from edge_runtime.mqtt.image_header import ImageHeader, read_image_header
from edge_runtime.mqtt.metadata import MAGIC, MAX_PART_CHARACTERS, Metadata, read_envelope, read_user_properties

UserProperties = Iterable[tuple[str, str]]


class Arrival(Struct, frozen=True):
    """What the session knows about a message besides its payload.

    Attributes
    ----------
    topic : str
        The topic that it came on.
    arrived_at : float, s
        Wall clock, UTC, of its arrival.
    user_properties : tuple of (name, value)
        MQTT 5 user properties; empty at 3.1.1.
    """

    topic: str
    arrived_at: float
    user_properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class FramePayload:
    """One camera picture, still encoded.

    Attributes
    ----------
    source : str
        The camera's id.
    payload : bytes or memoryview
        The encoded picture, without envelope.
    header : ImageHeader
        Format and dimensions, within the limits.
    captured_at : float, s
        Wall clock, UTC: the source's time where it is told and trusted, else the arrival's.
    arrived_at : float, s
        Wall clock, UTC.
    from_source : bool
        ``captured_at`` is the source's.
    seq : int or None
        The publisher's own count.
    part : str or None
        The part in the picture.
    quality : str or None
        ``good``, ``uncertain`` or ``bad``, where the publisher says so.
    """

    source: str
    payload: bytes | memoryview
    header: ImageHeader
    captured_at: float
    arrived_at: float
    from_source: bool
    seq: int | None = None
    part: str | None = None
    quality: str | None = None

    def sha256(self) -> str:
        """Give the digest of the encoded picture.

        Returns
        -------
        digest : str
            64 hexadecimal digits.
        """
        return hashlib.sha256(self.payload).hexdigest()


@dataclass(frozen=True, slots=True)
class SensorBlock:
    """Samples of one asset.

    Attributes
    ----------
    source : str
        The asset's id.
    channels : tuple of str
        Names of the columns: all of the sensor's, or the one that this topic carries.
    values : float32 or float64, shape (n_samples, n_channels), C-contiguous
        In each channel's unit; float32 for ``f32`` and ``i16``, float64 for the others. Read-only. NaN and infinity
        are broken samples.
    timestamps_s : float64, shape (n_samples,)
        Wall clock, UTC, of each sample.
    rate_hz : float
        Sampling rate of this block; 0 when samples are events.
    arrived_at : float, s
        Wall clock, UTC, of the message.
    from_source : bool
        ``timestamps_s`` stand on the source's time, not on the arrival's.
    seq : int or None
        The publisher's own count.
    part : str or None
        The part under the sensor.
    quality : str or None
        ``good``, ``uncertain`` or ``bad``, where the publisher says so.
    """

    source: str
    channels: tuple[str, ...]
    values: npt.NDArray[np.float32] | npt.NDArray[np.float64]
    timestamps_s: npt.NDArray[np.float64]
    rate_hz: float
    arrived_at: float
    from_source: bool
    seq: int | None = None
    part: str | None = None
    quality: str | None = None


def decode_frame(
    payload: bytes | memoryview, camera: Camera, arrival: Arrival, *, max_bytes: int, max_px: int
) -> FramePayload:
    """Check a frame's payload without decoding the picture.

    Parameters
    ----------
    payload : bytes
        As it came: the encoded picture, or an EDGE1 envelope around it.
    camera : Camera
        The source's declaration.
    arrival : Arrival
        Topic, time and user properties.
    max_bytes : int
        The longest payload that is accepted.
    max_px : int
        Width times height that is at most accepted.

    Returns
    -------
    frame : FramePayload
        Shares memory with ``payload``.

    Raises
    ------
    PayloadSizeError
        If it is too long (reason ``too_large``) or would decode into too much.
    PayloadFormatError
        If it is no picture of the declared format, or its metadata cannot be read.
    """
    _require_length(payload, max_bytes)
    metadata, raw = _unwrap(payload, arrival.user_properties)
    header = read_image_header(raw, camera.format, max_px=max_px)
    trusted = camera.clock == "source" and metadata.ts_ms is not None
    return FramePayload(
        source=camera.id,
        payload=raw,
        header=header,
        captured_at=(metadata.ts_ms or 0) / 1e3 if trusted else arrival.arrived_at,
        arrived_at=arrival.arrived_at,
        from_source=trusted,
        seq=metadata.seq,
        part=_part(camera, metadata, arrival.topic),
        quality=metadata.quality,
    )


def decode_sensor(payload: bytes | memoryview, sensor: Sensor, arrival: Arrival) -> SensorBlock:
    """Decode a sensor's payload.

    Parameters
    ----------
    payload : bytes
        As it came: in the declared format, or an EDGE1 envelope around that.
    sensor : Sensor
        The source's declaration. Where it names one topic per channel, the topic says which channel this is.
    arrival : Arrival
        Topic, time and user properties.

    Returns
    -------
    block : SensorBlock
        At least one sample. Raw float32 with scale 1 shares memory with ``payload``.

    Raises
    ------
    PayloadSizeError
        If it is too long (reason ``too_large``), has too many samples (``too_many_samples``) or is nested too deep.
    PayloadFormatError
        If it is empty (``empty``), not of the declared format (``bad_number``, ``bad_json``, ``bad_cbor``,
        ``wrong_type``, ``bad_length``), of another shape (``wrong_shape``) or unit (``wrong_unit``), not finite where
        that cannot be (``not_finite``), or its metadata cannot be read (``bad_metadata``).
    """
    _require_length(payload, sensor.max_payload_bytes)
    metadata, raw = _unwrap(payload, arrival.user_properties)
    if not len(raw):
        raise PayloadFormatError(f'the payload is empty; "{sensor.format}" was expected', reason="empty")
    columns = _columns(sensor, arrival.topic)
    channels = columns.channels
    if metadata.channels not in {None, len(channels)}:
        message = f"{metadata.channels} channels announced, {len(channels)} configured"
        raise PayloadFormatError(message, reason="wrong_shape")
    samples = _read_samples(raw, sensor, channels, metadata)
    if not len(samples.values):
        raise PayloadFormatError("no samples in the message", reason="empty")
    if len(samples.values) > sensor.max_samples:
        message = f"{len(samples.values)} samples, at most {sensor.max_samples}; see sensor.max_samples"
        raise PayloadSizeError(message, reason="too_many_samples")
    return _block(samples, sensor, columns, metadata, arrival)


def part_of_topic(topic_filter: str, topic: str) -> str | None:
    """Find the level of a topic that the one ``+`` of a filter stands for.

    Parameters
    ----------
    topic_filter : str
        With one ``+``.
    topic : str
        A topic that it matches.

    Returns
    -------
    part : str or None
        None when the level is empty.

    Examples
    --------
    >>> part_of_topic("line/+/frame", "line/A-17/frame")
    'A-17'
    """
    return topic.split("/")[topic_filter.split("/").index("+")] or None


def _require_length(payload: bytes | memoryview, max_bytes: int) -> None:
    """Look at the length before anything else."""
    if len(payload) > max_bytes:
        raise PayloadSizeError(f"{len(payload)} bytes, at most {max_bytes} are read", reason="too_large")


def _unwrap(payload: bytes | memoryview, properties: UserProperties) -> tuple[Metadata, bytes | memoryview]:
    """Gather metadata from user properties and envelope; the envelope's words count where both speak."""
    metadata = read_user_properties(properties)
    if payload[: len(MAGIC)] != MAGIC:
        return metadata, payload
    inner, raw = read_envelope(payload)
    said = {name: value for name in inner.__struct_fields__ if (value := getattr(inner, name)) is not None}
    return structs.replace(metadata, **said), raw


def _part(camera: Camera, metadata: Metadata, topic: str) -> str | None:
    """Take the part from where the camera's declaration says."""
    if camera.part == "topic":
        part = part_of_topic(camera.topic, topic)
        if part is not None and (len(part) > MAX_PART_CHARACTERS or not part.isprintable()):
            message = (
                f"the part in the topic is longer than {MAX_PART_CHARACTERS} characters or holds a control character"
            )
            raise PayloadFormatError(message, reason="bad_metadata")
        return part
    return metadata.part if camera.part == "metadata" else None


@dataclass(frozen=True, slots=True)
class _Columns:
    """What a topic carries, worked out once: channels, their names, and their scales (None where all are 1)."""

    channels: tuple[SensorChannel, ...]
    names: tuple[str, ...]
    scales: npt.NDArray[np.float64] | None


@lru_cache(maxsize=4096)
def _columns(sensor: Sensor, topic: str) -> _Columns:
    """Find the channels that a topic carries."""
    if len(sensor.topics) == 1:
        channels = sensor.channels
    elif topic in sensor.topics:
        channels = (sensor.channels[sensor.topics.index(topic)],)
    else:
        raise PayloadFormatError(f"no channel of {sensor.id} travels on {topic[:128]!r}", reason="unknown_topic")
    scales = np.array([channel.scale for channel in channels])
    return _Columns(channels, tuple(channel.name for channel in channels), None if (scales == 1.0).all() else scales)


def _read_samples(
    raw: bytes | memoryview, sensor: Sensor, channels: tuple[SensorChannel, ...], metadata: Metadata
) -> sensor_formats.Samples:
    """Choose the reader that the declaration names."""
    if sensor.format in {"f32", "i16"}:
        if metadata.dtype not in {None, sensor.format}:
            message = f'"{metadata.dtype}" announced, "{sensor.format}" configured'
            raise PayloadFormatError(message, reason="wrong_type")
        return sensor_formats.read_raw(raw, sensor.format, n_channels=len(channels))
    if sensor.format == "number":
        return sensor_formats.read_number(raw)
    if sensor.format == "json":
        samples = sensor_formats.read_json(raw, n_channels=len(channels))
    else:
        samples = sensor_formats.read_cbor(raw, n_channels=len(channels), max_samples=sensor.max_samples)
    if samples.unit is not None:
        _require_unit(samples.unit, channels)
    return samples


def _require_unit(unit: str, channels: tuple[SensorChannel, ...]) -> None:
    """Refuse values in another unit than the configured one."""
    for channel in channels:
        if channel.unit != unit:
            message = f'the message is in "{unit[:32]}", channel "{channel.name}" is configured in "{channel.unit}"'
            raise PayloadFormatError(message, reason="wrong_unit")


def _block(
    samples: sensor_formats.Samples, sensor: Sensor, columns: _Columns, metadata: Metadata, arrival: Arrival
) -> SensorBlock:
    """Give samples their scale and their times."""
    rate_hz = samples.rate_hz if samples.rate_hz is not None else metadata.rate_hz
    if rate_hz is None:
        rate_hz = sensor.rate_hz
    told_ms = samples.t0_ms if samples.t0_ms is not None else metadata.ts_ms
    trusted = sensor.clock == "source" and told_ms is not None
    scales = columns.scales if metadata.scale is None else np.float64(metadata.scale)
    values = _scaled(samples.values, scales)
    values.setflags(write=False)
    first_at = (told_ms or 0) / 1e3 if trusted else None
    return SensorBlock(
        source=sensor.id,
        channels=columns.names,
        values=values,
        timestamps_s=_times(len(values), float(rate_hz), first_at, arrival.arrived_at),
        rate_hz=float(rate_hz),
        arrived_at=arrival.arrived_at,
        from_source=trusted,
        seq=metadata.seq,
        part=metadata.part,
        quality=metadata.quality,
    )


def _scaled(values: npt.NDArray[Any], scales: npt.NDArray[np.float64] | np.float64 | None) -> npt.NDArray[Any]:
    """Multiply columns by their scales; nothing is copied where all are 1 and the dtype is right."""
    dtype = np.float64 if values.dtype == np.float64 else np.float32
    if scales is None:
        return values.astype(dtype, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        return (values * scales).astype(dtype)


def _times(n_samples: int, rate_hz: float, first_at: float | None, arrived_at: float) -> npt.NDArray[np.float64]:
    """Spread samples over time: from the first, or back from the arrival of the last."""
    if n_samples == 1:
        return np.array([arrived_at if first_at is None else first_at])
    steps = np.arange(n_samples, dtype=np.float64)
    if first_at is None:
        steps -= n_samples - 1
    if rate_hz > 0:
        steps /= rate_hz
    else:
        steps[:] = 0.0
    return steps + (arrived_at if first_at is None else first_at)
