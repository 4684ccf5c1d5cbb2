"""List every fault of a tree of plain values against a Struct: msgspec itself stops at the first."""

from __future__ import annotations

import difflib
import json
import math
import operator
import re
from collections.abc import Sequence
from typing import Any

from msgspec import inspect

_MAX_SHOWN = 60
_MAX_MAGNITUDE = 2**63
_SECRET_KEY = re.compile(r"^(password|passwd|pass|secret|token|api_?key|private_?key|psk|credentials?)$")


def list_faults(tree: object, kind: type, *, path: str = "$") -> list[str]:
    """Compare a tree, as ``tomllib`` or ``json`` give it, with the type that it should become.

    Unknown keys are faults, ``"7"`` is not a number, and NaN and infinity are none either.

    Parameters
    ----------
    tree : object
        Dictionaries, lists, strings, numbers and booleans.
    kind : type
        A Struct, or any type that msgspec knows; unions beyond "or nothing" are not supported.
    path : str
        What the root is called.

    Returns
    -------
    faults : list of str
        Each ``path: what is wrong``, in the order of the Struct's fields, then unknown keys; empty when
        ``msgspec.convert(tree, kind)`` will succeed.

    Examples
    --------
    >>> from msgspec import Struct
    >>> class Sensor(Struct):
    ...     rate_hz: float
    ...     unit: str = ""
    >>> list_faults({"unit": 7, "ratehz": 5}, Sensor)
    ['$.rate_hz: missing', '$.unit: expected text, got 7', '$.ratehz: unknown key; did you mean "rate_hz"?']
    """
    faults: list[str] = []
    _walk(tree, inspect.type_info(kind), path, faults)
    return faults


def _walk(value: object, node: inspect.Type, path: str, faults: list[str]) -> None:
    """Visit one value; every kind of node reports for itself."""
    match node:
        case inspect.UnionType(types=types):
            real = [item for item in types if not isinstance(item, inspect.NoneType)]
            _walk(value, real[0], path, faults)
        case inspect.StructType():
            _walk_table(value, node, path, faults)
        case inspect.VarTupleType() | inspect.ListType():
            _walk_array(value, node, path, faults)
        case inspect.DictType():
            _walk_mapping(value, node, path, faults)
        case inspect.IntType() | inspect.FloatType():
            _check_number(value, node, path, faults)
        case inspect.StrType():
            _check_text(value, node, path, faults)
        case inspect.LiteralType() | inspect.BoolType():
            _check_choice(value, node, path, faults)
        case _:
            raise TypeError(f"{path}: a configuration cannot hold {type(node).__name__}")


def _walk_table(value: object, node: inspect.StructType, path: str, faults: list[str]) -> None:
    """Visit the fields of a Struct, then name the keys that it does not have."""
    if not isinstance(value, dict):
        faults.append(f"{path}: expected a table, got {_show(value)}")
        return
    names = [field.encode_name for field in node.fields]
    for field in node.fields:
        inner = f"{path}.{field.encode_name}"
        if field.encode_name in value:
            _walk(value[field.encode_name], field.type, inner, faults)
        elif field.required:
            faults.append(f"{inner}: missing")
    faults.extend(_unknown_key(f"{path}.{key}", key, names) for key in value if key not in names)


def _unknown_key(path: str, key: str, names: Sequence[str]) -> str:
    """Word the fault of an unknown key; a secret's value is never shown."""
    if _SECRET_KEY.match(key.lower()):
        return f'{path}: secrets are not written here; put it in a file and name the file, as in "password_file"'
    close = difflib.get_close_matches(key, names, n=1)
    if close:
        return f'{path}: unknown key; did you mean "{close[0]}"?'
    return f"{path}: unknown key; there are {', '.join(names)}"


def _walk_array(value: object, node: inspect.VarTupleType | inspect.ListType, path: str, faults: list[str]) -> None:
    """Visit the items of an array, after its length."""
    if not isinstance(value, list):
        faults.append(f"{path}: expected an array, got {_show(value)}")
        return
    if node.min_length is not None and len(value) < node.min_length:
        faults.append(f"{path}: expected at least {node.min_length} item(s), got {len(value)}")
    if node.max_length is not None and len(value) > node.max_length:
        faults.append(f"{path}: expected at most {node.max_length} items, got {len(value)}")
        return
    for index, item in enumerate(value):
        _walk(item, node.item_type, f"{path}[{index}]", faults)


def _walk_mapping(value: object, node: inspect.DictType, path: str, faults: list[str]) -> None:
    """Visit the values of a table with free keys."""
    if not isinstance(value, dict):
        faults.append(f"{path}: expected a table, got {_show(value)}")
        return
    for key, item in value.items():
        _walk(key, node.key_type, f"{path}.{key}", faults)
        _walk(item, node.value_type, f"{path}.{key}", faults)


def _check_number(value: object, node: inspect.IntType | inspect.FloatType, path: str, faults: list[str]) -> None:
    """Check type and range of a number; whole numbers are welcome where a real one is asked for."""
    whole = isinstance(node, inspect.IntType)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        faults.append(f"{path}: expected a {'whole ' if whole else ''}number, got {_show(value)}")
        return
    number: Any = value
    if isinstance(number, float) and not math.isfinite(number):
        faults.append(f"{path}: expected a finite number, got {_show(value)}")
        return
    if abs(number) >= _MAX_MAGNITUDE:
        faults.append(f"{path}: {_show(value)} is too large")
        return
    wanted = [
        f"{word} {limit:g}"
        for limit, word, holds in (
            (node.ge, "at least", operator.ge),
            (node.gt, "more than", operator.gt),
            (node.le, "at most", operator.le),
            (node.lt, "less than", operator.lt),
        )
        if limit is not None and not holds(number, limit)
    ]
    if wanted:
        faults.append(f"{path}: expected {' and '.join(wanted)}, got {_show(value)}")


def _check_text(value: object, node: inspect.StrType, path: str, faults: list[str]) -> None:
    """Check type, length and pattern of a text."""
    if not isinstance(value, str):
        faults.append(f"{path}: expected text, got {_show(value)}")
    elif "-----BEGIN" in value:
        faults.append(f"{path}: a key or certificate is not written here; put it in a file and name the file")
    elif node.max_length is not None and len(value) > node.max_length:
        faults.append(f"{path}: expected at most {node.max_length} characters, got {len(value)}")
    elif node.min_length is not None and len(value) < node.min_length:
        faults.append(f"{path}: expected at least {node.min_length} character(s)")
    elif node.pattern is not None and not re.search(node.pattern, value):
        faults.append(f"{path}: expected text like {node.pattern}, got {_show(value)}")


def _check_choice(value: object, node: inspect.LiteralType | inspect.BoolType, path: str, faults: list[str]) -> None:
    """Check one of a few fixed words, or true and false."""
    allowed = [True, False] if isinstance(node, inspect.BoolType) else list(node.values)
    if not any(value == item and type(value) is type(item) for item in allowed):
        words = ", ".join(json.dumps(item) for item in allowed)
        faults.append(f"{path}: expected one of {words}, got {_show(value)}")


def _show(value: object) -> str:
    """Show a value as it stands in the file, shortened."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
