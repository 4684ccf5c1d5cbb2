"""What the worker is not allowed: it decodes strangers' bytes, so it gets neither network nor files nor programs.

Applied after everything it needs is loaded, with what Linux gives to every process: ``no_new_privs``, resource limits,
another user where it starts as root, and a seccomp filter that answers "not permitted" to the calls listed here.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct

from edge_runtime.errors import HostEnvironmentError

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_SIGKILL = 9
_NOBODY = 65534

# Classic BPF, as linux/filter.h and linux/seccomp.h define it.
_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # the second: errno EPERM
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENT_1, _AT_ARGUMENT_2 = 0, 4, 24, 32
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_X32 = 0x40000000

# Audit architecture, then the numbers of the refused calls, of openat and of open (or None), from the kernel's tables.
_TABLES: dict[str, tuple[int, tuple[int, ...], int, int | None]] = {
    "x86_64": (
        0xC000003E,
        (
            # socket connect accept bind listen accept4
            *(41, 42, 43, 49, 50, 288),
            # execve execveat ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd
            *(59, 322, 101, 310, 311, 434, 438),
            # mount umount2 pivot_root chroot unshare setns open_by_handle_at openat2
            *(165, 166, 155, 161, 272, 308, 304, 437),
            # bpf perf_event_open userfaultfd keyctl add_key request_key io_uring_setup init_module finit_module
            *(321, 298, 323, 250, 248, 249, 425, 175, 313),
            # creat unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir link linkat symlink symlinkat truncate
            *(85, 87, 263, 82, 264, 316, 83, 258, 84, 86, 265, 88, 266, 76),
            # chmod fchmodat chown lchown fchownat mknod mknodat setxattr kill
            *(90, 268, 92, 94, 260, 133, 259, 188, 62),
        ),
        257,
        2,
    ),
    "aarch64": (
        0xC00000B7,
        (
            *(198, 203, 202, 200, 201, 242),
            *(221, 281, 117, 270, 271, 434, 438),
            *(40, 39, 41, 51, 97, 268, 265, 437),
            *(280, 241, 282, 219, 217, 218, 425, 105, 273),
            *(35, 38, 276, 34, 37, 36, 45),
            *(53, 54, 33, 5, 129),
        ),
        56,
        None,
    ),
}


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it ends, however it ends."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def confine(*, memory_limit_bytes: int) -> list[str]:
    """Give up, for good, what a worker has no use for.

    Parameters
    ----------
    memory_limit_bytes : int
        Bound on the process's private memory (``RLIMIT_DATA``).

    Returns
    -------
    applied : list of str
        Names of the measures in force, for the log and ``birth``.

    Raises
    ------
    HostEnvironmentError
        If the kernel refuses a measure that every supported kernel has.
    """
    applied = ["no_new_privs", "rlimits"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_limit_bytes, memory_limit_bytes))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        applied.append("own_user")
        die_with_parent()  # the kernel forgets the wish when the user changes
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if _filter_calls():
        applied.append("seccomp")
    return applied


def _filter_calls() -> bool:
    """Install the filter; False on an architecture without a table."""
    table = _TABLES.get(platform.machine())
    if table is None:
        return False
    program = b"".join(struct.pack("HBBI", *step) for step in _program(*table))
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(Program(len(program) // 8, ctypes.addressof(buffer))))
    return True


def _program(
    architecture: int, refused: tuple[int, ...], openat: int, open_: int | None
) -> list[tuple[int, int, int, int]]:
    """Write the filter: refuse a foreign architecture, the listed calls, and opening anything for writing."""
    steps = [(_LOAD, 0, 0, _AT_ARCHITECTURE), (_JUMP_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _REFUSE)]
    steps += [(_LOAD, 0, 0, _AT_NUMBER), (_JUMP_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _REFUSE)]
    for number in refused:
        steps += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    opening = [(openat, _AT_ARGUMENT_2)] + ([] if open_ is None else [(open_, _AT_ARGUMENT_1)])
    for number, flags_at in opening:
        steps += [(_JUMP_EQUAL, 0, 4, number), (_LOAD, 0, 0, flags_at)]
        steps += [(_JUMP_SET, 0, 1, _WRITING), (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    return [*steps, (_RETURN, 0, 0, _ALLOW)]


def _prctl(option: int, *values: object) -> None:
    """Call prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [*values, *([0] * (4 - len(values)))]
    arguments = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in padded]
    if libc.prctl(ctypes.c_int(option), *arguments) != 0:
        code = ctypes.get_errno()
        raise HostEnvironmentError(f"the kernel refuses prctl({option}): {os.strerror(code)}")
