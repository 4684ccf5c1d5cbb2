"""Resource variables as caller-owned state: VAR_HANDLE, READ_VARIABLE, ASSIGN_VARIABLE and CALL_ONCE."""

from __future__ import annotations

from firmware_bridge.lowering import Lowering
from firmware_bridge.model import Operator
from firmware_bridge.operators.movement import MOVABLE, whole_copy
from firmware_bridge.program import Ref, short_name


def variable_key(operator: Operator) -> str:
    """Name under which all handles of one variable are known."""
    return f"{operator.options['container']}/{operator.options['shared_name']}"


def lower_handle(lowering: Lowering, operator: Operator) -> None:
    """Lower VAR_HANDLE: nothing runs, the output names a variable."""
    lowering.bind_variable(lowering.output(operator), variable_key(operator))


def _variable(lowering: Lowering, operator: Operator, position: int) -> int:
    """Return the state buffer behind input 0, whose size must be that of the tensor that moves."""
    handle = lowering.graph.tensors[operator.inputs[0]] if operator.inputs else None
    moved = lowering.output(operator) if position < 0 else lowering.input(operator, position)
    if handle is None:
        lowering.refuse(operator, "no variable handle", "convert the model again")
    lowering.require_type(operator, moved, MOVABLE)
    key = lowering.variable_key(operator, handle)
    if len(lowering.variables.get(key, bytes(moved.nbytes))) != moved.nbytes:
        lowering.refuse(
            operator,
            f"the variable is initialised with {len(lowering.variables[key])} bytes and {short_name(moved.name)!r} "
            f"has {moved.nbytes}",
            "give the variable one fixed shape",
        )
    buffer = lowering.variable(key, moved)
    if lowering.buffers[buffer].nbytes != moved.nbytes:
        lowering.refuse(operator, "the variable has another size elsewhere", "give the variable one fixed shape")
    return buffer


def lower_read(lowering: Lowering, operator: Operator) -> None:
    """Lower READ_VARIABLE: a copy out of the state."""
    buffer = _variable(lowering, operator, -1)
    target = lowering.output(operator)
    call = whole_copy(lowering, operator, Ref(buffer, "void"), lowering.write(target, "void"), target.nbytes)
    lowering.add(operator, call)


def lower_assign(lowering: Lowering, operator: Operator) -> None:
    """Lower ASSIGN_VARIABLE: a copy into the state."""
    buffer = _variable(lowering, operator, 1)
    source = lowering.input(operator, 1)
    call = whole_copy(
        lowering, operator, lowering.read(source, "void"), Ref(buffer, "void", writes=True), source.nbytes
    )
    lowering.add(operator, call)


def lower_call_once(lowering: Lowering, operator: Operator) -> None:
    """Lower CALL_ONCE: what it assigns has become the state's initial value already."""
    if operator.outputs:
        lowering.refuse(operator, "an initialisation with outputs", "only assign variables in it")
