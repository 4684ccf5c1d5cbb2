"""The broker fails, refuses, forgets, or is somebody else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.faultlab.lab import Lab
from tests.faultlab.link_faults import AWAY
from tests.faultlab.proxy import Rewriter
from tests.faultlab.surroundings import again_and_again
from tests.faultlab.table import TLS, fault
from tests.integration.certificates import Certificates, make_certificates
from tests.integration.daemon_rig import GATEWAY

#: CONNACK of MQTT 5 with a reason code and no properties.
_CONNACK = "2003 00 {:02x} 00"
_PUBACK, _SUBACK = 0x40, 0x90


def refusal(code: int) -> bytes:
    """A CONNACK that refuses."""
    return bytes.fromhex(_CONNACK.format(code))


@fault("the daemon starts while the broker is down", "broker", *AWAY, restarts=True, quick=True)
def broker_down_at_start(lab: Lab) -> Iterator[None]:
    lab.daemon.stop()
    lab.broker.stop()
    lab.daemon.start(ready=False)
    yield
    lab.broker.start()


@fault("the broker is stopped in good order and started again", "broker", *AWAY)
def broker_restarted(lab: Lab) -> Iterator[None]:
    lab.broker.stop()
    yield
    lab.broker.start()


@fault("the broker is killed and started again", "broker", *AWAY, forgets=True, quick=True)
def broker_killed(lab: Lab) -> Iterator[None]:
    lab.broker.kill()
    yield
    lab.broker.start()


@fault("the broker hangs (SIGSTOP)", "broker", *AWAY, quick=True)
def broker_suspended(lab: Lab) -> Iterator[None]:
    lab.broker.suspend()
    yield
    lab.broker.resume()


@fault("the broker runs for 30 ms and then stands for 270, again and again", "broker", lasts_s=6.0)
def broker_slow(lab: Lab) -> Iterator[None]:
    def stutter() -> None:
        lab.broker.suspend()
        time.sleep(0.27)
        lab.broker.resume()

    with again_and_again(stutter, every_s=0.03):
        yield


@fault("the broker refuses us: not authorized", "broker", *AWAY)
def broker_refuses_not_authorized(lab: Lab) -> Iterator[None]:
    lab.proxy.answer_with(refusal(0x87))
    yield
    lab.proxy.pass_on()


@fault("the broker refuses us: wrong user name or password", "broker", *AWAY)
def broker_refuses_password(lab: Lab) -> Iterator[None]:
    lab.proxy.answer_with(refusal(0x86))
    yield
    lab.proxy.pass_on()


@fault("the broker refuses us: busy", "broker", *AWAY)
def broker_refuses_busy(lab: Lab) -> Iterator[None]:
    lab.proxy.answer_with(refusal(0x89))
    yield
    lab.proxy.pass_on()


@fault("the broker refuses us: quota exceeded", "broker", *AWAY)
def broker_refuses_over_quota(lab: Lab) -> Iterator[None]:
    lab.proxy.answer_with(refusal(0x97))
    yield
    lab.proxy.pass_on()


@fault("another program listens on the broker's port and speaks no MQTT", "broker", *AWAY)
def broker_is_a_web_server(lab: Lab) -> Iterator[None]:
    lab.proxy.answer_with(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    yield
    lab.proxy.pass_on()


@fault("each published event is answered with quota exceeded", "broker", "events_refused", lasts_s=5.0, quick=True)
def broker_out_of_quota(lab: Lab) -> Iterator[None]:
    ended = threading.Event()
    lab.proxy.rewrite("down", lambda: answering(_PUBACK, 0x97, ended=ended))
    yield
    ended.set()  # the connections stand


@fault("the rights to publish are taken away and given back", "broker", "events_refused", lasts_s=4.0)
def broker_forbids_publishing(lab: Lab) -> Iterator[None]:
    with rights(lab, f"topic read #\ntopic write plant/#\ntopic write edge/{GATEWAY}/cmd/#\n"):
        yield


@fault(
    "each subscription is refused; later the rights are right, and no link breaks",
    "broker",
    "not_subscribed",
    forgets=True,
)
def broker_refuses_subscriptions(lab: Lab) -> Iterator[None]:
    ended = threading.Event()
    lab.proxy.rewrite("down", lambda: answering(_SUBACK, 0x87, ended=ended))
    forget_session(lab, f"{GATEWAY}-in")
    yield
    ended.set()  # the connections stand: the daemon has to ask again


@fault("messages over 600 bytes are refused by the broker", "broker", "events_refused", lasts_s=4.0)
def broker_limits_message_size(lab: Lab) -> Iterator[None]:
    with broker_options(lab, "message_size_limit 600"):
        yield


@fault("the broker keeps ten messages at most for each client; a consumer is away", "broker", forgets=True, lasts_s=4.0)
def broker_drops_for_consumer(lab: Lab) -> Iterator[None]:
    with broker_options(lab, "max_queued_messages 10", "max_inflight_messages 5"):
        lab.consumer.leave()
        time.sleep(4)
        lab.consumer.come_back()
        yield


@fault("the broker loses every session and every retained message", "broker", *AWAY, forgets=True)
def broker_forgets_everything(lab: Lab) -> Iterator[None]:
    lab.broker.stop()
    for path in lab.broker.folder.glob("mosquitto.db*"):
        path.unlink()
    yield
    lab.broker.start()


@fault("another client takes the daemon's client id, again and again", "broker", lasts_s=4.0)
def client_id_stolen(lab: Lab) -> Iterator[None]:
    with again_and_again(lambda: steal(lab, GATEWAY, clean=False), every_s=0.5):
        yield


@fault("another client takes the id of the inputs' session and ends it", "broker", forgets=True, lasts_s=4.0)
def inputs_session_stolen(lab: Lab) -> Iterator[None]:
    with again_and_again(lambda: forget_session(lab, f"{GATEWAY}-in"), every_s=0.5):
        yield


@fault("the broker shows a certificate of an unknown authority, then the right one", "broker", *AWAY, scene=TLS)
def certificate_of_unknown_authority(lab: Lab) -> Iterator[None]:
    with other_certificate(lab, make_certificates(lab.folder / "stranger")):
        yield


@fault("the broker's certificate expires and is renewed", "broker", *AWAY, scene=TLS, quick=True)
def certificate_expired(lab: Lab) -> Iterator[None]:
    with other_certificate(lab, renewed(lab, ends_in_s=-60)):
        yield


@fault("the broker's certificate names another host", "broker", *AWAY, scene=TLS)
def certificate_of_another_host(lab: Lab) -> Iterator[None]:
    with other_certificate(lab, renewed(lab, name="elsewhere.test")):
        yield


def answering(kind: int, code: int, *, ended: threading.Event) -> Rewriter:
    """Put a reason code into every PUBACK or SUBACK of MQTT 5 until it is ended."""
    waiting = bytearray()

    def rewrite(data: bytes) -> bytes:
        waiting.extend(data)
        out = bytearray()
        while (packet := take_packet(waiting)) is not None:
            head, body = packet
            if ended.is_set():
                pass
            elif head[0] & 0xF0 == kind == _PUBACK:
                head, body = bytes([_PUBACK, 3]), body[:2] + bytes([code])
            elif head[0] & 0xF0 == kind:
                start = 3 + body[2]
                body = body[:start] + bytes([code]) * (len(body) - start)
            out += head + body
        return bytes(out)

    return rewrite


def take_packet(waiting: bytearray) -> tuple[bytes, bytes] | None:
    """Remove one whole MQTT packet: fixed header and the rest; None when it is not whole yet."""
    length = shift = 0
    for place in range(1, min(5, len(waiting))):
        length |= (waiting[place] & 0x7F) << shift
        shift += 7
        if not waiting[place] & 0x80:
            end = place + 1 + length
            if len(waiting) < end:
                return None
            packet = bytes(waiting[: place + 1]), bytes(waiting[place + 1 : end])
            del waiting[:end]
            return packet
    return None


def steal(lab: Lab, client_id: str, *, clean: bool) -> None:
    """Connect under the daemon's name, beside the proxy, and leave; a clean start ends the session that there was."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 0 if clean else 3600
    client.connect("127.0.0.1", lab.broker.port, clean_start=clean, properties=properties)
    give_up_at = time.monotonic() + 2
    while not client.is_connected() and time.monotonic() < give_up_at:
        client.loop(0.05)
    client.disconnect()
    client.loop(0.05)


