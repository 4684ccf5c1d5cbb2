"""A process that is confined and then tries everything it must not do; it prints what became of each attempt.

Called with a folder in which everybody may do everything, and a user id to become first (0: stay).
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import platform
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from edge_runtime.daemon.sandbox import confine

MEMORY_LIMIT = 512 << 20
LIBC = ctypes.CDLL(None, use_errno=True)
NUMBERS = {
    "x86_64": (200, 234, 129, 297, 302, 101, 310, 434, 425, 272),
    "aarch64": (130, 131, 138, 240, 261, 117, 270, 434, 425, 97),
}[platform.machine()]
TKILL, TGKILL, SIGQUEUE, TGSIGQUEUE, PRLIMIT, PTRACE, VM_READ, PIDFD_OPEN, IO_URING, UNSHARE = NUMBERS


def call(number: int, *arguments: int) -> int:
    """Make a system call; an error becomes an exception."""
    result = int(LIBC.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments)))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def attempts(folder: Path, victim: int) -> dict[str, Callable[[], object]]:
    """Everything that must be refused."""
    file, other = folder / "file", folder / "other"
    reading = os.open(file, os.O_RDONLY)
    writing = os.open(folder / "log", os.O_RDWR | os.O_CREAT, 0o666)
    information = ctypes.addressof(ctypes.create_string_buffer(256))
    limits = ctypes.create_string_buffer(16)
    return {
        "fork a child that outlives it": os.fork,
        "make an internet socket": lambda: socket.socket(socket.AF_INET),
        "make a unix socket": lambda: socket.socket(socket.AF_UNIX),
        "make a raw socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "run a program": lambda: os.execv("/bin/true", ["true"]),
        "write a file": lambda: os.open(file, os.O_WRONLY),
        "read and write a file": lambda: os.open(file, os.O_RDWR),
        "append to a file": lambda: os.open(file, os.O_WRONLY | os.O_APPEND),
        "create a file": lambda: os.open(other, os.O_RDONLY | os.O_CREAT),
        "empty a file": lambda: os.open(file, os.O_RDONLY | os.O_TRUNC),
        "make a nameless file": lambda: os.open(folder, os.O_TMPFILE | os.O_RDWR),
        "truncate a file": lambda: os.truncate(file, 0),
        "truncate an open file": lambda: os.ftruncate(writing, 0),
        "remove a file": file.unlink,
        "rename a file": lambda: file.rename(other),
        "link a file": lambda: other.hardlink_to(file),
        "make a symbolic link": lambda: other.symlink_to(file),
        "make a folder": other.mkdir,
        "remove a folder": (folder / "folder").rmdir,
        "make a pipe file": lambda: os.mkfifo(other),
        "change a mode": lambda: file.chmod(0o600),
        "change the mode of an open file": lambda: os.fchmod(reading, 0o600),
        "change the times of a file": lambda: os.utime(file, (0, 0)),
        "change an attribute": lambda: os.setxattr(file, "user.x", b"1"),
        "signal a process": lambda: os.kill(victim, 0),
        "signal itself by kill": lambda: os.kill(os.getpid(), 0),
        "signal a thread": lambda: call(TKILL, victim, 0),
        "signal a thread of a process": lambda: call(TGKILL, victim, victim, 0),
        "queue a signal": lambda: call(SIGQUEUE, victim, signal.SIGCONT, information),
        "queue a signal to a thread": lambda: call(TGSIGQUEUE, victim, victim, signal.SIGCONT, information),
        "limit another process": lambda: call(PRLIMIT, victim, resource.RLIMIT_FSIZE, 0, ctypes.addressof(limits)),
        "trace a process": lambda: call(PTRACE, 16, victim, 0, 0),
        "read another's memory": lambda: call(VM_READ, victim, 0, 0, 0, 0, 0),
        "hold a process": lambda: call(PIDFD_OPEN, victim, 0),
        "make a ring of system calls": lambda: call(IO_URING, 1, information),
        "become root again": lambda: os.setresuid(0, 0, 0),
        "raise its memory limit": lambda: resource.setrlimit(resource.RLIMIT_DATA, (-1, -1)),
        "take more memory than allowed": lambda: bytearray(MEMORY_LIMIT + (1 << 20)),
        "change its root": lambda: os.chroot(folder),
        "enter a namespace": lambda: call(UNSHARE, 0x10000000),
    }


def allowances(folder: Path) -> dict[str, Callable[[], object]]:
    """Everything that decoders and engines need."""
    return {
        "read a file": (folder / "file").read_bytes,
        "read about itself": Path("/proc/self/statm").read_text,
        "start a thread": lambda: start_and_join(threading.Thread(target=int)),
        "map memory": lambda: mmap.mmap(-1, 1 << 20),
        "make a memory file": lambda: os.memfd_create("x"),
        "take memory": lambda: bytearray(64 << 20),
        "ask for its limits": lambda: resource.getrlimit(resource.RLIMIT_DATA),
        "raise a signal in itself": lambda: signal.raise_signal(signal.SIGUSR1),
        "ask for randomness": lambda: os.urandom(8),
    }


def start_and_join(thread: threading.Thread) -> None:
    """Run a thread to its end."""
    thread.start()
    thread.join()


def outcome(attempt: Callable[[], object]) -> str:
    """Try it."""
    try:
        attempt()
    except (OSError, MemoryError, ValueError) as error:
        return type(error).__name__
    return "done"


def main() -> None:
    folder, user = Path(sys.argv[1]), int(sys.argv[2])
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    signal.signal(signal.SIGUSR1, lambda *_: None)
    end, beginning = os.pipe()
    victim = os.fork()
    if victim == 0:
        os.close(beginning)
        os.read(end, 1)  # until the prisoner is gone
        os._exit(0)
    forbidden = attempts(folder, victim)
    measures = confine(memory_limit_bytes=MEMORY_LIMIT)
    told = {
        "measures": measures,
        "forbidden": {name: outcome(attempt) for name, attempt in forbidden.items()},
        "allowed": {name: outcome(attempt) for name, attempt in allowances(folder).items()},
        "user": os.geteuid(),
    }
    os.write(1, json.dumps(told).encode())
    os.abort()


if __name__ == "__main__":
    main()
