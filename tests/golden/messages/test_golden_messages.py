"""Byte-exact payloads and generated documents."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema  # type: ignore[import-untyped] # it has no types of its own
import pytest

from edge_runtime.messages import Command, encode
from edge_runtime.mqtt.topics import CHANNELS
from tests.unit.messages.payloads import EXAMPLES

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def generator(project: Path) -> ModuleType:
    """The tool that writes the schemas."""
    spec = importlib.util.spec_from_file_location("generate_schemas", project / "tools" / "generate_schemas.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", EXAMPLES)
def test_payload_bytes_stay_as_released(name: str) -> None:
    path = FOLDER / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_bytes(encode(EXAMPLES[name]))
    assert encode(EXAMPLES[name]) == path.read_bytes()


def test_generated_documents_are_current(generator: ModuleType, project: Path) -> None:
    stale = [
        name
        for name, text in generator.documents().items()
        if (project / "docs" / "formats" / name).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run: python tools/generate_schemas.py"


@pytest.mark.parametrize("name", EXAMPLES)
def test_payload_is_valid_by_its_published_schema(name: str, project: Path) -> None:
    schema = json.loads((project / "docs" / "formats" / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(json.loads(encode(EXAMPLES[name])))


@pytest.mark.parametrize("name", [name for name, example in EXAMPLES.items() if not isinstance(example, Command)])
def test_published_schema_refuses_a_payload_without_a_field(name: str, project: Path) -> None:
    schema = json.loads((project / "docs" / "formats" / f"{name}.schema.json").read_text(encoding="utf-8"))
    tree = json.loads(encode(EXAMPLES[name]))
    tree.pop(next(reversed(tree)))
    assert not jsonschema.Draft202012Validator(schema).is_valid(tree)


def test_every_field_of_an_alert_is_described(project: Path) -> None:
    schema = json.loads((project / "docs" / "formats" / "alert.schema.json").read_text(encoding="utf-8"))
    assert [name for name, field in schema["properties"].items() if not field.get("description")] == ["schema"]


@pytest.fixture(scope="module")
def document(project: Path) -> dict[str, Any]:
    """The AsyncAPI document as it is published."""
    tree: dict[str, Any] = json.loads((project / "docs" / "formats" / "asyncapi.json").read_text(encoding="utf-8"))
    return tree


def test_asyncapi_document_names_every_topic(document: dict[str, Any]) -> None:
    assert [channel["address"] for channel in document["channels"].values()] == [item.address for item in CHANNELS]


def test_asyncapi_parameters_are_those_of_the_address(document: dict[str, Any]) -> None:
    for channel in document["channels"].values():
        assert list(channel["parameters"]) == re.findall(r"{(\w+)}", channel["address"])


def test_asyncapi_references_all_lead_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        place: Any = document
        for part in reference.split("/"):
            place = place[part]


@pytest.mark.parametrize("dialect", [jsonschema.Draft7Validator, jsonschema.Draft202012Validator])
def test_asyncapi_schemas_accept_the_payloads(document: dict[str, Any], dialect: Any) -> None:
    for example in EXAMPLES.values():
        schema = {"$ref": f"#/components/schemas/{type(example).__name__}", "components": document["components"]}
        dialect(schema).validate(json.loads(encode(example)))


def test_box_of_four_numbers_is_refused_by_the_schema(project: Path) -> None:
    schema = json.loads((project / "docs" / "formats" / "alert.schema.json").read_text(encoding="utf-8"))
    tree = json.loads(encode(EXAMPLES["alert"]))
    tree["boxes"] = [[1, 2, 3, 4]]
    assert not jsonschema.Draft202012Validator(schema).is_valid(tree)
