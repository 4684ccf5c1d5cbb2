"""Programs as C99 text: arrays, parameter structs and the sequence of kernel calls."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from firmware_bridge.plan import Plan
from firmware_bridge.program import Call, Constant, Params, Program, Ref, Scratch, Table

_CTYPES = {
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "uint32": "uint32_t",
    "float32": "float",
}
_PER_LINE = 24
_COMMENT_LIMIT = 160
_BYTE_TEXT = [str(value - 256 if value > 127 else value) for value in range(256)]  # noqa: PLR2004 - int8's range


def comment(text: str) -> str:
    """Make any text safe inside a C comment: printable ASCII, no end mark, limited length."""
    clean = "".join(c if " " <= c <= "~" else "?" for c in text).replace("*/", "* /").replace("/*", "/ *")
    return clean if len(clean) <= _COMMENT_LIMIT else clean[: _COMMENT_LIMIT - 3] + "..."


def float_text(value: float) -> str:
    """Write a float32 as a decimal literal of C and C++; nine digits are enough for the same float32 to be read."""
    text = f"{float(np.float32(value)):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def _item_texts(values: npt.NDArray[np.generic]) -> list[str]:
    flat = values.reshape(-1)
    if flat.dtype == np.int8:
        return [_BYTE_TEXT[byte] for byte in flat.view(np.uint8).tolist()]
    if flat.dtype == np.float32:
        return [float_text(value) for value in flat.tolist()]
    return ["(-2147483647 - 1)" if value == -(1 << 31) else str(value) for value in flat.tolist()]


def array_text(constant: Constant) -> str:
    """Definition of one constant array."""
    ctype = _CTYPES[constant.values.dtype.name]
    items = _item_texts(constant.values)
    lines = (", ".join(items[at : at + _PER_LINE]) for at in range(0, len(items), _PER_LINE))
    body = ",\n  ".join(lines)
    return (
        f"/* {comment(constant.comment)} */\n"
        f"static const {ctype} {constant.name}[{len(items)}] EDGE_ALIGN4 = {{\n  {body}\n}};\n"
    )


def constants_of(program: Program) -> list[Constant]:
    """Every constant array that some call needs, once each, in order of use."""
    found: dict[str, Constant] = {}
    for step in program.steps:
        for call in step.calls:
            for constant in _constants_in(call, program):
                found.setdefault(constant.name, constant)
    return list(found.values())


def _constants_in(call: Call, program: Program) -> Iterator[Constant]:
    for argument in call.arguments:
        if isinstance(argument, Table):
            yield argument.constant
        elif isinstance(argument, Params):
            yield from _constants_in_params(argument)
        elif isinstance(argument, Ref):
            constant = program.buffers[argument.buffer].constant
            if constant is not None:
                yield constant


def _constants_in_params(params: Params) -> Iterator[Constant]:
    for value in params.values.values():
        if isinstance(value, Table):
            yield value.constant
        elif isinstance(value, Params):
            yield from _constants_in_params(value)


def _value_text(value: float | list[int] | Table | Params, indent: str) -> str:
    if isinstance(value, Table):
        return value.constant.name
    if isinstance(value, Params):
        return params_body(value, indent + "  ")
    if isinstance(value, list):
        return "{" + ", ".join(str(item) for item in value) + "}"
    return float_text(value) if isinstance(value, float) else str(value)


def params_body(params: Params, indent: str) -> str:
    """Return the initialiser of a parameter struct, a few fields per line."""
    fields = [f".{name} = {_value_text(value, indent)}" for name, value in params.values.items()]
    lines, line = [], ""
    for item in fields:
        if line and len(indent) + len(line) + len(item) > 108:  # noqa: PLR2004 - leaves room for the separator
            lines.append(line)
            line = item
        else:
            line = f"{line}, {item}" if line else item
    lines.append(line)
    return "{\n" + ",\n".join(indent + text for text in lines) + "\n" + indent[:-2] + "}"


class CallWriter:
    """Writes the calls of a planned program.

    Parameters
    ----------
    program : Program
        As lowered.
    plan : Plan
        Its layout.
    """

    def __init__(self, program: Program, plan: Plan) -> None:
        self.program = program
        self.plan = plan
        self.structs: list[str] = []
        self.body: list[str] = []
        for position, index in enumerate(plan.order):
            step = program.steps[index]
            self.body.append(f"  EDGE_STEP({step.operator}) /* {comment(step.name)} */")
            for call in step.calls:
                self._write(call, position, step.operator)

    def _pointer(self, ref: Ref) -> str:
        buffer = self.program.buffers[ref.buffer]
        if buffer.place == "constant" and buffer.constant is not None:
            return buffer.constant.name
        if buffer.place == "state":
            base, offset = "state", self.plan.state_offset_of[buffer.index]
        else:
            base, offset = "arena", self.plan.offset_of[buffer.index]
        constness = "" if ref.writes else "const "
        return f"({constness}{ref.ctype} *)(void *)({base} + {offset + ref.offset})"

    def _write(self, call: Call, position: int, operator: int) -> None:
        texts = []
        for argument in call.arguments:
            if isinstance(argument, Params):
                name = f"p{len(self.structs)}"
                body = params_body(argument, "  ")
                self.structs.append(
                    f"/* operator {operator} */\nstatic const struct {argument.struct} {name} = {body};\n"
                )
                texts.append(f"&{name}")
            elif isinstance(argument, Table):
                texts.append(argument.constant.name)
            elif isinstance(argument, Ref):
                texts.append(self._pointer(argument))
            elif isinstance(argument, Scratch):
                texts.append(f"arena + {self.plan.scratch_of[position]}")
            else:
                texts.append(str(argument))
        self.body.append(f"  {call.function}({', '.join(texts)});")
