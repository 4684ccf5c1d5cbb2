"""Read an MQTT PUBLISH packet, and write acknowledgements: what a gateway does most, without paho's detours.

paho builds a general object of properties for every message, which costs more CPU than all the rest of receiving one.
Here a packet becomes an :class:`~edge_runtime.mqtt.interface.Incoming` in one pass. The layout is that of OASIS MQTT
3.1.1 and 5.0, section 3.3.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from msgspec import Struct

from edge_runtime.errors import PayloadFormatError

_RESPONSE_TOPIC, _CORRELATION_DATA, _USER_PROPERTY, _SUBSCRIPTION_ID, _CONTENT_TYPE = 0x08, 0x09, 0x26, 0x0B, 0x03
#: Bytes of the properties that a PUBLISH may hold and that are stepped over: payload format, expiry, topic alias.
_FIXED = {0x01: 1, 0x02: 4, 0x23: 2}
_PUBACK = b"\x40\x02"
_length = struct.Struct(">H").unpack_from


class Publish(Struct):
    """A PUBLISH packet. ``topic`` is None when it is not UTF-8; ``mid`` is 0 at QoS 0."""

    topic: str | None
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    mid: int
    user_properties: tuple[tuple[str, str], ...] = ()
    response_topic: str | None = None
    correlation_data: bytes | None = None


def decode_publish(command: int, packet: bytes, *, v5: bool) -> Publish:
    r"""Read a PUBLISH packet.

    Parameters
    ----------
    command : int
        Its first byte, with the flags.
    packet : bytes
        What follows the remaining length.
    v5 : bool
        MQTT 5 rather than 3.1.1.

    Returns
    -------
    publish : Publish
        Texts of properties that are not UTF-8 hold replacement characters.

    Raises
    ------
    PayloadFormatError
        If the packet does not follow the layout (reason ``bad_packet``): the broker is broken, or no broker.

    Examples
    --------
    >>> decode_publish(0x32, b"\x00\x01a\x00\x07hello", v5=False).payload
    b'hello'
    """
    qos = command >> 1 & 3
    try:
        (n_topic,) = _length(packet, 0)
        place = 2 + n_topic
        mid = 0
        if qos:
            (mid,) = _length(packet, place)
            place += 2
        publish = Publish(_text(packet[2 : 2 + n_topic]), b"", qos, bool(command & 1), bool(command & 8), mid)
        if v5:
            place = _read_properties(packet, place, publish)
    except (struct.error, IndexError) as error:
        raise PayloadFormatError("a PUBLISH packet that is cut off", reason="bad_packet") from error
    if place > len(packet) or qos > 1 or (qos and not mid):
        raise PayloadFormatError("a PUBLISH packet that does not follow MQTT", reason="bad_packet")
    publish.payload = packet[place:]
    return publish


def encode_pubacks(mids: Sequence[int]) -> bytes:
    r"""Write PUBACK packets, one after the other.

    Parameters
    ----------
    mids : sequence of int
        Identifiers, in the order of receipt.

    Returns
    -------
    packets : bytes
        The same at both versions.

    Examples
    --------
    >>> encode_pubacks([7, 8])
    b'@\x02\x00\x07@\x02\x00\x08'
    """
    return b"".join([_PUBACK + mid.to_bytes(2) for mid in mids])


def _text(data: bytes) -> str | None:
    """Decode a topic."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _read_properties(packet: bytes, place: int, publish: Publish) -> int:
    """Read the properties that matter into the message, and give the offset behind all."""
    size, place = _read_variable(packet, place)
    end = place + size
    if not size:
        return end
    pairs: list[tuple[str, str]] = []
    while place < end:
        kind = packet[place]
        place += 1
        if kind == _USER_PROPERTY:
            name, place = _read_field(packet, place)
            value, place = _read_field(packet, place)
            pairs.append((name.decode(errors="replace"), value.decode(errors="replace")))
        elif kind in _FIXED:
            place += _FIXED[kind]
        elif kind == _SUBSCRIPTION_ID:
            _, place = _read_variable(packet, place)
        elif kind in {_RESPONSE_TOPIC, _CORRELATION_DATA, _CONTENT_TYPE}:
            field, place = _read_field(packet, place)
            if kind == _RESPONSE_TOPIC:
                publish.response_topic = _text(field)
            elif kind == _CORRELATION_DATA:
                publish.correlation_data = field
        else:
            raise PayloadFormatError(f"a PUBLISH packet with property {kind}", reason="bad_packet")
    if place != end:
        raise PayloadFormatError("a PUBLISH packet whose properties do not end where they say", reason="bad_packet")
    publish.user_properties = tuple(pairs)
    return end


def _read_field(packet: bytes, place: int) -> tuple[bytes, int]:
    """Read a text or bytes with its length before it."""
    (size,) = _length(packet, place)
    place += 2
    return packet[place : place + size], place + size


def _read_variable(packet: bytes, place: int) -> tuple[int, int]:
    """Read a variable-length number of at most four bytes."""
    value = shift = 0
    for _ in range(4):
        byte = packet[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004 - the bit that says that more follows
            return value, place
        shift += 7
    raise PayloadFormatError("a length of more than four bytes", reason="bad_packet")
