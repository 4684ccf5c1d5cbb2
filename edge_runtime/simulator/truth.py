"""What is really so, published beside the stream on topics of its own; specified in ``docs/formats/simulator.md``."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class PartTruth(Struct, frozen=True, kw_only=True):
    """The truth about one part, on ``<in>/truth/part/<part>``."""

    schema: Literal["edge.truth.part/1"] = "edge.truth.part/1"
    part: str  #: the part, as in the frame's metadata
    camera: str  #: the camera that saw it
    label: str  #: ``good`` or the class of its defect
    verdict: Literal["ok", "ng"]  #: what an inspection should say
    boxes: tuple[tuple[float, float, float, float], ...] = ()  #: defects, x1 y1 x2 y2 in pixels of the frame
    timestamp_ms: int  #: time of the frame


class AssetTruth(Struct, frozen=True, kw_only=True):
    """The truth about one life of one machine, on ``<in>/truth/asset/<asset>``, told at its beginning."""

    schema: Literal["edge.truth.asset/1"] = "edge.truth.asset/1"
    asset: str  #: the machine
    life: int  #: counts its lives from 1; after a failure it is replaced
    fails: bool  #: whether this life ends in a failure
    mode: str  #: how it fails, empty when it does not
    began_ms: int  #: beginning of this life
    failing_from_ms: int | None  #: from here an alarm is right; null when it does not fail
    ends_ms: int  #: the failure, or the end of a life without one
