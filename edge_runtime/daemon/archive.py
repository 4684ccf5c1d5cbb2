"""The file of a backup: a tar of known names with a list of digests in front. Specified in ``docs/formats/backup.md``.

The same content gives the same bytes. A reader takes only the names it knows, within their sizes, and compares every
digest before anything is put in place.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import msgspec
from msgspec import Meta, Struct

from edge_runtime.bundle.folder import MAX_LEDGER_BYTES
from edge_runtime.bundle.reader import MAX_BUNDLE_BYTES
from edge_runtime.bundle.signature import MAX_KEY_BYTES
from edge_runtime.config import MAX_CONFIG_BYTES
from edge_runtime.errors import HostEnvironmentError

MANIFEST, CONFIG, OUTBOX = "manifest.json", "gateway.toml", "state/outbox.sqlite"
_MAX_MANIFEST_BYTES = 4 << 20
_MAX_MEMBERS = 10_000
_PIECE = 1 << 20

#: What a backup may hold, and how large each may be.
_LIMITS: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(re.escape(CONFIG)), MAX_CONFIG_BYTES),
    (re.compile(re.escape(OUTBOX)), 64 << 30),
    (re.compile(r"bundles/ledger\.json"), MAX_LEDGER_BYTES),
    (re.compile(r"bundles/bundles/[0-9a-f]{64}\.edgebundle"), MAX_BUNDLE_BYTES),
    (re.compile(r"bundles/exact/[0-9a-f]{64}\.npz"), MAX_BUNDLE_BYTES),
    (re.compile(r"bundles/trust/[A-Za-z0-9_-]{1,128}\.pem"), MAX_KEY_BYTES),
)


class Member(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file of a backup."""

    n_bytes: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class Contents(Struct, frozen=True, kw_only=True):
    """``manifest.json``: what a backup holds, and which release wrote it."""

    schema: Literal["edge.backup/1"] = "edge.backup/1"
    gateway: Annotated[str, Meta(max_length=64)]
    edge_runtime: Annotated[str, Meta(max_length=64)]
    outbox_schema: Annotated[int, Meta(ge=1)]
    last_committed_lasting_ms: int | None = None
    files: dict[str, Member]


def limit_of(name: str) -> int | None:
    """Give the size that a file of a backup may have; None for a name that no backup has."""
    return next((limit for pattern, limit in _LIMITS if pattern.fullmatch(name)), None)


def measure(path: Path) -> Member:
    """Read a file's size and digest.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Member(n_bytes=file.tell(), sha256=digest)


def write_archive(target: Path, contents: Contents, sources: Mapping[str, Path]) -> None:
    """Write a backup: the manifest, then the files by name, without times, owners or anything else of this machine.

    Parameters
    ----------
    target : Path
        The tar; it must not exist. Only its owner may read it.
    contents : Contents
        The manifest; its files are those of ``sources``.
    sources : mapping of str to Path
        Where each file lies.

    Raises
    ------
    OSError
        If something cannot be read or written.
    """
    with target.open("xb") as file:
        target.chmod(0o600)
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            manifest = msgspec.json.format(msgspec.json.encode(contents, order="deterministic"), indent=1)
            tar.addfile(_header(MANIFEST, len(manifest)), io.BytesIO(manifest))
            for name in sorted(sources):
                with sources[name].open("rb") as source:
                    tar.addfile(_header(name, contents.files[name].n_bytes), source)
        file.flush()


def _header(name: str, n_bytes: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = n_bytes
    header.mode = 0o600
    return header


class Archive:
    """A backup that is read; nothing of it is believed before its digest was compared.

    Attributes
    ----------
    contents : Contents
        The manifest.
    """

    def __init__(self, tar: tarfile.TarFile, members: Mapping[str, tarfile.TarInfo], contents: Contents) -> None:
        self._tar = tar
        self._members = members
        self.contents = contents

    def extract(self, name: str, target: Path) -> None:
        """Write one file and compare its digest.

        Raises
        ------
        HostEnvironmentError
            If it has another digest than the manifest says.
        OSError
            If it cannot be written.
        """
        with target.open("xb") as file:
            target.chmod(0o600)
            digest = self._copy(name, file.write)
            file.flush()
            os.fsync(file.fileno())
        if digest != self.contents.files[name].sha256:
            raise HostEnvironmentError(f"the backup is damaged: {name} has another digest than its list says")

    def read(self, name: str) -> bytes:
        """Give one small file after comparing its digest; errors as for ``extract``."""
        pieces: list[bytes] = []
        if self._copy(name, pieces.append) != self.contents.files[name].sha256:
            raise HostEnvironmentError(f"the backup is damaged: {name} has another digest than its list says")
        return b"".join(pieces)

    def _copy(self, name: str, take: Callable[[bytes], object]) -> str:
        digest = hashlib.sha256()
        source = self._tar.extractfile(self._members[name])
        assert source is not None  # members are regular files
        while piece := source.read(_PIECE):
            digest.update(piece)
            take(piece)
        return digest.hexdigest()


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a backup and check its list: known names, regular files, sizes within limits, nothing missing or extra.

    Parameters
    ----------
    path : Path
        The tar.

    Raises
    ------
    HostEnvironmentError
        If it cannot be read or is no backup, with what is wrong.
    """
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            members = _members(tar, path)
            yield Archive(tar, members, _contents(tar, members, path))
    except tarfile.TarError as error:
        raise HostEnvironmentError(f"{path}: no backup, or a damaged one: {error}") from error
    except (EOFError, UnicodeDecodeError) as error:
        raise HostEnvironmentError(f"{path}: no backup, or a damaged one: {error!r}") from error


def _members(tar: tarfile.TarFile, path: Path) -> dict[str, tarfile.TarInfo]:
    members: dict[str, tarfile.TarInfo] = {}
    for member in tar:
        limit = _MAX_MANIFEST_BYTES if member.name == MANIFEST else limit_of(member.name)
        if limit is None or not member.isreg() or member.name in members:
            raise HostEnvironmentError(f"{path}: refused: {member.name[:200]!r} does not belong into a backup")
        if member.size > limit or len(members) >= _MAX_MEMBERS:
            raise HostEnvironmentError(
                f"{path}: refused: {member.name} has {member.size} bytes, at most {limit} may be"
            )
        members[member.name] = member
    return members


def _contents(tar: tarfile.TarFile, members: dict[str, tarfile.TarInfo], path: Path) -> Contents:
    manifest = members.pop(MANIFEST, None)
    file: BinaryIO | io.BufferedReader | None = None if manifest is None else tar.extractfile(manifest)  # type: ignore[assignment]
    if file is None:
        raise HostEnvironmentError(f"{path}: no backup: it holds no {MANIFEST}")
    try:
        contents = msgspec.json.decode(file.read(), type=Contents)
    except msgspec.MsgspecError as error:
        raise HostEnvironmentError(f"{path}: its {MANIFEST} cannot be read: {error}") from error
    sizes = {name: member.size for name, member in members.items()}
    wrong = sizes.items() ^ {name: member.n_bytes for name, member in contents.files.items()}.items()
    if wrong or CONFIG not in sizes or OUTBOX not in sizes:
        names = ", ".join(sorted({name for name, _ in wrong} or {CONFIG, OUTBOX})[:5])
        raise HostEnvironmentError(f"{path}: the backup is incomplete or was changed: {names}")
    return contents
