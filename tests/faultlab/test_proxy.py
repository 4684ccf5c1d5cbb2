"""The fault proxy does each thing that it is asked for, while connections stand."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.faultlab.proxy import FaultProxy, Rewriter

SLICE = b"0123456789" * 100


class Echo:
    """A server that sends back what it hears."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(link,), daemon=True).start()

    def _answer(self, link: socket.socket) -> None:
        with link, suppress(OSError):
            while data := link.recv(65_536):
                link.sendall(data)

    def close(self) -> None:
        """Take no more."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    echo = Echo()
    with FaultProxy(echo.port) as proxy:
        yield proxy
    echo.close()


@pytest.fixture
def link(proxy: FaultProxy) -> Iterator[socket.socket]:
    """A connection that stands."""
    with connect(proxy) as link:
        assert told(link, b"hello") == b"hello"
        yield link


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def hear(link: socket.socket, count: int) -> bytes:
    heard = b""
    while len(heard) < count and (data := link.recv(count - len(heard))):
        heard += data
    return heard


def told(link: socket.socket, data: bytes) -> bytes:
    link.sendall(data)
    return hear(link, len(data))


def hears_nothing(link: socket.socket, *, within_s: float = 0.2) -> bool:
    before = link.gettimeout()
    link.settimeout(within_s)
    try:
        link.recv(1)
    except TimeoutError:
        return True
    finally:
        link.settimeout(before)
    return False


def seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_bytes_pass_in_both_directions(link: socket.socket) -> None:
    data = SLICE * 1000
    sender = threading.Thread(target=link.sendall, args=(data,))
    sender.start()
    assert hear(link, len(data)) == data
    sender.join()


def test_end_of_one_side_ends_the_other(proxy: FaultProxy, link: socket.socket) -> None:
    link.shutdown(socket.SHUT_WR)
    assert link.recv(1) == b""
    give_up_at = time.monotonic() + 5
    while proxy.n_connected:
        assert time.monotonic() < give_up_at
        time.sleep(0.001)


def test_cut_resets_the_connection(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        link.recv(1)


def test_connection_after_a_cut_passes(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.cut()
    with connect(proxy) as another:
        assert told(another, b"again") == b"again"


def test_refused_connection_finds_nobody_on_the_port(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)


def test_port_is_the_same_after_a_refusal(proxy: FaultProxy) -> None:
    before = proxy.port
    proxy.refuse()
    proxy.pass_on()
    with connect(proxy) as another:
        assert told(another, b"again") == b"again"
    assert proxy.port == before


def test_black_hole_swallows_what_is_sent(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.black_hole()
    link.sendall(b"lost")
    assert hears_nothing(link)


def test_black_hole_accepts_and_says_nothing(proxy: FaultProxy) -> None:
    proxy.black_hole()
    with connect(proxy) as link:
        link.sendall(b"anybody?")
        assert hears_nothing(link)


def test_connection_that_lost_bytes_is_reset_at_the_end_of_a_black_hole(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.black_hole()
    link.sendall(b"lost")
    assert hears_nothing(link)
    proxy.pass_on()
    with pytest.raises(ConnectionResetError):
        link.recv(1)


def test_delayed_bytes_arrive_later_by_the_delay_of_both_directions(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.delay(0.15)
    assert seconds(lambda: told(link, b"slow")) >= 0.3


def test_delay_is_no_limit_to_the_rate(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.delay(0.1)

    def tell_one_by_one() -> None:
        for number in range(20):
            link.sendall(bytes([number]))
            time.sleep(0.01)
        assert hear(link, 20) == bytes(range(20))

    assert seconds(tell_one_by_one) < 3.5  # one after the other they would take 4 s


def test_throttled_bytes_come_at_the_rate(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.throttle(10_000)
    assert seconds(lambda: told(link, bytes(4000))) >= 0.3


def test_damage_flips_about_the_share_of_bits_and_no_length(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.damage(0.01)
    heard = told(link, bytes(20_000))
    assert len(heard) == 20_000
    assert 200 < sum(byte != 0 for byte in heard) < 800


def test_damage_ends_with_the_fault(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.damage(0.5)
    proxy.pass_on()
    assert told(link, SLICE) == SLICE


@pytest.mark.parametrize("direction", ["up", "down"])
def test_stalled_bytes_wait_and_come_later(proxy: FaultProxy, link: socket.socket, direction: str) -> None:
    proxy.stall("up" if direction == "up" else "down")
    link.sendall(SLICE)
    assert hears_nothing(link)
    proxy.pass_on()
    assert hear(link, len(SLICE)) == SLICE


def test_connection_is_cut_after_the_bytes(proxy: FaultProxy, link: socket.socket) -> None:
    proxy.cut_after(1500)
    link.sendall(SLICE)
    heard = b""
    with suppress(ConnectionResetError):
        heard = hear(link, len(SLICE))
    assert len(heard) <= 500
    with pytest.raises(OSError):  # noqa: PT012 - the first send may still go into the kernel's buffer
        for _ in range(100):
            link.sendall(SLICE)
            time.sleep(0.01)


def test_new_connection_is_answered_for_the_server(proxy: FaultProxy) -> None:
    proxy.answer_with(b"no")
    with connect(proxy) as link:
        link.sendall(b"hello")
        assert hear(link, 10) == b"no"


def test_rewriter_sees_each_connection_from_its_start(proxy: FaultProxy) -> None:
    def count() -> Rewriter:
        seen = 0

        def number(data: bytes) -> bytes:
            nonlocal seen
            seen += len(data)
            return str(seen).encode()

        return number

    proxy.rewrite("down", count)
    for _ in range(2):
        with connect(proxy) as link:
            link.sendall(b"abc")
            assert hear(link, 1) == b"3"


def test_carried_bytes_are_counted(proxy: FaultProxy, link: socket.socket) -> None:
    told(link, b"12345")
    assert proxy.carried == {"up": 10, "down": 10}
