"""What a recipe says about data beyond a path: the window declaration of sensor tables, and how one set is split."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from edge_runtime.bundle.manifest import Channel

Column = Annotated[str, Meta(min_length=1, max_length=256)]
PartShare = Annotated[float, Meta(ge=0, le=0.95)]
Rule = Literal["last", "first", "majority", "any", "mean", "remaining"]
TimeUnit = Literal["s", "ms", "us", "ns", "min", "h"]


class WindowKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[data.window]``: how CSV or Parquet tables become windows.

    ``length``, ``hop``, ``rate_hz``, ``max_gap_s``, ``max_hold`` and ``channels`` stand here only where
    ``[preprocessing]`` is no window declaration, which says the same.
    """

    length: Annotated[int, Meta(ge=1, le=65536)] | None = None  #: samples
    hop: Annotated[int, Meta(ge=1, le=65536)] | None = None  #: samples, by default ``length``
    rate_hz: Annotated[float, Meta(ge=0, le=1e6)] | None = None  #: 0: a row is an event, not a time
    max_gap_s: Annotated[float, Meta(gt=0)] | None = None  #: longest hole in the time column inside a window
    max_hold: Annotated[int, Meta(ge=0)] = 0  #: missing values in a row that are bridged
    channels: Annotated[tuple[Channel, ...], Meta(max_length=256)] = ()
    columns: dict[str, Column] = {}  #: header of a channel's column where it is not the channel's name
    time: Column | None = None  #: column: ISO 8601, or a number in ``time_unit``
    time_unit: TimeUnit = "s"
    group: Column | None = None  #: machine, unit or run: no window spans two; by default the file
    label: Column | None = None  #: column of class words or indices
    target: Column | None = None  #: column of a number
    rule: Rule = "last"  #: which row's label or target is the window's
    at_most: Annotated[float, Meta(gt=0)] | None = None  #: limit of "remaining"
    slices: dict[str, Column] = {}  #: by name of the slice
    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    decimal: Annotated[str, Meta(min_length=1, max_length=1)] = "."
    encoding: Annotated[str, Meta(min_length=1, max_length=32)] = "utf-8"
    header: tuple[Column, ...] = ()  #: names of the columns of a file that begins without them


class SplitKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[data] split``: shares of one set; what is left is training data."""

    by: Literal["group", "time", "stratified"]
    evaluation: PartShare
    calibration: PartShare
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    gap_s: Annotated[float, Meta(ge=0)] | None = None  #: by time: left out on each side of a cut
