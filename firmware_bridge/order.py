"""The order of the steps: beam search for a small peak of live bytes."""

from __future__ import annotations

from typing import Final

from firmware_bridge.liveness import arena_buffers, saving
from firmware_bridge.program import Program

SEARCHED_STEPS: Final = 400
_BEAM: Final = 64


def _depends(program: Program) -> list[set[int]]:
    """Return for each step the writers of what it reads and the last users of its state before it."""
    writer: dict[int, int] = {}
    last_user: dict[int, int] = {}
    before: list[set[int]] = []
    for index, step in enumerate(program.steps):
        needed = {writer[buffer] for buffer in step.reads if buffer in writer}
        for buffer in step.reads | step.writes:
            if program.buffers[buffer].place == "state":
                if buffer in last_user:
                    needed.add(last_user[buffer])
                last_user[buffer] = index
        for buffer in step.writes:
            writer[buffer] = index
        before.append(needed)
    return before


class _Search:
    """Beam search for an order with a small peak of live bytes."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.before = _depends(program)
        self.kept = {port.buffer for port in program.outputs}
        self.readers: dict[int, int] = {}
        for index, step in enumerate(program.steps):
            for buffer in arena_buffers(program, step.reads):
                self.readers[buffer] = self.readers.get(buffer, 0) | 1 << index

    def _advance(self, done: int, live: int, index: int) -> tuple[int, int]:
        """Peak during a step and live bytes after it."""
        program, step = self.program, self.program.steps[index]
        written = arena_buffers(program, step.writes)
        grown = sum(program.buffers[buffer].nbytes for buffer in written)
        after = done | 1 << index
        dying = [
            buffer
            for buffer in arena_buffers(program, step.reads)
            if buffer not in self.kept and self.readers[buffer] & ~after == 0
        ]
        shared = max(
            (
                program.buffers[target].nbytes
                for source, target in step.in_place
                if source in dying and program.buffers[source].nbytes >= program.buffers[target].nbytes
            ),
            default=0,
        )
        overlap = max(
            (
                saving(program.buffers[source].nbytes, program.buffers[target].nbytes, distance)
                for source, target, distance, _ in step.slides
                if source in dying
            ),
            default=0,
        )
        peak = live + grown - max(shared, overlap) + step.scratch_bytes
        freed = sum(program.buffers[buffer].nbytes for buffer in dying)
        unused = sum(
            program.buffers[buffer].nbytes
            for buffer in written
            if buffer not in self.kept and buffer not in self.readers
        )
        return peak, live + grown - freed - unused

    def run(self) -> tuple[int, ...]:
        """Return the order found."""
        program = self.program
        start = sum(program.buffers[buffer].nbytes for buffer in {port.buffer for port in program.inputs})
        beam: list[tuple[int, int, int, tuple[int, ...]]] = [(start, start, 0, ())]
        for _ in program.steps:
            best: dict[int, tuple[int, int, int, tuple[int, ...]]] = {}
            for peak, live, done, order in beam:
                for index in range(len(program.steps)):
                    if done >> index & 1 or any(not done >> need & 1 for need in self.before[index]):
                        continue
                    during, rest = self._advance(done, live, index)
                    entry = (max(peak, during), rest, done | 1 << index, (*order, index))
                    if entry[2] not in best or entry < best[entry[2]]:
                        best[entry[2]] = entry
            beam = sorted(best.values())[:_BEAM]
        return beam[0][3]


def searched_order(program: Program) -> tuple[int, ...]:
    """Return the order found for the steps; the model's own for graphs too long to search."""
    if len(program.steps) > SEARCHED_STEPS:
        return tuple(range(len(program.steps)))
    return _Search(program).run()
