"""What an examination found: a line per thing, the whole as text or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "fault"]

_MARKS: dict[Level, str] = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at; ``exit_code`` counts where ``level`` is "fault"."""

    level: Level
    subject: str
    text: str
    exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was looked at, in order."""

    lines: tuple[Line, ...]

    @property
    def exit_code(self) -> int:
        """The first fault's; 0 without one."""
        return next((line.exit_code for line in self.lines if line.level == "fault"), 0)

    def as_text(self) -> str:
        """Give a line for a person per thing."""
        width = max(len(line.subject) for line in self.lines)
        return "\n".join(f"{_MARKS[line.level]} {line.subject:<{width}}  {line.text}" for line in self.lines)

    def as_json(self) -> dict[str, object]:
        """Give the same for machines."""
        found = [{"level": line.level, "subject": line.subject, "text": line.text} for line in self.lines]
        return {"ok": self.exit_code == 0, "found": found}
