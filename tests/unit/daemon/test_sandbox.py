"""The filter's program, run by a small interpreter: every architecture, whatever this machine is."""

from __future__ import annotations

import os

import pytest

from edge_runtime.daemon import sandbox

ALLOWED, REFUSED = 0x7FFF0000, 0x00050001
OWN_PID = 4711
X86, ARM = "x86_64", "aarch64"


def run(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Interpret the filter for one system call, as linux/filter.h defines it; gives what it returns."""
    calls = sandbox._TABLES[machine]
    words = {0: number, 4: calls.audit_architecture if architecture is None else architecture}
    words |= {16 + 8 * index: argument & 0xFFFFFFFF for index, argument in enumerate([*arguments, 0, 0, 0])}
    program, at, loaded = sandbox._program(calls, OWN_PID), 0, 0
    while True:
        operation, yes, no, value = program[at]
        at += 1
        if operation == 0x06:
            return value
        if operation == 0x20:
            loaded = words[value]
        else:
            holds = {0x15: loaded == value, 0x45: bool(loaded & value), 0x35: loaded >= value}[operation]
            at += yes if holds else no


@pytest.mark.parametrize("machine", [X86, ARM])
def test_every_listed_call_is_refused(machine: str) -> None:
    assert {run(machine, number) for number in sandbox._TABLES[machine].refused} == {REFUSED}


@pytest.mark.parametrize(
    ("machine", "read", "write", "mmap", "exit_group"), [(X86, 0, 1, 9, 231), (ARM, 63, 64, 222, 94)]
)
def test_ordinary_calls_are_allowed(machine: str, read: int, write: int, mmap: int, exit_group: int) -> None:
    assert {run(machine, number, 1, 2, 3) for number in (read, write, mmap, exit_group)} == {ALLOWED}


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY])
@pytest.mark.parametrize(("machine", "openat"), [(X86, 257), (ARM, 56)])
def test_opening_for_reading_is_allowed(machine: str, openat: int, flags: int) -> None:
    assert run(machine, openat, -100, 0x7F00, flags) == ALLOWED


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_RDWR | os.O_TMPFILE, 3])
@pytest.mark.parametrize(("machine", "openat"), [(X86, 257), (ARM, 56)])
def test_opening_for_writing_is_refused(machine: str, openat: int, flags: int) -> None:
    assert run(machine, openat, -100, 0x7F00, flags) == REFUSED


@pytest.mark.parametrize(("machine", "clone"), [(X86, 56), (ARM, 220)])
def test_threads_may_be_made_and_processes_not(machine: str, clone: int) -> None:
    assert run(machine, clone, 0x003D0F00) == ALLOWED  # as the C library makes a thread
    assert run(machine, clone, 0x01200011) == REFUSED  # as it forks


@pytest.mark.parametrize("machine", [X86, ARM])
def test_clone3_does_not_exist_so_that_the_c_library_takes_clone(machine: str) -> None:
    assert run(machine, 435, 0x7F00, 88) == 0x00050000 | 38


def test_the_old_open_is_held_to_its_second_argument() -> None:
    assert [run(X86, 2, 0x7F00, flags, os.O_WRONLY) for flags in (os.O_RDONLY, os.O_WRONLY)] == [ALLOWED, REFUSED]


@pytest.mark.parametrize("machine", [X86, ARM])
@pytest.mark.parametrize(
    ("target", "expected"), [(OWN_PID, ALLOWED), (0, ALLOWED), (OWN_PID + 1, REFUSED), (1, REFUSED), (-1, REFUSED)]
)
def test_signals_to_threads_and_limits_reach_only_the_process_itself(machine: str, target: int, expected: int) -> None:
    assert {run(machine, number, target) for number in sandbox._TABLES[machine].on_itself} == {expected}


@pytest.mark.parametrize("machine", [X86, ARM])
def test_a_call_of_another_architecture_is_refused(machine: str) -> None:
    assert run(machine, 0, architecture=0x40000003) == REFUSED


def test_a_call_of_the_x32_table_is_refused() -> None:
    assert run(X86, 0x40000000) == REFUSED


@pytest.mark.parametrize("machine", [X86, ARM])
def test_no_call_is_listed_twice(machine: str) -> None:
    calls = sandbox._TABLES[machine]
    listed = [*calls.refused, *calls.on_itself, calls.openat, *([] if calls.open is None else [calls.open])]
    assert len(set(listed)) == len(listed)
