"""What differs between the configuration in force and the one in the file, and what of it can be had without a restart.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from edge_runtime.config import Camera, Config, Pipeline, Sensor

#: Fields of ``Config`` that a running daemon takes over; all others are read at its start.
_LIVE = ("outbox", "alarms", "cameras", "sensors", "pipelines")


@dataclass(frozen=True, slots=True)
class Difference:
    """What a new configuration changes.

    Attributes
    ----------
    config : Config
        The new one, with everything that needs a restart as it was.
    live : tuple of str
        Paths of what changes now.
    restart : tuple of str
        Paths of what stays as it was until the daemon starts again.
    leaving : frozenset of str
        Sources that are gone, or whose samples are read otherwise: what came of them belongs to the old configuration.
    gone : frozenset of str
        Pipelines that are gone.
    """

    config: Config
    live: tuple[str, ...]
    restart: tuple[str, ...]
    leaving: frozenset[str]
    gone: frozenset[str]


def compare(old: Config, new: Config) -> Difference:
    r"""Compare two configurations.

    Parameters
    ----------
    old : Config
        The one in force.
    new : Config
        The one to come.

    Examples
    --------
    >>> from edge_runtime.config import parse_config
    >>> old = parse_config(b'[gateway]\nid = "a"\n[outbox]\ndrain_per_s = 5.0')
    >>> new = parse_config(b'[gateway]\nid = "a"\n[outbox]\ndrain_per_s = 6.0\n[http]\nport = 1')
    >>> difference = compare(old, new)
    >>> difference.live, difference.restart
    (('$.outbox.drain_per_s',), ('$.http.port',))
    """
    merged = msgspec.structs.replace(old, **{name: getattr(new, name) for name in _LIVE})
    before, after = _readings(old), _readings(new)
    return Difference(
        config=merged,
        live=tuple(_paths(old, merged, "$")),
        restart=tuple(_paths(merged, new, "$")),
        leaving=frozenset(name for name, how in before.items() if after.get(name) != how),
        gone=frozenset(each.id for each in old.pipelines) - {each.id for each in new.pipelines},
    )


def _readings(config: Config) -> dict[str, object]:
    """Give by source what its decoded inputs depend on: a picture says everything itself."""
    cameras: dict[str, object] = {camera.id: "picture" for camera in config.cameras}
    return cameras | {sensor.id: (sensor.channels, sensor.rate_hz) for sensor in config.sensors}


def _paths(old: object, new: object, path: str) -> Iterator[str]:
    """Name what differs, as deep as it is a section or a list of things with ids."""
    if old == new:
        return
    if isinstance(old, Struct) and type(old) is type(new):
        for field in fields(old):
            yield from _paths(getattr(old, field.name), getattr(new, field.name), f"{path}.{field.encode_name}")
        return
    before, after = _by_id(old), _by_id(new)
    if before is None or after is None:
        yield path
    else:
        yield from _paths_by_id(before, after, path)


def _by_id(values: object) -> dict[str, Struct] | None:
    """Give sources or pipelines by their ids; None for anything else."""
    if not isinstance(values, tuple) or not all(isinstance(each, (Camera, Sensor, Pipeline)) for each in values):
        return None
    return {each.id: each for each in values}


def _paths_by_id(old: dict[str, Struct], new: dict[str, Struct], path: str) -> Iterator[str]:
    for name in {**old, **new}:
        if name not in new:
            yield f"{path}[{name}] (gone)"
        elif name not in old:
            yield f"{path}[{name}] (new)"
        else:
            yield from _paths(old[name], new[name], f"{path}[{name}]")
