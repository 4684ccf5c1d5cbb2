"""Names that may prefix C symbols."""

from __future__ import annotations

import re
from typing import Final

from edge_runtime.errors import UsageError

_NAME = re.compile(r"^[a-z][a-z0-9_]{0,39}$")
_KEYWORDS: Final = frozenset(
    re.split(
        " ",
        "auto break case char const continue default do double else enum extern float for goto if inline "
        "int long register restrict return short signed sizeof static struct switch typedef union "
        "unsigned void volatile while asm bool class delete export false friend mutable namespace new "
        "operator private protected public template this throw true try using virtual arena state main "
        "model edge errno stdin stdout stderr",
    )
)


def check_name(name: str) -> str:
    """Return a name that may prefix C symbols.

    Raises
    ------
    UsageError
        When it is a keyword of C or C++, reserved here, or not ``[a-z][a-z0-9_]*`` of at most 40 characters.
    """
    if name in _KEYWORDS:
        raise UsageError(f"--name {name}: a keyword of C or C++, or taken by the emitted code; choose another name")
    if not _NAME.match(name) or "__" in name:
        raise UsageError(f"--name {name}: use a lower case letter, then at most 39 of a-z, 0-9 and single _")
    return name


def name_from(stem: str) -> str:
    """Make a C name out of a file's stem; keywords and digits in front get ``model_`` put before them."""
    clean = re.sub(r"_+", "_", re.sub(r"[^a-z0-9]", "_", stem.lower())).strip("_")[:33] or "net"
    return clean if clean[0].isalpha() and clean not in _KEYWORDS else f"model_{clean}"