def forget_session(lab: Lab, client_id: str) -> None:
    """Let the broker forget a session of the daemon."""
    steal(lab, client_id, clean=True)


@contextmanager
def broker_options(lab: Lab, *lines: str) -> Iterator[None]:
    """Restart the broker with other options, and with its own ones at the end."""
    before = lab.broker._config.read_text()
    names = {line.split()[0] for line in lines}
    kept = [line for line in before.splitlines() if line.split()[0] not in names]
    lab.broker._config.write_text("\n".join([*kept, *lines]) + "\n")
    lab.broker.restart()
    try:
        yield
    finally:
        lab.broker._config.write_text(before)
        lab.broker.restart()


@contextmanager
def rights(lab: Lab, text: str) -> Iterator[None]:
    """Give everybody other rights, without a new connection, and all rights at the end."""
    path = lab.folder / "rights"
    path.write_text(text)
    before = lab.broker._config.read_text()
    lab.broker._config.write_text(f"{before}acl_file {path}\n")
    lab.reload_broker()
    try:
        yield
    finally:
        path.write_text("topic readwrite #\n")
        lab.reload_broker()


@contextmanager
def other_certificate(lab: Lab, other: Certificates) -> Iterator[None]:
    """Let the broker show another certificate to every new connection, and its own one at the end."""
    assert lab.certificates is not None
    own = lab.certificates
    before = {path: path.read_bytes() for path in (own.server_file, own.server_key_file)}
    _show_certificate(lab, other.server_file.read_bytes(), other.server_key_file.read_bytes())
    try:
        yield
    finally:
        _show_certificate(lab, *before.values())


def _show_certificate(lab: Lab, certificate: bytes, key: bytes) -> None:
    assert lab.certificates is not None
    _replace(lab.certificates.server_file, certificate)
    _replace(lab.certificates.server_key_file, key)
    lab.broker.restart()


def _replace(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


def renewed(lab: Lab, *, ends_in_s: float = 86_400.0, name: str = "localhost") -> Certificates:
    """Another server certificate of the same authority."""
    assert lab.certificates is not None
    return make_certificates(lab.folder / name, authority=lab.certificates, ends_in_s=ends_in_s, host=name)
