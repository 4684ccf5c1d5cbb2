"""The devices that C is emitted for: RAM, kernel paths, and what their compilers make of an emission."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from edge_runtime.errors import UsageError


@dataclass(frozen=True, slots=True)
class Target:
    """One device class.

    Attributes
    ----------
    name : str
        What ``--target`` takes.
    smlad : bool
        Scratch must suffice for the SMLAD path.
    ram_bytes : int or None
        RAM of a common part of the class; None has no limit.
    flags : str
        Compiler flags that fit, for the README.
    """

    name: str
    smlad: bool
    ram_bytes: int | None
    flags: str

    @property
    def guard(self) -> str:
        """Preprocessor condition under which the emitted file refuses to compile, or "" when every path fits."""
        return "" if self.smlad else "defined(EDGE_USE_DSP)"


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a compiler makes of an emission.

    Attributes
    ----------
    compiler : str
        Name, version and flags.
    model_bytes, kernel_bytes : int
        Code and constants of ``model.c``, and of all kernel files.
    stack_bytes : int
        Frames along the deepest chain of calls from ``<name>_invoke``; calls into the C library and the compiler's own
        support functions are not in it.
    """

    compiler: str
    model_bytes: int
    kernel_bytes: int
    stack_bytes: int

    @property
    def flash_bytes(self) -> int:
        """Model and kernels together."""
        return self.model_bytes + self.kernel_bytes


TARGETS: Final[dict[str, Target]] = {
    target.name: target
    for target in (
        Target("generic", smlad=True, ram_bytes=None, flags="-O2"),
        Target("cortex-m0plus", smlad=False, ram_bytes=32 << 10, flags="-mcpu=cortex-m0plus -mthumb -O2"),
        Target("cortex-m4", smlad=True, ram_bytes=256 << 10, flags="-mcpu=cortex-m4 -mthumb -mfloat-abi=soft -O2"),
        Target("cortex-m33", smlad=True, ram_bytes=512 << 10, flags="-mcpu=cortex-m33 -mthumb -mfloat-abi=soft -O2"),
        Target("cortex-m55", smlad=False, ram_bytes=4 << 20, flags="-mcpu=cortex-m55 -mthumb -mfloat-abi=hard -O2"),
        Target("rv32", smlad=False, ram_bytes=512 << 10, flags="-march=rv32imac -mabi=ilp32 -O2"),
    )
}


def find_target(name: str, ram_kb: int | None = None) -> Target:
    """Return a target by name.

    Parameters
    ----------
    name : str
        Of ``TARGETS``.
    ram_kb : int, optional
        RAM of the user's own part in KiB, in place of the class's.

    Raises
    ------
    UsageError
        When there is none of that name.
    """
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}; choose one of {', '.join(TARGETS)}")
    target = TARGETS[name]
    return target if ram_kb is None else replace(target, ram_bytes=ram_kb << 10)
