"""The link between daemon and broker fails; the broker itself is well."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faultlab.lab import Lab
from tests.faultlab.surroundings import again_and_again
from tests.faultlab.table import TLS, fault

AWAY = ("broker_disconnected", "inputs_disconnected")


@fault("the link is cut and comes back after two seconds", "link", *AWAY, quick=True)
def link_cut(lab: Lab) -> Iterator[None]:
    lab.proxy.refuse()
    yield
    lab.proxy.pass_on()


@fault("the link is half open: nothing arrives, nothing is refused", "link", *AWAY, quick=True)
def link_half_open(lab: Lab) -> Iterator[None]:
    lab.proxy.black_hole()
    yield
    lab.proxy.pass_on()


@fault("the link breaks every 300 ms for four seconds", "link", lasts_s=4.0)
def link_flaps(lab: Lab) -> Iterator[None]:
    with again_and_again(lab.proxy.cut, every_s=0.3):
        yield


@fault("every byte arrives 500 ms later", "link", lasts_s=6.0, quick=True)
def link_delayed_500_ms(lab: Lab) -> Iterator[None]:
    lab.proxy.delay(0.5)
    yield
    lab.proxy.pass_on()


@fault("10 kB/s in each direction", "link", lasts_s=10.0)
def link_throttled_10_kb_s(lab: Lab) -> Iterator[None]:
    lab.proxy.throttle(10_000)
    yield
    lab.proxy.pass_on()


@fault("nothing reaches the broker; what it says arrives", "link", *AWAY)
def link_stalls_upwards(lab: Lab) -> Iterator[None]:
    lab.proxy.stall("up")
    yield
    lab.proxy.pass_on()


@fault("nothing from the broker arrives; what the daemon says does", "link", *AWAY)
def link_stalls_downwards(lab: Lab) -> Iterator[None]:
    lab.proxy.stall("down")
    yield
    lab.proxy.pass_on()


@fault("each connection is reset after 20 kB, for six seconds", "link", *AWAY, lasts_s=6.0)
def link_drops_after_20_kb(lab: Lab) -> Iterator[None]:
    lab.proxy.cut_after(20_000)
    yield
    lab.proxy.pass_on()


@fault("one bit in a thousand bytes is flipped below TLS", "link", *AWAY, scene=TLS, lasts_s=5.0, quick=True)
def bytes_damaged_below_tls(lab: Lab) -> Iterator[None]:
    lab.proxy.damage(0.001)
    yield
    lab.proxy.pass_on()


@fault(
    "one bit in ten thousand bytes is flipped, without TLS",
    "link",
    lasts_s=6.0,
    forgets=True,
    damages=True,
    alone=True,
)
def bytes_damaged_without_tls(lab: Lab) -> Iterator[None]:
    lab.proxy.damage(0.0001)
    yield
    lab.proxy.pass_on()
