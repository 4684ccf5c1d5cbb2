"""The emitted directory on disk: it holds what the last emission wrote, its listing says so, and nothing else."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from edge_runtime.errors import FirmwareError, HostEnvironmentError
from firmware_bridge.emit import Emission
from firmware_bridge.golden import GoldenVectors, golden_header, save_golden
from firmware_bridge.manifest import MANIFEST, FirmwareManifest, check_manifest
from firmware_bridge.source import Source

LISTING: Final = "firmware.files"
_HEAD: Final = "# edge.firmware.files/1: what emit wrote here; sha256sum -c firmware.files\n"
_PART: Final = ".edge-part"  # a file that is being written
#: A digest and a name that emit may have written.
_LINE = re.compile(
    r"^([0-9a-f]{64})  (model\.c|[a-z][a-z0-9_]*\.h|kernels/[a-z0-9_]+\.[ch]|CMakeLists\.txt|README\.md|firmware\.json"
    r"|verify/model\.tflite|verify/golden\.npz)$"
)
_MAX_LISTING_BYTES: Final = 1 << 20
_MAX_MANIFEST_BYTES: Final = 1 << 20
_NAMED: Final = 4


def write_directory(directory: Path, source: Source, emission: Emission, golden: Sequence[GoldenVectors]) -> None:
    """Write an emission to disk, in place of an earlier one.

    Parameters
    ----------
    directory : Path
        Made if absent. An earlier emission's files are removed first; anything else in it is left alone and refused.
    source : Source
        Its model is kept under ``verify/``.
    emission : Emission
        Text files.
    golden : sequence of GoldenVectors
        The first is also written as ``golden.h``.

    Raises
    ------
    HostEnvironmentError
        When the directory holds files that are not an earlier emission's, or were changed since, or when a file cannot
        be written.
    """
    contents = _contents(source, emission, golden)
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(contents.items()))
    listing = _HEAD + "".join(lines)
    try:
        own = _own_files(directory)
        for name in own:
            (directory / name).unlink()
        # The listing goes first: what an interrupted emission leaves behind is known to the next one.
        _write(directory, LISTING, listing.encode())
        for name, data in contents.items():
            _write(directory, name, data)
        for folder in {Path(name).parent for name in own if name not in contents}:
            if not any((directory / folder).iterdir()):
                (directory / folder).rmdir()
    except OSError as error:
        raise HostEnvironmentError(f"{error.filename or directory}: {error.strerror or error}") from error


def read_manifest(directory: Path) -> FirmwareManifest:
    """Read ``firmware.json`` of an emitted directory.

    Raises
    ------
    HostEnvironmentError
        When it is not there.
    FirmwareError
        When it is not what ``emit`` writes.
    """
    path = directory / MANIFEST
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_MANIFEST_BYTES)
    except OSError as error:
        raise HostEnvironmentError(f"{path}: {error.strerror or error}; run edge-firmware emit first") from error
    try:
        manifest = msgspec.json.decode(data, type=FirmwareManifest)
        check_manifest(manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, FirmwareError) as error:
        raise FirmwareError(f"{path}: {error}; emit the directory again") from error
    return manifest


def _contents(source: Source, emission: Emission, golden: Sequence[GoldenVectors]) -> dict[str, bytes]:
    contents = {name: text.encode() for name, text in emission.files.items()}
    contents["verify/model.tflite"] = source.model
    if golden:
        archive = io.BytesIO()
        save_golden(archive, golden)
        contents["verify/golden.npz"] = archive.getvalue()
        contents["golden.h"] = golden_header(emission.manifest, golden[0]).encode()
    return contents


def _write(directory: Path, name: str, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    path, part = directory / name, directory / _PART
    path.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(data)
    part.replace(path)


def _own_files(directory: Path) -> list[str]:
    """Return the files of an earlier emission, the listing left out; refuses a directory that holds others."""
    if not directory.is_dir():
        return []
    listed = _read_listing(directory)
    found: list[str] = []
    foreign: list[str] = []
    for name in _files(directory):
        if name in listed or (name == LISTING and listed) or name == _PART:
            found.append(name)
        elif len(foreign) < _NAMED:
            foreign.append(name)
        else:
            break
    if foreign:
        raise HostEnvironmentError(
            f"{directory} holds files that emit did not write ({', '.join(sorted(foreign))}); "
            "give --out a new or empty directory, or move them away"
        )
    for name in found:
        if name in listed and hashlib.sha256((directory / name).read_bytes()).hexdigest() != listed[name]:
            raise HostEnvironmentError(
                f"{directory / name} was changed after it was emitted; move it away, or give --out another directory"
            )
    return [name for name in found if name != LISTING]


def _read_listing(directory: Path) -> Mapping[str, str]:
    """Digests by relative path; empty where there is no listing."""
    path = directory / LISTING
    if path.is_symlink() or not path.is_file():
        return {}
    with path.open("rb") as stream:
        text = stream.read(_MAX_LISTING_BYTES).decode("ascii", errors="replace")
    if not text.startswith(_HEAD):
        return {}
    matches = [_LINE.match(line) for line in text.splitlines()]
    return {match[2]: match[1] for match in matches if match}


def _files(directory: Path) -> Iterator[str]:
    """Relative paths of everything below that is no plain directory."""
    for folder, names, files in os.walk(directory, onerror=_raise):
        links = [name for name in names if (Path(folder) / name).is_symlink()]
        for name in (*files, *links):
            yield (Path(folder) / name).relative_to(directory).as_posix()


def _raise(error: OSError) -> None:
    raise error
