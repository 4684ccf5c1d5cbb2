"""Write the JSON Schemas and the AsyncAPI document of ``docs/formats`` from the Structs that define the payloads.

``python tools/generate_schemas.py`` writes them; ``--check`` only says which are not current, and exits 3.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

PROJECT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(PROJECT))

from edge_runtime import messages  # noqa: E402 - the project must be on the path first
from edge_runtime.mqtt.topics import CHANNELS, Channel  # noqa: E402 - the same

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PARAMETERS = {
    "root": "First level or levels of every topic, gateway.root of the configuration",
    "gateway": "The gateway's id",
    "name": "Name of the metric",
    "pipeline": "The pipeline's id",
    "key": "The alarm, the same at every occurrence",
    "alert_id": "One occurrence of an alarm",
    "model": "Name of the bundle",
    "id": "Id of the command",
    "sha256": "Digest of the bundle",
}
_FIELD = re.compile(r"    (?P<name>\w+): .*")
_REMARK = re.compile(r".*#: (?P<text>.*)")


def remarks(kind: type[Struct]) -> dict[str, str]:
    """Read the remark that stands behind, or above, each field of a Struct."""
    found: dict[str, str] = {}
    for ancestor in reversed(kind.__mro__):
        if not issubclass(ancestor, Struct) or ancestor is Struct:
            continue
        above = ""
        for line in inspect.getsource(ancestor).splitlines():
            field, remark = _FIELD.fullmatch(line), _REMARK.fullmatch(line)
            if field and (remark or above):
                found[field["name"]] = remark["text"] if remark else above
            above = remark["text"] if remark and not field else ""
    return {name: text[0].upper() + text[1:].replace("``", '"') for name, text in found.items()}


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """Build the schema of one payload, self-contained, with each field's remark as its description."""
    (top,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    name = top["$ref"].removeprefix("#/$defs/")
    for part_name, part in parts.items():
        texts = remarks(getattr(messages, part_name))
        part["description"] = (inspect.getdoc(getattr(messages, part_name)) or "").split("\n\n")[0].replace("``", '"')
        for field, property_ in part.get("properties", {}).items():
            if field in texts and "$ref" not in property_:
                property_["description"] = texts[field]
        if not issubclass(kind, messages.Command):
            part["required"] = list(part["properties"])
    schema = parts.pop(name)
    schema = {"$schema": DIALECT, **schema}
    if parts:
        schema["$defs"] = parts
    plain: dict[str, Any] = plain_tuples(schema)
    return plain


def plain_tuples(tree: Any) -> Any:  # noqa: ANN401 - any JSON
    """Write tuples of equal items as arrays of fixed length: AsyncAPI's schemas are of draft 7, which reads it too."""
    if isinstance(tree, list):
        return [plain_tuples(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    items = tree.get("prefixItems")
    if items and all(item == items[0] for item in items):
        tree = {key: value for key, value in tree.items() if key != "prefixItems"} | {"items": items[0]}
    return {key: plain_tuples(value) for key, value in tree.items()}


def file_name(kind: type[Struct]) -> str:
    """Name of a payload's schema file: ``PartVerdict`` is in ``part-verdict.schema.json``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower() + ".schema.json"


def payload_kinds() -> list[type[Struct]]:
    """Every JSON payload, once."""
    kinds = [channel.payload for channel in CHANNELS if not isinstance(channel.payload, str)]
    return list(dict.fromkeys(kinds))


def message_of(channel: Channel) -> dict[str, Any]:
    """Describe the message of one channel."""
    if isinstance(channel.payload, str):
        words = [word.decode() for word in (messages.ONLINE, messages.OFFLINE, messages.STOPPED)]
        text = {"type": "string", "enum": words} if channel.name == "availability" else {"type": "string"}
        return {"name": channel.name, "contentType": channel.payload, "payload": text}
    document = inspect.getdoc(channel.payload) or ""
    return {
        "name": channel.payload.__name__,
        "contentType": "application/json",
        "summary": document.split("\n\n")[0].replace("``", '"'),
        "payload": {"$ref": f"#/components/schemas/{channel.payload.__name__}"},
    }


def asyncapi() -> dict[str, Any]:
    """Build the AsyncAPI 3 document of all topics."""
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for channel in CHANNELS:
        names = re.findall(r"{(\w+)}", channel.address)
        key = channel.name.replace(".", "_").replace("/", "_")
        channels[key] = {
            "address": channel.address,
            "messages": {key: message_of(channel)},
            "parameters": {name: {"description": PARAMETERS[name]} for name in names},
        }
        operations[f"{channel.action}_{key}"] = {
            "action": channel.action,
            "channel": {"$ref": f"#/channels/{key}"},
            "messages": [{"$ref": f"#/channels/{key}/messages/{key}"}],
            "bindings": {"mqtt": {"qos": channel.qos, "retain": channel.retained, "bindingVersion": "0.2.0"}},
        }
        if isinstance(channel.payload, type) and issubclass(channel.payload, messages.Command):
            operations[f"{channel.action}_{key}"]["reply"] = {"channel": {"$ref": "#/channels/reply"}}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "edge-runtime",
            "version": "1",
            "description": "What a gateway publishes and obeys. Input topics are the plant's own; see mqtt.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": dict(component_schemas())},
    }


def component_schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each payload's schema, with its inner parts moved beside it."""
    for kind in payload_kinds():
        text = json.dumps(schema_of(kind)).replace("#/$defs/", "#/components/schemas/")
        schema = json.loads(text)
        schema.pop("$schema")
        yield from schema.pop("$defs", {}).items()
        yield kind.__name__, schema


def documents() -> dict[str, str]:
    """Every generated file's text by its name."""
    trees: dict[str, Any] = {file_name(kind): schema_of(kind) for kind in payload_kinds()}
    trees["asyncapi.json"] = asyncapi()
    return {name: json.dumps(tree, indent=2, ensure_ascii=False) + "\n" for name, tree in trees.items()}


def main() -> int:
    """Write, or with ``--check`` compare, the generated files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 3 when a file is not current")
    check = parser.parse_args().check
    folder = PROJECT / "docs" / "formats"
    stale = [
        name
        for name, text in documents().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]
    for name in stale:
        print(f"{'not current' if check else 'written'}: docs/formats/{name}")
        if not check:
            (folder / name).write_text(documents()[name], encoding="utf-8")
    return 3 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
