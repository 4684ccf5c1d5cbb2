"""A report's folder: ``report.json``, and ``report.html`` that is drawn from it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from edge_runtime.compress.publish import write_file
from edge_runtime.compress.report.page import draw_page
from edge_runtime.compress.report.record import SCHEMA, Record
from edge_runtime.errors import CalibrationError, HostEnvironmentError

RECORD, PAGE = "report.json", "report.html"
#: 24 thumbnails and a few hundred figures are far below it.
MAX_RECORD_BYTES: Final = 16 << 20


def write_report(folder: Path, record: Record) -> Path:
    """Write both files.

    Parameters
    ----------
    folder : Path
        Made where needed; an older report in it is replaced.
    record : Record
        What a build measured.

    Returns
    -------
    page : Path
        To be opened in a browser.

    Raises
    ------
    HostEnvironmentError
        If the disk refuses.
    """
    write_file(folder / RECORD, msgspec.json.format(msgspec.json.encode(record, order="deterministic")) + b"\n")
    write_file(folder / PAGE, draw_page(record).encode())
    return folder / PAGE


def read_record(path: Path) -> Record:
    """Read a report.

    Parameters
    ----------
    path : Path
        The folder, or its ``report.json``.

    Returns
    -------
    record : Record
        Of this release's schema.

    Raises
    ------
    HostEnvironmentError
        If it cannot be read.
    CalibrationError
        If it is no report.
    """
    file = path / RECORD if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_RECORD_BYTES:
            raise CalibrationError(f"{file}: longer than {MAX_RECORD_BYTES} bytes; this is no report")
        text = file.read_bytes()
    except OSError as error:
        raise HostEnvironmentError(
            f"{file}: cannot be read: {error.strerror}; a build writes it with [output] report"
        ) from error
    try:
        record = msgspec.json.decode(text, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CalibrationError(f"{file}: no report of compress: {error}") from error
    if record.schema != SCHEMA:
        raise CalibrationError(f'{file}: has schema "{record.schema}", this release reads "{SCHEMA}"')
    return record
