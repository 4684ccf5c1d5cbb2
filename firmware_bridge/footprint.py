"""Flash and stack of emitted C, as the target's own compiler tells them: sizes of objects, frames along the calls."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final

from edge_runtime.errors import FirmwareError
from firmware_bridge.boards import BOARDS, Board, missing_tools
from firmware_bridge.emit import Emission
from firmware_bridge.targets import Footprint
from firmware_bridge.toolchain import COMPILE_TIMEOUT_S, model_sources, run_tool

#: A compiler needs a second for about this much of constants; emitting shall not take longer.
MAX_CONSTANT_BYTES: Final = 1 << 20
_BOARD_OF: Final = {
    "cortex-m0plus": "m0plus",
    "cortex-m4": "m4",
    "cortex-m33": "m33",
    "cortex-m55": "m55",
    "rv32": "rv32",
}
_NODE = re.compile(r'^node: \{ title: "([^"]+)" label: "[^"]*\\n(\d+) bytes \(', re.MULTILINE)
_EDGE = re.compile(r'^edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', re.MULTILINE)


def measure_footprint(emission: Emission) -> Footprint | None:
    """Compile an emission for its target.

    Parameters
    ----------
    emission : Emission
        All text files.

    Returns
    -------
    footprint : Footprint or None
        None where the target has no compiler of its own ("generic"), the compiler is not installed or not complete,
        or the model has more than ``MAX_CONSTANT_BYTES`` of constants.
    """
    board = BOARDS.get(_BOARD_OF.get(emission.manifest.target, ""))
    if board is None or emission.manifest.constant_bytes > MAX_CONSTANT_BYTES or board.tools[0] in missing_tools(board):
        return None
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "kernels").mkdir()
        for name, text in emission.files.items():
            (work / name).write_text(text, encoding="utf-8")
        try:
            return _compiled(board, emission, work)
        except FirmwareError:  # a compiler without its library or too old: verify tells why
            return None


def _compiled(board: Board, emission: Emission, work: Path) -> Footprint:
    gcc, manifest = board.tools[0], emission.manifest
    sources = model_sources(work, manifest)
    targets = [work / f"{Path(source).stem}.o" for source in sources]
    flags = [*board.flags, "-O2"]

    def compile_one(source: str, target: Path) -> None:
        command = [gcc, *flags, "-std=c99", "-fcallgraph-info=su", "-c", source, "-o", str(target)]
        run_tool(command, timeout_s=COMPILE_TIMEOUT_S)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_one, sources, targets))
    lines = run_tool([gcc.replace("gcc", "size"), *(str(path) for path in targets)]).decode().splitlines()[1:]
    sizes = [int(line.split()[0]) + int(line.split()[1]) for line in lines]
    graphs = [path.with_suffix(".ci").read_text(encoding="utf-8") for path in targets]
    version = run_tool([gcc, "-dumpversion"]).decode().strip()
    stack = deepest_stack(graphs, f"{manifest.name}_invoke")
    return Footprint(f"{gcc} {version} {' '.join(flags)}", sizes[0], sum(sizes[1:]), stack)


def deepest_stack(graphs: Iterable[str], entry: str) -> int:
    """Add up frames along the deepest chain of calls.

    Parameters
    ----------
    graphs : iterable of str
        What gcc writes for ``-fcallgraph-info=su``, one text per file.
    entry : str
        Where the chain begins.

    Returns
    -------
    stack_bytes : int
        Functions of which the frame is not known count as nothing.

    Raises
    ------
    FirmwareError
        When functions call each other in a circle, or ``entry`` is not there.
    """
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for graph in graphs:
        frames.update({title: int(size) for title, size in _NODE.findall(graph)})
        for source, target in _EDGE.findall(graph):
            calls.setdefault(source, set()).add(target)
    for title in list(
        frames
    ):  # weak functions carry their file's name where they are defined, not where they are called
        calls.setdefault(title.rpartition(":")[2], set()).update({title} - {title.rpartition(":")[2]})
    if entry not in frames:
        raise FirmwareError(f"{entry} is not in the compiler's call graph")
    return _depth(entry, frames, calls)


def _depth(entry: str, frames: Mapping[str, int], calls: Mapping[str, set[str]]) -> int:
    @cache
    def below(function: str) -> int:
        return frames.get(function, 0) + max((below(callee) for callee in calls.get(function, ())), default=0)

    try:
        return below(entry)
    except RecursionError as error:
        raise FirmwareError(f"functions below {entry} call each other in a circle") from error
