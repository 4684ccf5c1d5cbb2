"""The one archive layout of bundles: a zip that has exactly one byte sequence for given members.

Every header field is fixed or follows from the members, so that reading compares the whole structure byte for byte:
no duplicate, no hidden or trailing byte, no compression, no zip64 and no second interpretation is possible. Any unzip
tool opens such a file. Specified in ``docs/formats/bundle.md``.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.errors import BundleFormatError

#: What a member may be called: lower case, one optional folder level, no dot or slash at the start.
MEMBER_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,95}(/[a-z0-9][a-z0-9_.-]{0,95})?")

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
#: With what every archive begins.
ARCHIVE_MAGIC = _LOCAL_MAGIC = b"PK\x03\x04"
_CENTRAL_MAGIC = b"PK\x01\x02"
_END_MAGIC = b"PK\x05\x06"
_VERSION_NEEDED = 20
_MADE_BY_UNIX = 0x0314
_STORED = 0
_TIME = 0
_DATE_1980_01_01 = 0x21
_MODE_0644 = 0o100644 << 16


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold; checked before anything is copied or decoded.

    Attributes
    ----------
    archive_bytes : int
        Size of the whole file.
    member_bytes : int
        Size of one member.
    n_members : int
        Number of members.
    """

    archive_bytes: int = 16 << 20
    member_bytes: int = 16 << 20
    n_members: int = 64


@dataclass(frozen=True, slots=True)
class _Entry:
    """One member as its local header states it."""

    name: str
    offset: int
    start: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class Archive:
    """The members of an archive whose structure is sound; contents are not judged yet.

    Attributes
    ----------
    members : mapping of str to bytes
        Contents by name, names ascending.
    """

    members: Mapping[str, bytes]
    _stated_crc: Mapping[str, int]

    def require_checksums(self) -> None:
        """Compare the contents with the CRC-32 fields of the headers.

        Raises
        ------
        BundleFormatError
            Naming the first member whose checksum differs.
        """
        for name, content in self.members.items():
            if zlib.crc32(content) != self._stated_crc[name]:
                raise BundleFormatError(f'member "{name}": checksum of the archive differs; the file is damaged')


def pack(members: Mapping[str, bytes]) -> bytes:
    """Write an archive: names ascending, stored, fixed times.

    Parameters
    ----------
    members : mapping of str to bytes
        Contents by name.

    Returns
    -------
    data : bytes
        The same bytes for equal members.

    Raises
    ------
    ValueError
        If a name is not allowed or the archive exceeds 4 GiB.

    Examples
    --------
    >>> pack({"a": b"1"}) == pack({"a": b"1"})
    True
    """
    chunks: list[bytes] = []
    entries: list[_Entry] = []
    offset = 0
    for name in sorted(members):
        if MEMBER_NAME.fullmatch(name) is None:
            raise ValueError(f'member name "{name}" is not allowed: use lower case letters, digits, ".", "_" and "-"')
        content = members[name]
        start = offset + _LOCAL.size + len(name)
        entry = _Entry(name, offset, start, len(content), zlib.crc32(content))
        chunks += [_local_header(entry), content]
        entries.append(entry)
        offset = start + len(content)
    if offset >= 1 << 32:
        raise ValueError(f"the members take {offset} bytes, more than a plain zip can hold")
    return b"".join([*chunks, _directory(entries, offset)])


def unpack(data: bytes, limits: ArchiveLimits) -> Archive:
    """Read an archive that ``pack`` could have written, and no other.

    Parameters
    ----------
    data : bytes
        The file.
    limits : ArchiveLimits
        Checked before anything is copied.

    Returns
    -------
    archive : Archive
        The members; call ``require_checksums`` once their origin is established.

    Raises
    ------
    BundleFormatError
        If a limit is exceeded or a single byte of the structure is another than ``pack`` writes.
    """
    if len(data) > limits.archive_bytes:
        raise BundleFormatError(f"the archive has {len(data)} bytes; {limits.archive_bytes} are allowed")
    entries: list[_Entry] = []
    offset = 0
    while data[offset : offset + 4] == _LOCAL_MAGIC:
        if len(entries) == limits.n_members:
            raise BundleFormatError(f"the archive has more than {limits.n_members} members")
        entry = _read_entry(data, offset, limits)
        if entries and entry.name <= entries[-1].name:
            raise BundleFormatError(f'member "{entry.name}" is there twice or out of order')
        entries.append(entry)
        offset = entry.start + entry.size
    if not entries:
        raise BundleFormatError("this is not a bundle archive: it does not begin with a stored member")
    if data[offset:] != _directory(entries, offset):
        raise BundleFormatError("the archive's directory does not describe its members; the file is damaged or edited")
    members = {entry.name: data[entry.start : entry.start + entry.size] for entry in entries}
    return Archive(members, {entry.name: entry.crc for entry in entries})


def _read_entry(data: bytes, offset: int, limits: ArchiveLimits) -> _Entry:
    """Read one local header and hold it to the only form that ``pack`` writes."""
    if offset + _LOCAL.size > len(data):
        raise BundleFormatError("the archive ends inside a member; the file is cut off")
    fields = _LOCAL.unpack_from(data, offset)
    crc, size, n_name = fields[6], fields[8], fields[9]
    start = offset + _LOCAL.size + n_name
    name = data[offset + _LOCAL.size : start].decode("ascii", errors="replace")
    if MEMBER_NAME.fullmatch(name) is None:
        raise BundleFormatError(f"member name {name!r} is not allowed")
    entry = _Entry(name, offset, start, size, crc)
    if data[offset:start] != _local_header(entry):
        raise BundleFormatError(
            f'member "{name}" is compressed, encrypted, dated or extended; write bundles with "compress bundle"'
        )
    if size > limits.member_bytes:
        raise BundleFormatError(f'member "{name}" has {size} bytes; {limits.member_bytes} are allowed')
    if start + size > len(data):
        raise BundleFormatError(f'the archive ends inside member "{name}"; the file is cut off')
    return entry


def _local_header(entry: _Entry) -> bytes:
    """Give the header in front of a member's content."""
    name = entry.name.encode("ascii")
    fixed = _LOCAL.pack(
        *(_LOCAL_MAGIC, _VERSION_NEEDED, 0, _STORED, _TIME, _DATE_1980_01_01),
        *(entry.crc, entry.size, entry.size, len(name), 0),
    )
    return fixed + name


def _directory(entries: list[_Entry], offset: int) -> bytes:
    """Give the central directory and the end record that follow the members."""
    records = []
    for entry in entries:
        name = entry.name.encode("ascii")
        fixed = _CENTRAL.pack(
            *(_CENTRAL_MAGIC, _MADE_BY_UNIX, _VERSION_NEEDED, 0, _STORED, _TIME, _DATE_1980_01_01),
            *(entry.crc, entry.size, entry.size, len(name), 0, 0, 0, 0, _MODE_0644, entry.offset),
        )
        records.append(fixed + name)
    directory = b"".join(records)
    count = len(entries)
    return directory + _END.pack(_END_MAGIC, 0, 0, count, count, len(directory), offset, 0)
