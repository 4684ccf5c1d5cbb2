"""What a configuration's keys say about each other: references, duplicates, topics, limits.

The checks read the plain tree, not the finished Config, and pass over whatever has the wrong type, so that these
faults are listed together with those of single keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from edge_runtime.topic_filters import filter_fault, filters_overlap

Table = dict[str, Any]

#: Defaults of ``[worker]`` that a check needs; a test holds them to the Struct.
DEFAULT_SLOT_BYTES = 4_194_304
DEFAULT_MAX_FRAME_BYTES = 4_128_768
#: Room in a slot for a message's metadata beside its payload.
SLOT_OVERHEAD_BYTES = 65_536
MAX_WILDCARD_FILTERS = 256
MIN_RATE_HZ = 1e-6


def list_contradictions(tree: object) -> list[str]:
    """List what does not fit together.

    Parameters
    ----------
    tree : object
        The configuration as ``tomllib`` gives it.

    Returns
    -------
    faults : list of str
        Each ``path: what is wrong``; empty when all fits.
    """
    if not isinstance(tree, dict):
        return []
    checks = (_duplicate_ids, _topics, _sources, _references, _rules, _broker, _worker)
    return [fault for check in checks for fault in check(tree)]


def _tables(tree: Table, key: str, path: str = "$") -> Iterator[tuple[str, Table]]:
    """Give the tables of an array of tables with their paths."""
    items = tree.get(key)
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict):
            yield f"{path}.{key}[{index}]", item


def _texts(table: Table, key: str) -> list[tuple[int, str]]:
    """Give the texts of an array with their indices."""
    items = table.get(key)
    return [
        (index, item) for index, item in enumerate(items if isinstance(items, list) else []) if isinstance(item, str)
    ]


def _number(table: Table, key: str, default: float) -> float:
    """Give a number, or the default where there is none that can be used."""
    value = table.get(key, default)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def _duplicate_ids(tree: Table) -> Iterator[str]:
    """Cameras and sensors share one name space, since results and alarms name their source."""
    for keys in (("camera", "sensor"), ("pipeline",)):
        seen: dict[str, str] = {}
        for path, table in (entry for key in keys for entry in _tables(tree, key)):
            name = table.get("id")
            if isinstance(name, str) and seen.setdefault(name, path) != path:
                yield f'{path}.id: "{name}" is taken by {seen[name]}; ids are given once'


def _declared_filters(tree: Table) -> Iterator[tuple[str, str]]:
    """Give every input topic with its path."""
    for path, camera in _tables(tree, "camera"):
        if isinstance(camera.get("topic"), str):
            yield f"{path}.topic", camera["topic"]
    for path, sensor in _tables(tree, "sensor"):
        for index, topic in _texts(sensor, "topics"):
            yield f"{path}.topics[{index}]", topic


def _topics(tree: Table) -> Iterator[str]:
    """Topics are legal, none is ours, and no message belongs to two sources."""
    legal: list[tuple[str, str]] = []
    gateway = tree.get("gateway") if isinstance(tree.get("gateway"), dict) else {}
    own = f"{gateway.get('root', 'edge')}/{gateway.get('id', '')}/#" if isinstance(gateway, dict) else "edge//#"
    for path, topic in _declared_filters(tree):
        fault = filter_fault(topic)
        if fault is not None:
            yield f"{path}: {fault}"
        elif topic.startswith("$"):
            yield f'{path}: topics that begin with "$" belong to the broker, and shared subscriptions lose messages'
        elif filters_overlap(topic, own):
            yield f'{path}: "{topic}" also matches what this gateway publishes ({own}); choose a narrower filter'
        else:
            legal.append((path, topic))
    yield from _overlaps(legal)


def _overlaps(filters: list[tuple[str, str]]) -> Iterator[str]:
    """Compare exact topics by name, and only filters with wildcards one by one."""
    seen: dict[str, str] = {}
    wild: list[tuple[str, str]] = []
    for path, topic in filters:
        if "+" in topic or "#" in topic:
            wild.append((path, topic))
        elif seen.setdefault(topic, path) != path:
            yield f'{path}: "{topic}" is taken by {seen[topic]}; a message belongs to one source'
    if len(wild) > MAX_WILDCARD_FILTERS:
        yield f"$: {len(wild)} topics hold wildcards; at most {MAX_WILDCARD_FILTERS} can be compared with each other"
        return
    exact = [(path, topic) for topic, path in seen.items()]
    for (path, topic), (other_path, other) in combinations(wild, 2):
        if filters_overlap(topic, other):
            yield f'{other_path}: "{other}" and "{topic}" of {path} can match the same message; make one narrower'
    for path, topic in wild:
        for other_path, other in exact:
            if filters_overlap(topic, other):
                yield f'{path}: "{topic}" also matches "{other}" of {other_path}; make it narrower'


def _sources(tree: Table) -> Iterator[str]:
    """Mailboxes fit the QoS, parts can be named, and topics carry the channels."""
    for key, default_qos in (("camera", 0), ("sensor", 1)):
        for path, table in _tables(tree, key):
            mailbox = table.get("mailbox")
            blocks = isinstance(mailbox, dict) and mailbox.get("overflow") == "block"
            if blocks and table.get("qos", default_qos) == 0:
                yield (
                    f'{path}.mailbox.overflow: "block" holds up every source and saves nothing at qos = 0; '
                    'write "drop_oldest" or qos = 1'
                )
    for path, camera in _tables(tree, "camera"):
        topic = camera.get("topic")
        if camera.get("part") == "topic" and isinstance(topic, str) and topic.split("/").count("+") != 1:
            yield f'{path}.part: "topic" takes the part from the one "+" of the topic; "{topic}" has none or several'
    for path, sensor in _tables(tree, "sensor"):
        yield from _channels(path, sensor)
        if 0 < _number(sensor, "rate_hz", 0) < MIN_RATE_HZ:
            yield f"{path}.rate_hz: expected at least {MIN_RATE_HZ:g}, or 0 when a sample is an event"


def _channels(path: str, sensor: Table) -> Iterator[str]:
    """One topic for all channels, or one each; a plain number is one channel."""
    n_topics, names = len(_texts(sensor, "topics")), [table.get("name") for _, table in _tables(sensor, "channel")]
    for index, name in enumerate(names):
        if isinstance(name, str) and name in names[:index]:
            yield f'{path}.channel[{index}].name: "{name}" is given twice'
    for index, (_, topic) in enumerate(_texts(sensor, "topics")):
        if n_topics > 1 and ("+" in topic or "#" in topic):
            yield f"{path}.topics[{index}]: several topics stand for one channel each and hold no wildcard"
    if not n_topics or not names:
        return
    if n_topics not in {1, len(names)}:
        yield f"{path}.topics: {n_topics} topics for {len(names)} channels; write one for all, or one for each"
    elif sensor.get("format") == "number" and n_topics != len(names):
        yield f'{path}.format: "number" carries one channel; write one topic for each of the {len(names)} channels'


def _references(tree: Table) -> Iterator[str]:
    """Pipelines name sources that exist, of the sort that their kind needs."""
    ids = {
        key: [str(table["id"]) for _, table in _tables(tree, key) if isinstance(table.get("id"), str)]
        for key in ("camera", "sensor")
    }
    for path, pipeline in _tables(tree, "pipeline"):
        if pipeline.get("id") == "system":
            yield f'{path}.id: "system" is the name of the gateway for its own alarms; choose another'
        for key in ("camera", "sensor"):
            listed = _texts(pipeline, f"{key}s")
            for index, name in listed:
                if name not in ids[key]:
                    there = f"there are {', '.join(ids[key][:20])}" if ids[key] else "none is declared"
                    yield f'{path}.{key}s[{index}]: there is no {key} "{name}"; {there}'
                elif name in [other for _, other in listed[:index]]:
                    yield f'{path}.{key}s[{index}]: "{name}" is listed twice'
        yield from _kind(path, pipeline)


def _kind(path: str, pipeline: Table) -> Iterator[str]:
    """Hold an inspection to cameras and a monitor to sensors."""
    needs = {"inspection": ("cameras", "sensors"), "monitor": ("sensors", "cameras")}.get(str(pipeline.get("kind")))
    if needs is None:
        return
    wanted, other = needs
    if not pipeline.get(wanted):
        yield f"{path}.{wanted}: missing; a pipeline of this kind needs at least one"
    if pipeline.get(other):
        yield f'{path}.{other}: "{pipeline["kind"]}" takes {wanted}; make a second pipeline for {other}'
    if pipeline.get("kind") == "monitor" and "deadline_ms" in pipeline:
        yield f"{path}.deadline_ms: belongs to parts, and a monitor gives no verdict on parts"


def _rules(tree: Table) -> Iterator[str]:
    """Rules are possible and one per label."""
    for pipeline_path, pipeline in _tables(tree, "pipeline"):
        seen: dict[str, str] = {}
        for path, rule in _tables(pipeline, "rule", pipeline_path):
            n, m = _number(rule, "n", 1), _number(rule, "m", 1)
            if n > m:
                yield f"{path}.n: {n} of the last {m} can never be; write m = {n} or more"
            label = str(rule.get("label", "*"))
            if seen.setdefault(label, path) != path:
                yield f'{path}.label: "{label}" has a rule at {seen[label]}'


def _broker(tree: Table) -> Iterator[str]:
    """Credentials are complete and waits are in order."""
    broker = tree.get("broker")
    if not isinstance(broker, dict):
        return
    if "password_file" in broker and "username" not in broker:
        yield "$.broker.username: missing; a password goes with a name"
    if _number(broker, "reconnect_min_s", 0.5) > _number(broker, "reconnect_max_s", 8.0):
        yield "$.broker.reconnect_min_s: is longer than reconnect_max_s"
    tls = broker.get("tls")
    if isinstance(tls, dict):
        for have, need in (("cert_file", "key_file"), ("key_file", "cert_file")):
            if have in tls and need not in tls:
                yield f"$.broker.tls.{need}: missing; it goes with {have}"


def _worker(tree: Table) -> Iterator[str]:
    """Hold the largest payload that is let in to the size of a slot."""
    worker = tree.get("worker")
    worker = worker if isinstance(worker, dict) else {}
    room = _number(worker, "slot_bytes", DEFAULT_SLOT_BYTES) - SLOT_OVERHEAD_BYTES
    wanted = _number(worker, "max_frame_bytes", DEFAULT_MAX_FRAME_BYTES)
    if wanted > room:
        yield (
            f"$.worker.max_frame_bytes: {wanted} does not fit a slot; write at most {room}, "
            f"or slot_bytes = {wanted + SLOT_OVERHEAD_BYTES}"
        )
