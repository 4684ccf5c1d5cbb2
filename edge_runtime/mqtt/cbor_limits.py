"""Walk over CBOR without building anything: where it ends, and whether it stays within limits.

A decoder trusts lengths, tags and nesting; a broker lets anybody write them. What passes here is plain data: maps,
arrays, texts, bytes, numbers, true, false and null, of definite length, without tags.
"""

from __future__ import annotations

from edge_runtime.errors import PayloadFormatError, PayloadSizeError

MAX_DEPTH = 8
MAX_MAP_PAIRS = 64

_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _SIMPLE = range(8)
_WIDTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_LAST_INLINE = 23
_FALSE, _NULL = 20, 22
_FLOAT_WIDTHS = {0xF9: 3, 0xFA: 5, 0xFB: 9}


def end_of_item(data: bytes | memoryview, start: int, *, max_items: int) -> int:
    """Find where the CBOR item at ``start`` ends.

    Parameters
    ----------
    data : bytes
        Bytes that hold the item, and perhaps more.
    start : int
        Where it begins.
    max_items : int
        Items, counted through all nesting, that are at most accepted.

    Returns
    -------
    end : int
        Offset of the first byte behind it.

    Raises
    ------
    PayloadFormatError
        If it is cut off (reason ``truncated``) or holds tags, indefinite lengths or reserved codes (``bad_cbor``).
    PayloadSizeError
        If it is nested deeper than ``MAX_DEPTH`` (``too_deep``) or has more items than allowed (``too_many_items``).

    Examples
    --------
    >>> end_of_item(bytes.fromhex("8301 02f6 ff"), 0, max_items=10)
    4
    """
    position, seen = start, 0
    open_items = [1]
    while open_items:
        if not open_items[-1]:
            open_items.pop()
            continue
        open_items[-1] -= 1
        seen += 1
        major, argument, position = _head(data, position)
        if major in {_BYTES, _TEXT}:
            position += argument
        elif major == _ARRAY:
            position, left = _skip_floats(data, position, argument)
            seen += argument - left
            open_items.append(left)
        elif major == _MAP:
            if argument > MAX_MAP_PAIRS:
                raise PayloadSizeError(f"a CBOR map of {argument} pairs", reason="too_many_items")
            open_items.append(2 * argument)
        if seen > max_items:
            raise PayloadSizeError(f"more than {max_items} CBOR items", reason="too_many_items")
        if len(open_items) > MAX_DEPTH + 1:
            raise PayloadSizeError(f"CBOR nested deeper than {MAX_DEPTH}", reason="too_deep")
        if position + open_items[-1] > len(data):
            raise PayloadFormatError("the CBOR item is cut off", reason="truncated")
    return position


def _head(data: bytes | memoryview, position: int) -> tuple[int, int, int]:
    """Read one head: major type, argument, and the offset behind it."""
    if position >= len(data):
        raise PayloadFormatError("the CBOR item is cut off", reason="truncated")
    major, info = data[position] >> 5, data[position] & 31
    position += 1
    argument = info
    if info > _LAST_INLINE:
        width = _WIDTHS.get(info)
        if width is None:
            raise PayloadFormatError("CBOR of indefinite length, or a reserved code", reason="bad_cbor")
        if position + width > len(data):
            raise PayloadFormatError("the CBOR item is cut off", reason="truncated")
        argument = int.from_bytes(data[position : position + width])
        position += width
    if major == _TAG:
        raise PayloadFormatError("CBOR tags are not accepted; write plain numbers", reason="bad_cbor")
    if major == _SIMPLE and (info == 24 or info < _FALSE or _NULL < info <= _LAST_INLINE):  # noqa: PLR2004 - RFC 8949
        raise PayloadFormatError(
            "CBOR simple values other than true, false and null are not accepted", reason="bad_cbor"
        )
    return major, argument, position


def _skip_floats(data: bytes | memoryview, position: int, count: int) -> tuple[int, int]:
    """Step over an array that is nothing but floats of one width, in one comparison; else over nothing."""
    width = _FLOAT_WIDTHS.get(data[position]) if position < len(data) else None
    if width is None or count > (len(data) - position) // width:
        return position, count
    end = position + count * width
    if bytes(data[position:end:width]) != bytes((data[position],)) * count:
        return position, count
    return end, 0
