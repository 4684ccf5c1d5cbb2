"""Names that may prefix C symbols."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from edge_runtime.errors import UsageError

_LONGEST: Final = 40
_NAME: Final = re.compile(r"[a-z](?:_?[a-z0-9])*")
_PREFIX: Final = "model_"
_DIGEST: Final = 8
_C23: Final = (
    "auto break case char const constexpr continue default do double else enum extern float for goto if inline int "
    "long register restrict return short signed sizeof static struct switch typedef typeof typeof_unqual union "
    "unsigned void volatile while"
)
_CPP26: Final = (
    "alignas alignof and and_eq asm bitand bitor bool catch char16_t char32_t char8_t class co_await co_return "
    "co_yield compl concept const_cast consteval constinit contract_assert decltype delete dynamic_cast explicit "
    "export false final friend import module mutable namespace new noexcept not not_eq nullptr operator or or_eq "
    "override private protected public reinterpret_cast requires static_assert static_cast template this "
    "thread_local throw true try typeid typename using virtual wchar_t xor xor_eq"
)
#: <name>.h lies in the include path and would hide the header of that name.
_HEADERS: Final = (
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg "
    "stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar "
    "wchar wctype "
    "alloca arm_acle arm_cde arm_fp16 arm_mve arm_neon endian features malloc memory newlib picolibc reent strings "
    "unistd"
)
_TAKEN: Final = "arena edge golden main model state stderr stdin stdout"
_RESERVED: Final = frozenset(f"{_C23} {_CPP26} {_HEADERS} {_TAKEN}".split())


def check_name(name: str) -> str:
    """Return a name that may prefix C symbols.

    Raises
    ------
    UsageError
        When it is a keyword of C or C++, a standard header's name, taken by the emitted code, or not
        ``[a-z][a-z0-9_]*`` of at most 40 characters. Two ``_`` in a row, which symbols of a name that ends in one
        would have too, are reserved in C++.
    """
    if name in _RESERVED:
        raise UsageError(
            f"--name {name}: a keyword of C or C++, a standard header, or taken by the emitted code; "
            "choose another name"
        )
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {name}: use a lower case letter, then at most 39 of a-z, 0-9 and single _, no _ at the end"
        )
    return name


def name_from(stem: str) -> str:
    """Make a C name out of a file's stem.

    Reserved names and digits in front get ``model_`` put before them. A name that is too long is cut and ends in a
    digest of the stem, so that models whose names begin alike can be linked into one program.
    """
    clean = re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_") or "net"
    longest = _LONGEST - len(_PREFIX) - 1
    if len(clean) > longest:
        digest = hashlib.sha256(stem.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        clean = f"{clean[: longest - _DIGEST - 1].rstrip('_')}_{digest}"
    return clean if clean[0].isalpha() and clean not in _RESERVED else f"{_PREFIX}{clean}"
