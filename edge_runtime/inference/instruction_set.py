"""Which instruction set the engines' kernels can choose on this CPU.

Integer and float results of an engine may differ between these levels, so that golden vectors name one. The levels
are those at which XNNPACK and MLAS switch their kernels; other CPU flags do not change results.
"""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_MAX_CPUINFO_BYTES = 1 << 20

#: Widest first; a level needs all of its flags, as /proc/cpuinfo calls them.
_X86_LEVELS = (
    ("amx", {"amx_int8", "amx_tile", "avx512_vnni", "avx512bw", "avx512vl"}),
    ("avx512vnni", {"avx512_vnni", "avx512f", "avx512bw", "avx512dq", "avx512vl"}),
    ("avx512", {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}),
    ("avxvnni", {"avx_vnni", "avx2", "fma"}),
    ("avx2", {"avx2", "fma"}),
    ("avx", {"avx"}),
    ("sse4.1", {"sse4_1"}),
)
_ARM_LEVELS = (
    ("sme2", {"sme2", "i8mm"}),
    ("i8mm", {"i8mm", "asimddp"}),
    ("dotprod", {"asimddp"}),
    ("neon", {"asimd"}),
    ("neon", {"neon"}),
)


def instruction_set(machine: str, flags: frozenset[str]) -> str:
    """Name the widest level that a CPU has.

    Parameters
    ----------
    machine : str
        As ``platform.machine`` says: ``x86_64``, ``aarch64``, ``armv7l``.
    flags : frozenset of str
        CPU flags as in /proc/cpuinfo.

    Returns
    -------
    name : str
        Such as ``x86-64-avx512vnni``; ``<machine>-baseline`` where no level fits.

    Examples
    --------
    >>> instruction_set("x86_64", frozenset({"avx", "avx2", "fma"}))
    'x86-64-avx2'
    >>> instruction_set("aarch64", frozenset({"asimd", "asimddp"}))
    'aarch64-dotprod'
    """
    is_x86 = machine in {"x86_64", "AMD64"}
    name = "x86-64" if is_x86 else machine.lower()
    for level, needed in _X86_LEVELS if is_x86 else _ARM_LEVELS:
        if needed <= flags:
            return f"{name}-{level}"
    return f"{name}-baseline"


def parse_cpu_flags(text: str) -> frozenset[str]:
    r"""Find the flags of the first CPU in /proc/cpuinfo.

    Parameters
    ----------
    text : str
        The file.

    Returns
    -------
    flags : frozenset of str
        Empty where the file names none.

    Examples
    --------
    >>> sorted(parse_cpu_flags("processor : 0\nFeatures\t: fp asimd\n"))
    ['asimd', 'fp']
    """
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()


def current_instruction_set() -> str:
    """Name the widest level of the CPU that this process runs on.

    Returns
    -------
    name : str
        As ``instruction_set``.
    """
    try:
        with _CPUINFO.open(encoding="ascii", errors="replace") as file:
            text = file.read(_MAX_CPUINFO_BYTES)
    except OSError:
        text = ""
    return instruction_set(platform.machine(), parse_cpu_flags(text))
