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
from contextlib import suppress
from dataclasses import dataclass

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
_UNKNOWN = 0x00050000 | 38  # errno ENOSYS: the C library then takes the older call
_CLONE_THREAD = 0x00010000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENT_0, _AT_ARGUMENT_1, _AT_ARGUMENT_2 = 0, 4, 16, 24, 32
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_X32 = 0x40000000


@dataclass(frozen=True, slots=True)
class _Calls:
    """System calls of an architecture, by their numbers in the kernel's tables.

    ``refused`` are refused always, ``on_itself`` unless their first argument is this process (or 0 for it). ``openat``
    and ``open`` are refused when they would write, ``clone`` when it would make a process and not a thread; ``clone3``,
    whose flags a filter cannot see, does not exist.
    """

    audit_architecture: int
    refused: tuple[int, ...]
    on_itself: tuple[int, ...]
    openat: int
    open: int | None
    clone: int
    clone3: int = 435


_TABLES: dict[str, _Calls] = {
    "x86_64": _Calls(
        audit_architecture=0xC000003E,
        refused=(
            # socket connect accept bind listen accept4
            *(41, 42, 43, 49, 50, 288),
            # execve execveat ptrace process_vm_readv process_vm_writev pidfd_open pidfd_getfd pidfd_send_signal
            *(59, 322, 101, 310, 311, 434, 438, 424),
            # mount umount2 pivot_root chroot unshare setns open_by_handle_at openat2
            *(165, 166, 155, 161, 272, 308, 304, 437),
            # bpf perf_event_open userfaultfd keyctl add_key request_key io_uring_setup init_module finit_module
            *(321, 298, 323, 250, 248, 249, 425, 175, 313),
            # creat unlink unlinkat rename renameat renameat2 mkdir mkdirat rmdir link linkat symlink symlinkat
            *(85, 87, 263, 82, 264, 316, 83, 258, 84, 86, 265, 88, 266),
            # truncate ftruncate fallocate utime utimes futimesat utimensat
            *(76, 77, 285, 132, 235, 261, 280),
            # chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat mknod mknodat
            *(90, 91, 268, 452, 92, 93, 94, 260, 133, 259),
            # setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
            *(188, 189, 190, 197, 198, 199),
            # kill tkill rt_sigqueueinfo rt_tgsigqueueinfo
            *(62, 200, 129, 297),
            # fork vfork memfd_secret: a child would outlive the worker
            *(57, 58, 447),
        ),
        on_itself=(234, 302),  # tgkill prlimit64
        openat=257,
        open=2,
        clone=56,
    ),
    "aarch64": _Calls(
        audit_architecture=0xC00000B7,
        refused=(
            *(198, 203, 202, 200, 201, 242),
            *(221, 281, 117, 270, 271, 434, 438, 424),
            *(40, 39, 41, 51, 97, 268, 265, 437),
            *(280, 241, 282, 219, 217, 218, 425, 105, 273),
            *(35, 38, 276, 34, 37, 36),
            *(45, 46, 47, 88),
            *(53, 52, 452, 54, 55, 33),
            *(5, 6, 7, 14, 15, 16),
            *(129, 130, 138, 240),
            *(447,),
        ),
        on_itself=(131, 261),
        openat=56,
        open=None,
        clone=220,
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
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory_limit_bytes if hard == resource.RLIM_INFINITY else min(memory_limit_bytes, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))  # engines make memory files, which are no private memory
    if os.geteuid() == 0:
        with suppress(OSError):  # a container may have taken away the capability, and other users with it
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
    calls = _TABLES.get(platform.machine())
    if calls is None:
        return False
    program = b"".join(struct.pack("HBBI", *step) for step in _program(calls, os.getpid()))
    buffer = ctypes.create_string_buffer(program, len(program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(Program(len(program) // 8, ctypes.addressof(buffer))))
    return True


def _program(calls: _Calls, own_pid: int) -> list[tuple[int, int, int, int]]:
    """Write the filter: refuse a foreign architecture, the listed calls, opening for writing, and child processes."""
    refuse, allow = (_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)
    steps = [(_LOAD, 0, 0, _AT_ARCHITECTURE), (_JUMP_EQUAL, 1, 0, calls.audit_architecture), refuse]
    steps += [(_LOAD, 0, 0, _AT_NUMBER), (_JUMP_AT_LEAST, 0, 1, _X32), refuse]
    for number in calls.refused:
        steps += [(_JUMP_EQUAL, 0, 1, number), refuse]
    for number in calls.on_itself:
        steps += [(_JUMP_EQUAL, 0, 5, number), (_LOAD, 0, 0, _AT_ARGUMENT_0)]
        steps += [(_JUMP_EQUAL, 2, 0, own_pid), (_JUMP_EQUAL, 1, 0, 0), refuse, allow]
    opening = [(calls.openat, _AT_ARGUMENT_2)] + ([] if calls.open is None else [(calls.open, _AT_ARGUMENT_1)])
    for number, flags_at in opening:
        steps += [(_JUMP_EQUAL, 0, 4, number), (_LOAD, 0, 0, flags_at)]
        steps += [(_JUMP_SET, 0, 1, _WRITING), refuse, allow]
    steps += [(_JUMP_EQUAL, 0, 1, calls.clone3), (_RETURN, 0, 0, _UNKNOWN)]
    steps += [(_JUMP_EQUAL, 0, 4, calls.clone), (_LOAD, 0, 0, _AT_ARGUMENT_0)]
    steps += [(_JUMP_SET, 0, 1, _CLONE_THREAD), allow, refuse]
    return [*steps, allow]


def _prctl(option: int, *values: object) -> None:
    """Call prctl(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [*values, *([0] * (4 - len(values)))]
    arguments = [ctypes.c_ulong(value) if isinstance(value, int) else value for value in padded]
    if libc.prctl(ctypes.c_int(option), *arguments) != 0:
        code = ctypes.get_errno()
        raise HostEnvironmentError(f"the kernel refuses prctl({option}): {os.strerror(code)}")
