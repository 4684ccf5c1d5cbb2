"""What an earlier run said about parts, read from its stored verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress

from edge_runtime.daemon.repeats import FrameKey
from edge_runtime.errors import MessageError
from edge_runtime.messages import PartVerdict, decode


def stored_verdicts(payloads: Iterable[bytes]) -> Iterator[PartVerdict]:
    """Read stored verdicts; what cannot be read is left out, as a later release may have written it."""
    for payload in payloads:
        with suppress(MessageError):
            yield decode(payload, PartVerdict)


def decided_part(verdict: PartVerdict) -> tuple[str, str, float]:
    """Give pipeline, part, and the wall clock (s) at which the part was seen."""
    seen_ms = verdict.source_ms or verdict.ingest_ms or verdict.timestamp_ms
    return verdict.pipeline, verdict.part, seen_ms / 1000


def finished_frame(verdict: PartVerdict) -> FrameKey | None:
    """Name the frame that decided a part, where one camera did."""
    if verdict.camera is None or verdict.source_ms is None:
        return None
    return verdict.camera, verdict.part, verdict.source_ms
