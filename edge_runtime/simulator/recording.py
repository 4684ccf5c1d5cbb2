"""A recorded MQTT session: a file of framed records that is only ever appended to.

The format is specified in ``docs/formats/recording.md``.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Annotated, BinaryIO, Final, Literal, Self

import msgspec
from msgspec import Meta, Struct

from edge_runtime.errors import HostEnvironmentError, UsageError
from edge_runtime.topic_filters import filter_fault

MAGIC: Final = b"EDGEREC1"
#: The longest record: a payload of 16 MiB and what is said about it.
MAX_RECORD_BYTES: Final = (16 << 20) + (1 << 16)
MAX_HEADER_BYTES: Final = 1 << 16

_FRAME = struct.Struct("<II")
_BUFFER_BYTES = 1 << 18
_Text = Annotated[str, Meta(max_length=65_535)]
_Property = tuple[Annotated[str, Meta(max_length=512)], Annotated[str, Meta(max_length=512)]]


class Header(Struct, frozen=True):
    """The first record.

    Attributes
    ----------
    schema : str
        "edge.recording/1".
    started_ms : int
        Wall clock of the start, epoch milliseconds; offsets count from here.
    filters : tuple of str
        What was subscribed.
    own : str
        Topics below this are the gateway's own; empty where nobody said which.
    """

    started_ms: Annotated[int, Meta(ge=0, le=2**53)]
    filters: Annotated[tuple[_Text, ...], Meta(max_length=10_000)] = ()
    own: _Text = ""
    schema: Literal["edge.recording/1"] = "edge.recording/1"


class Message(Struct, frozen=True, array_like=True):
    """Every other record.

    Attributes
    ----------
    offset_us : int
        Microseconds since the start, on a clock that never goes back.
    topic : str
        Where it was published.
    payload : bytes
        As it came.
    qos : int
        0 or 1, as delivered.
    retained : bool
        The broker kept it from earlier.
    user_properties : tuple of (name, value)
        MQTT 5 user properties.
    """

    offset_us: Annotated[int, Meta(ge=0, le=2**53)]
    topic: Annotated[str, Meta(min_length=1, max_length=65_535)]
    payload: bytes
    qos: Annotated[int, Meta(ge=0, le=1)]
    retained: bool = False
    user_properties: Annotated[tuple[_Property, ...], Meta(max_length=64)] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode
_decode_message = msgspec.msgpack.Decoder(Message).decode


class RecordingWriter:
    """Writes a new file; used by one thread.

    Parameters
    ----------
    path : Path
        It must not exist.
    header : Header
        The first record.
    max_bytes : int
        The file grows no further.

    Attributes
    ----------
    n_messages, n_bytes : int
        What is written.

    Raises
    ------
    HostEnvironmentError
        If the file exists already, or the disk refuses.
    """

    def __init__(self, path: Path, header: Header, *, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self.n_messages = 0
        self.n_bytes = 0
        try:
            self._file: BinaryIO = path.open("xb", buffering=_BUFFER_BYTES)
        except FileExistsError as error:
            raise HostEnvironmentError(f"{path}: it exists already; recordings are not overwritten") from error
        except OSError as error:
            raise self._refused(error) from error
        self._put(MAGIC)
        self._put_record(_encode(header))

    def write(self, message: Message) -> bool:
        """Append a message.

        Parameters
        ----------
        message : Message
            Offsets ascend.

        Returns
        -------
        written : bool
            False when there is no more room within ``max_bytes``; the file stays complete.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses.
        """
        record = _encode(message)
        if len(record) > MAX_RECORD_BYTES or self.n_bytes + _FRAME.size + len(record) > self._max_bytes:
            return False
        self._put_record(record)
        self.n_messages += 1
        return True

    def flush(self) -> None:
        """Hand what is written to the operating system."""
        try:
            self._file.flush()
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Write everything to the disk and close the file."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._refused(error) from error
        finally:
            with suppress(OSError):
                self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put_record(self, record: bytes) -> None:
        self._put(_FRAME.pack(len(record), zlib.crc32(record)) + record)

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._refused(error) from error
        self.n_bytes += len(data)

    def _refused(self, error: OSError) -> HostEnvironmentError:
        return HostEnvironmentError(f"{self._path}: the recording cannot be written: {error.strerror or error}")


@dataclass(slots=True)
class RecordingReader:
    """Reads a file from its beginning, one record at a time.

    Attributes
    ----------
    path : Path
        The file.
    header : Header
        Its first record.
    truncated : bool
        Whether the end was found cut off; known when all is read.
    """

    path: Path
    header: Header
    truncated: bool = False

    @classmethod
    def open(cls, path: Path) -> RecordingReader:
        """Look at the beginning of a file.

        Raises
        ------
        UsageError
            If it is no recording, or one of a later version.
        HostEnvironmentError
            If it cannot be read.
        """
        try:
            with path.open("rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    raise UsageError(f'{path}: this is no recording of "edge-runtime record"')
                head = file.read(_FRAME.size)
                length, crc = _FRAME.unpack(head) if len(head) == _FRAME.size else (0, 0)
                record = file.read(min(length, MAX_HEADER_BYTES))
        except OSError as error:
            raise HostEnvironmentError(f"{path}: cannot be read: {error.strerror}") from error
        try:
            if not record or len(record) != length or zlib.crc32(record) != crc:
                raise UsageError(f"{path}: the recording's first record is damaged")
            return cls(path, _decode_header(record))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: a recording of another version, or damaged: {error}") from error

    def messages(self) -> Iterator[Message]:
        """Give the messages in their order; a file that was cut off ends with its last whole record.

        Yields
        ------
        message : Message
            One per record.

        Raises
        ------
        HostEnvironmentError
            If a record before the last one is damaged.
        """
        try:
            with self.path.open("rb", buffering=_BUFFER_BYTES) as file:
                file.seek(len(MAGIC))
                size = os.fstat(file.fileno()).st_size
                records = self._records(file, size)
                next(records, None)
                for place, record in records:
                    yield self._message(place, record)
        except OSError as error:
            raise HostEnvironmentError(f"{self.path}: cannot be read: {error.strerror}") from error

    def _records(self, file: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
        """Give records with their places, as far as they are whole."""
        while head := file.read(_FRAME.size):
            place = file.tell() - len(head)
            if len(head) < _FRAME.size:
                self.truncated = True
                return
            length, crc = _FRAME.unpack(head)
            end = file.tell() + length
            if end > size:
                self.truncated = True
                return
            record = file.read(length) if length <= MAX_RECORD_BYTES else b""
            if len(record) != length or zlib.crc32(record) != crc:
                if end == size:
                    self.truncated = True
                    return
                raise self._damaged(place)
            yield place, record

    def _message(self, place: int, record: bytes) -> Message:
        try:
            message = _decode_message(record)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self._damaged(place) from error
        if filter_fault(message.topic) is not None or "+" in message.topic or "#" in message.topic:
            raise self._damaged(place)
        return message

    def _damaged(self, place: int) -> HostEnvironmentError:
        return HostEnvironmentError(
            f"{self.path}: the recording is damaged at byte {place}; what is before can be played"
        )
