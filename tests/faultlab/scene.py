"""How a plant of the fault table is set up."""

from __future__ import annotations

from dataclasses import dataclass

from tests.integration.daemon_rig import SOURCES

#: A camera behind a wildcard, and a machine at QoS 0, for faults of inputs.
MORE_SOURCES = """
[[camera]]
id = "many"
topic = "plant/many/+/frame"
format = "png"
part = "none"
qos = 1
[[sensor]]
id = "press3"
topics = ["plant/sensor/press3"]
format = "f32"
qos = 0
rate_hz = 16.0
channel = [{ name = "vibration" }, { name = "temperature" }, { name = "current" }, { name = "pressure" }]
"""
TRAP = """
[[camera]]
id = "trap"
topic = "plant/cam/trap/frame"
format = "jpeg"
qos = 1
[[pipeline]]
id = "trapped"
kind = "inspection"
bundle = "tiny-trap"
cameras = ["trap"]
deadline_ms = 8000
"""
LAB_SOURCES = (
    SOURCES.replace('["cam1", "fast"]', '["cam1", "fast", "many"]').replace('"press2"]\n', '"press2", "press3"]\n')
    + MORE_SOURCES
)


@dataclass(frozen=True)
class Scene:
    """How a plant is set up; faults of one scene share a running plant.

    Attributes
    ----------
    name : str
        In the names of folders.
    tls : bool
        Whether the daemon speaks TLS with the broker.
    clock : bool
        Whether the daemon's wall clock can be set.
    small_disk : bool
        Whether the state folder is a small file system of its own.
    own_hosts : bool
        Whether the daemon has a hosts file of its own, and finds the broker by name.
    trap : bool
        Whether there is a camera whose model never comes back from a white picture.
    settings : str
        More of the configuration, TOML.
    broker : tuple of str
        More of the broker's configuration.
    """

    name: str
    tls: bool = False
    clock: bool = False
    small_disk: bool = False
    own_hosts: bool = False
    trap: bool = False
    settings: str = ""
    broker: tuple[str, ...] = ()
