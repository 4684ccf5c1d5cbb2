"""Recordings: read as written, cut off anywhere, damaged anywhere."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import msgspec
import pytest

from edge_runtime.errors import HostEnvironmentError, UsageError
from edge_runtime.simulator.recording import MAGIC, MAX_RECORD_BYTES, Header, Message, RecordingReader, RecordingWriter

HEADER = Header(1_700_000_000_000, ("plant/#",), "edge/gw1")
MESSAGES = [
    Message(0, "plant/cam/cam1/frame", b"\xff\xd8 picture", 1, False, (("ts_ms", "17"), ("part", "A-1"))),
    Message(1_500_000, "plant/sensor/press", b"", 0, True),
    Message(1_500_000, "plant/ä", bytes(300), 1),
]


def write(path: Path, *messages: Message, max_bytes: int = 1 << 20) -> bytes:
    with RecordingWriter(path, HEADER, max_bytes=max_bytes) as writer:
        for message in messages:
            assert writer.write(message)
    data = path.read_bytes()
    assert len(data) == writer.n_bytes
    return data


def read(path: Path) -> tuple[list[Message], bool]:
    reader = RecordingReader.open(path)
    return list(reader.messages()), reader.truncated


def frame(body: bytes, *, crc: int | None = None, length: int | None = None) -> bytes:
    return struct.pack("<II", len(body) if length is None else length, zlib.crc32(body) if crc is None else crc) + body


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "a.edgerec", *MESSAGES)
    reader = RecordingReader.open(tmp_path / "a.edgerec")
    assert (reader.header, list(reader.messages()), reader.truncated) == (HEADER, MESSAGES, False)


def test_a_recording_can_be_read_twice(tmp_path: Path) -> None:
    write(tmp_path / "a.edgerec", *MESSAGES)
    reader = RecordingReader.open(tmp_path / "a.edgerec")
    assert list(reader.messages()) == list(reader.messages()) == MESSAGES


def test_a_recording_that_is_cut_anywhere_gives_its_whole_messages(tmp_path: Path) -> None:
    path = tmp_path / "a.edgerec"
    data = write(path, *MESSAGES)
    first = len(MAGIC) + 8 + len(msgspec.msgpack.encode(HEADER))
    ends = [first]
    for message in MESSAGES:
        ends.append(ends[-1] + 8 + len(msgspec.msgpack.encode(message)))
    for size in range(first, len(data)):
        path.write_bytes(data[:size])
        whole = sum(size >= end for end in ends[1:])
        assert read(path) == (MESSAGES[:whole], size not in ends)


@pytest.mark.parametrize("size", [0, 4, 8, 12, 20, 40])
def test_a_recording_without_a_whole_header_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.edgerec"
    path.write_bytes(write(path, *MESSAGES)[:size])
    with pytest.raises(UsageError):
        RecordingReader.open(path)


def test_a_flipped_bit_is_noticed_or_taken_for_a_cut_end(tmp_path: Path) -> None:
    path = tmp_path / "a.edgerec"
    data = write(path, *MESSAGES)
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            found, truncated = read(path)
        except (UsageError, HostEnvironmentError):
            continue
        assert truncated, f"byte {place}"
        assert found == MESSAGES[: len(found)]


@pytest.mark.parametrize(
    "body",
    [
        msgspec.msgpack.encode([0, "plant/#", b"", 1, False, []]),
        msgspec.msgpack.encode([0, "", b"", 1, False, []]),
        msgspec.msgpack.encode([0, "t", b"", 2, False, []]),
        msgspec.msgpack.encode([-1, "t", b"", 1, False, []]),
        msgspec.msgpack.encode([0, "t", "text", 1, False, []]),
        msgspec.msgpack.encode([0, "t", b"", 1, False, [["name", "x" * 513]]]),
        msgspec.msgpack.encode([0, "t"]),
        msgspec.msgpack.encode({"topic": "t"}),
        b"",
        b"\xc1",
    ],
)
def test_a_record_that_no_writer_of_ours_writes_is_refused_by_its_place(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "a.edgerec"
    data = write(path)
    path.write_bytes(data + frame(body) + frame(msgspec.msgpack.encode(MESSAGES[0])))
    with pytest.raises(HostEnvironmentError, match=f"damaged at byte {len(data)}"):
        read(path)


def test_elements_of_later_releases_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.edgerec"
    later = msgspec.msgpack.encode([*msgspec.to_builtins(MESSAGES[0], builtin_types=(bytes,)), "more"])
    path.write_bytes(write(path) + frame(later))
    assert read(path) == ([MESSAGES[0]], False)


def test_a_record_that_claims_to_be_huge_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.edgerec"
    data = write(path)
    with path.open("ab") as file:
        file.write(struct.pack("<II", MAX_RECORD_BYTES + 1, 0))
        file.truncate(len(data) + 8 + MAX_RECORD_BYTES + 2)
    with pytest.raises(HostEnvironmentError, match="damaged"):
        read(path)


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.edgerec").write_bytes(b"precious")
    with pytest.raises(HostEnvironmentError, match="exists already"):
        RecordingWriter(tmp_path / "a.edgerec", HEADER, max_bytes=1000)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match="cannot be written"):
        RecordingWriter(tmp_path / "nowhere" / "a.edgerec", HEADER, max_bytes=1000)


def test_a_file_that_may_grow_no_further_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.edgerec"
    with RecordingWriter(path, HEADER, max_bytes=400) as writer:
        assert [writer.write(MESSAGES[2]) for _ in range(3)] == [False] * 3 or writer.n_messages == 1
    found, truncated = read(path)
    assert (len(found), truncated) == (writer.n_messages, False)
    assert path.stat().st_size <= 400


@pytest.mark.parametrize("content", [b"", b"{}", b"EDGEREC2" + bytes(100), MAGIC + frame(b"\xc0")])
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UsageError):
        RecordingReader.open(tmp_path / "a")


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    body = msgspec.msgpack.encode({"schema": "edge.recording/2", "started_ms": 1})
    (tmp_path / "a").write_bytes(MAGIC + frame(body))
    with pytest.raises(UsageError, match="another version"):
        RecordingReader.open(tmp_path / "a")
