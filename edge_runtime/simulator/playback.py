"""Real recordings as live traffic: a folder of images as a camera, a CSV table as a machine."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from edge_runtime.errors import HostEnvironmentError, UsageError
from edge_runtime.mqtt.metadata import Metadata
from edge_runtime.simulator.line import TimedMessage
from edge_runtime.simulator.recording import RecordingReader

_PICTURES = {".jpg", ".jpeg", ".png"}
_MAX_PICTURES = 1_000_000


def list_pictures(folder: Path) -> list[Path]:
    """Give the pictures below a folder in the order of their names.

    Parameters
    ----------
    folder : Path
        Searched with its subfolders for .jpg, .jpeg and .png.

    Raises
    ------
    UsageError
        If there is none, or JPEG and PNG are mixed (a camera declares one format).
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PICTURES)[:_MAX_PICTURES]
    if not found:
        raise UsageError(f"{folder}: no .jpg, .jpeg or .png files")
    if len({path.suffix.lower() == ".png" for path in found}) > 1:
        raise UsageError(f"{folder}: JPEG and PNG are mixed; a camera declares one format, so play them separately")
    return found


def picture_messages(
    folder: Path, *, topic: str, rate_hz: float, start_ms: int, loop: bool = False
) -> Iterator[TimedMessage]:
    """Give the files of a folder as frames; the part is the file's name without its ending.

    Parameters
    ----------
    folder : Path
        Pictures, sent byte for byte.
    topic : str
        Where to.
    rate_hz : float
        Frames per second.
    start_ms : int
        Wall clock of the first frame.
    loop : bool
        Begin again at the end; the part's name then gets the round's number.

    Yields
    ------
    message : TimedMessage
        One per file.
    """
    pictures = list_pictures(folder)
    for seq in range(1 << 53 if loop else len(pictures)):
        path = pictures[seq % len(pictures)]
        at_s = seq / rate_hz
        turn = seq // len(pictures)
        part = f"{path.stem}.{turn}" if turn else path.stem
        try:
            data = path.read_bytes()
        except OSError as error:
            raise HostEnvironmentError(f"{path}: cannot be read: {error.strerror}") from error
        yield TimedMessage(
            at_s, topic, data, Metadata(ts_ms=start_ms + round(at_s * 1000), seq=seq + 1, part=part[:128])
        )


def read_table(path: Path, columns: list[str]) -> np.ndarray:
    """Read columns of a CSV table with a header line.

    Parameters
    ----------
    path : Path
        Comma, semicolon or tab separated.
    columns : list of str
        Names of the header; empty for every column.

    Returns
    -------
    values : float64, shape (n_rows, n_columns)
        Empty cells and words become NaN.

    Raises
    ------
    UsageError
        If a column is missing or there are no rows.
    HostEnvironmentError
        If the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            sample = file.read(65_536)
            file.seek(0)
            separator = max(",;\t", key=sample.partition("\n")[0].count)
            reader = csv.reader(file, delimiter=separator)
            header = [name.strip() for name in next(reader, [])]
            wanted = columns or header
            missing = [name for name in wanted if name not in header]
            if missing:
                raise UsageError(f"{path}: no column {', '.join(missing)}; there are {', '.join(header)}")
            order = [header.index(name) for name in wanted]
            rows = [[_number(row[index]) if index < len(row) else math.nan for index in order] for row in reader if row]
    except OSError as error:
        raise HostEnvironmentError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text") from error
    if not rows:
        raise UsageError(f"{path}: no rows below the header")
    return np.array(rows, np.float64)


def table_messages(
    values: np.ndarray, *, topic: str, rate_hz: float, block: int, start_ms: int, as_json: bool = False
) -> Iterator[TimedMessage]:
    """Give the rows of a table as sensor blocks.

    Parameters
    ----------
    values : float64, shape (n_rows, n_columns)
        Oldest first.
    topic : str
        Where to.
    rate_hz : float
        Rows per second.
    block : int
        Rows per message.
    start_ms : int
        Wall clock of the first row.
    as_json : bool
        JSON instead of raw float32; rows with NaN cannot be sent as JSON and are left out.

    Yields
    ------
    message : TimedMessage
        One per block.
    """
    for seq, first in enumerate(range(0, len(values), block), start=1):
        rows = values[first : first + block]
        first_ms = start_ms + round(first / rate_hz * 1000)
        at_s = (first + len(rows)) / rate_hz
        if as_json:
            rows = rows[np.isfinite(rows).all(axis=1)]
            fields = {"t0_ms": first_ms, "rate_hz": rate_hz, "values": rows.tolist()}
            if len(rows):
                yield TimedMessage(at_s, topic, msgspec.json.encode(fields), Metadata(seq=seq))
            continue
        metadata = Metadata(ts_ms=first_ms, seq=seq, rate_hz=rate_hz, channels=values.shape[1], dtype="f32")
        yield TimedMessage(at_s, topic, rows.astype("<f4").tobytes(), metadata)


def recorded_messages(reader: RecordingReader) -> Iterator[TimedMessage]:
    """Give the messages of a recorded session, less what the gateway itself had published or was commanded.

    Parameters
    ----------
    reader : RecordingReader
        Opened.

    Yields
    ------
    message : TimedMessage
        As recorded: payload and user properties byte for byte, at the offset of its arrival.
    """
    own = f"{reader.header.own}/" if reader.header.own else None
    for message in reader.messages():
        if own is None or not message.topic.startswith(own):
            yield TimedMessage(
                message.offset_us / 1e6,
                message.topic,
                message.payload,
                None,
                message.qos,
                message.user_properties,
            )


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan
