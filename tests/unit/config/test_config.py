"""Reading one TOML file into a frozen Config."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from msgspec import inspect

from edge_runtime import config as configuration
from edge_runtime import config_checks
from edge_runtime.config import Config, config_sha256, load_config, parse_config
from edge_runtime.errors import ConfigError, HostEnvironmentError

MINIMAL = b'[gateway]\nid = "g1"\n'
CAMERA = b'[[camera]]\nid = "cam1"\ntopic = "in/cam1"\nformat = "jpeg"\n'
SENSOR = b'[[sensor]]\nid = "m1"\ntopics = ["in/m1"]\nformat = "json"\nrate_hz = 10\n[[sensor.channel]]\nname = "vib"\n'
PIPELINE = b'[[pipeline]]\nid = "p1"\nkind = "inspection"\nbundle = "b1"\ncameras = ["cam1"]\n'


def problems(text: bytes) -> list[str]:
    """Every fault that the configuration is refused for; empty when it is taken."""
    try:
        parse_config(text)
    except ConfigError as error:
        return list(error.problems)
    return []


def test_smallest_configuration_is_one_id() -> None:
    assert parse_config(MINIMAL).gateway.id == "g1"


def test_the_limit_of_a_message_leaves_room_for_our_own() -> None:
    (problem,) = problems(MINIMAL + b"[broker]\nmax_payload_bytes = 65535\n")
    assert "65536" in problem


def test_client_id_is_the_gateway_s_unless_given() -> None:
    assert parse_config(MINIMAL).broker.client_id == "g1"
    assert parse_config(MINIMAL + b'[broker]\nclient_id = "other"\n').broker.client_id == "other"


def test_paths_are_absolute_from_the_file_s_folder() -> None:
    config = parse_config(MINIMAL + b'state_dir = "../state"\n[bundles]\nstore = "/opt/b"\n', path="/etc/edge/a.toml")
    assert (config.gateway.state_dir, config.bundles.store) == ("/etc/state", "/opt/b")


def test_credential_and_certificate_paths_are_absolute_too() -> None:
    text = MINIMAL + b'[broker]\nusername = "u"\npassword_file = "pw"\n[broker.tls]\nca_file = "ca.pem"\n'
    broker = parse_config(text, path="/etc/edge/a.toml").broker
    assert broker.password_file == "/etc/edge/pw"
    assert broker.tls is not None
    assert (broker.tls.ca_file, broker.tls.cert_file, broker.tls.insecure) == ("/etc/edge/ca.pem", None, False)


def test_every_fault_is_listed_at_once_with_its_path() -> None:
    text = (
        b'[gateway]\nid = "Press 4"\n[broker]\nport = "1883"\nkeepalve_s = 3\n'
        b'[[sensor]]\nid = "m1"\ntopics = ["in/#/x"]\nformat = "xml"\n[[sensor.channel]]\nname = "vib"\nscale = nan\n'
        b'[[pipeline]]\nid = "p1"\nkind = "monitor"\nbundle = "b"\nsensors = ["m2"]\n'
    )
    paths = [problem.split(": ")[0] for problem in problems(text)]
    assert paths == [
        "$.gateway.id",
        "$.broker.port",
        "$.broker.keepalve_s",
        "$.sensor[0].format",
        "$.sensor[0].rate_hz",
        "$.sensor[0].channel[0].scale",
        "$.sensor[0].topics[0]",
        "$.pipeline[0].sensors[0]",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "$.gateway: missing"),
        (b"gateway = 3", "$.gateway: expected a table, got 3"),
        (b"[[gateway]]\n", "$.gateway: expected a table, got an array"),
        (MINIMAL + b"camera = 3", "$.gateway.camera: unknown key"),
        (b"camera = 3\n" + MINIMAL, "$.camera: expected an array, got 3"),
        (MINIMAL + b"[broker]\nport = true", "$.broker.port: expected a whole number, got true"),
        (MINIMAL + b"[broker]\nport = 1883.0", "$.broker.port: expected a whole number, got 1883.0"),
        (MINIMAL + b"[broker]\nport = 0", "$.broker.port: expected at least 1, got 0"),
        (MINIMAL + b"[broker]\nport = 70000", "$.broker.port: expected at most 65535, got 70000"),
        (MINIMAL + b"[broker]\nreconnect_min_s = 0", "$.broker.reconnect_min_s: expected more than 0, got 0"),
        (MINIMAL + b"[broker]\nreconnect_min_s = inf", "$.broker.reconnect_min_s: expected a finite number"),
        (MINIMAL + b'[broker]\nprotocol = "4"', '$.broker.protocol: expected one of "3.1.1", "5", got "4"'),
        (MINIMAL + b"[http]\nenabled = 1", "$.http.enabled: expected one of true, false, got 1"),
        (MINIMAL + b"[broker]\nkepalive_s = 9", '$.broker.kepalive_s: unknown key; did you mean "keepalive_s"?'),
        (MINIMAL + b"[http]\nzzz = 9", "$.http.zzz: unknown key; there are enabled, listen, port"),
        (MINIMAL + b'[broker]\nhost = "mqtt://u:p@h"', "$.broker.host: expected text like"),
        (MINIMAL + b"[broker]\nusername = 2020-01-01", '$.broker.username: expected text, got "2020-01-01"'),
        (MINIMAL + b"state_dir = ''", "$.gateway.state_dir: expected at least 1 character(s)"),
        (MINIMAL + b"[outbox]\nmax_bytes = 99999999999999999999", "$.outbox.max_bytes: 99999999999999999999 is too"),
    ],
)
def test_wrong_key_is_named_with_what_to_write(text: bytes, expected: str) -> None:
    assert any(problem.startswith(expected) for problem in problems(text)), problems(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CAMERA + CAMERA, '$.camera[1].id: "cam1" is taken by $.camera[0]'),
        (CAMERA + SENSOR.replace(b'"m1"', b'"cam1"', 1), '$.sensor[0].id: "cam1" is taken by $.camera[0]'),
        (CAMERA + PIPELINE + PIPELINE, '$.pipeline[1].id: "p1" is taken by $.pipeline[0]'),
        (CAMERA + CAMERA.replace(b"cam1", b"cam2", 1), '$.camera[1].topic: "in/cam1" is taken by $.camera[0].topic'),
        (
            CAMERA + SENSOR.replace(b"in/m1", b"in/+"),
            '$.sensor[0].topics[0]: "in/+" also matches "in/cam1" of $.camera',
        ),
        (
            CAMERA.replace(b"in/cam1", b"a/+/c") + SENSOR.replace(b"in/m1", b"a/b/#"),
            '$.sensor[0].topics[0]: "a/b/#" and "a/+/c" of $.camera[0].topic can match the same message',
        ),
        (
            CAMERA.replace(b"in/cam1", b"#"),
            '$.camera[0].topic: "#" also matches what this gateway publishes (edge/g1/#)',
        ),
        (CAMERA.replace(b"in/cam1", b"$share/a/b"), '$.camera[0].topic: topics that begin with "$"'),
        (CAMERA.replace(b"in/cam1", b""), "$.camera[0].topic: is empty"),
        (CAMERA.replace(b"in/cam1", b"a/b+"), '$.camera[0].topic: "+" stands only for a whole level'),
        (CAMERA + b'part = "topic"\n', '$.camera[0].part: "topic" takes the part from the one "+"'),
        (CAMERA + b'mailbox = {depth = 2, overflow = "block"}\n', '$.camera[0].mailbox.overflow: "block" holds up'),
        (SENSOR + b'[[sensor.channel]]\nname = "vib"\n', '$.sensor[0].channel[1].name: "vib" is given twice'),
        (SENSOR.replace(b'["in/m1"]', b'["a", "b"]'), "$.sensor[0].topics: 2 topics for 1 channels"),
        (
            SENSOR.replace(b'["in/m1"]', b'["a", "b/+"]') + b'[[sensor.channel]]\nname = "t"\n',
            "$.sensor[0].topics[1]: several topics stand for one channel each",
        ),
        (
            SENSOR.replace(b"json", b"number") + b'[[sensor.channel]]\nname = "t"\n',
            '$.sensor[0].format: "number" carries one channel',
        ),
        (PIPELINE, '$.pipeline[0].cameras[0]: there is no camera "cam1"; none is declared'),
        (CAMERA + PIPELINE.replace(b"cam1", b"cam9"), 'there is no camera "cam9"; there are cam1'),
        (CAMERA + PIPELINE.replace(b'"cam1"', b'"cam1", "cam1"'), '$.pipeline[0].cameras[1]: "cam1" is listed twice'),
        (CAMERA + PIPELINE.replace(b'id = "p1"', b'id = "system"'), '$.pipeline[0].id: "system" is the name'),
        (CAMERA + PIPELINE.replace(b"inspection", b"monitor"), "$.pipeline[0].sensors: missing"),
        (CAMERA + PIPELINE.replace(b"inspection", b"monitor"), '$.pipeline[0].cameras: "monitor" takes sensors'),
        (
            CAMERA + PIPELINE.replace(b"inspection", b"monitor") + b"deadline_ms = 9\n",
            "$.pipeline[0].deadline_ms: belongs",
        ),
        (CAMERA + PIPELINE + b"[[pipeline.rule]]\nn = 3\nm = 2\n", "$.pipeline[0].rule[0].n: 3 of the last 2"),
        (
            CAMERA + PIPELINE + b"[[pipeline.rule]]\n[[pipeline.rule]]\n",
            '$.pipeline[0].rule[1].label: "*" has a rule at',
        ),
        (b'[broker]\npassword_file = "x"\n', "$.broker.username: missing"),
        (b'[broker]\npassword = "hunter2"\n', "$.broker.password: secrets are not written here"),
        (b'[broker.tls]\ncert_file = "x"\n', "$.broker.tls.key_file: missing"),
        (
            b'[broker.tls]\nkey_file = "-----BEGIN PRIVATE KEY-----"\n',
            "$.broker.tls.key_file: a key or certificate is not",
        ),
        (b"[broker]\nreconnect_min_s = 60\n", "$.broker.reconnect_min_s: is longer"),
        (b"[worker]\nmax_frame_bytes = 8000000\n", "$.worker.max_frame_bytes: 8000000 does not fit a slot"),
    ],
)
def test_contradiction_is_named_with_what_to_write(text: bytes, expected: str) -> None:
    assert any(expected in problem for problem in problems(MINIMAL + text)), problems(MINIMAL + text)


def test_secret_is_not_repeated_in_the_error() -> None:
    assert "hunter2" not in "".join(problems(MINIMAL + b'[broker]\npassword = "hunter2"\n'))


@pytest.mark.parametrize("text", [b"a = [", b"\xff\xfe", b"a = " + b"9" * 5000, b"a = " + b"[" * 5000])
def test_text_that_is_no_toml_is_one_fault(text: bytes) -> None:
    assert len(problems(text)) == 1


def test_file_beyond_the_limit_is_refused_unread() -> None:
    assert "longer than" in problems(b"#" * (configuration.MAX_CONFIG_BYTES + 1))[0]


def test_very_many_wildcards_are_refused_before_they_are_compared() -> None:
    topics = ", ".join(f'"a{index}/+"' for index in range(300)).encode()
    assert "300 topics hold wildcards" in "".join(problems(MINIMAL + SENSOR.replace(b'"in/m1"', topics)))


def test_as_many_wildcards_as_allowed_are_compared() -> None:
    topics = ", ".join(f'"a{index}/+"' for index in range(256)).encode()
    assert "hold wildcards" not in "".join(problems(MINIMAL + SENSOR.replace(b'"in/m1"', topics)))


def test_absent_file_is_an_environment_error(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match=r"gone\.toml: the configuration cannot be read"):
        load_config(tmp_path / "gone.toml")


def test_latest_frame_wins_for_video_that_the_broker_does_not_keep() -> None:
    camera = parse_config(MINIMAL + CAMERA).cameras[0]
    assert (camera.queue.depth, camera.queue.overflow) == (1, "drop_oldest")


def test_qos_1_source_pushes_back_by_default() -> None:
    config = parse_config(MINIMAL + CAMERA + b"qos = 1\n" + SENSOR)
    assert (config.cameras[0].queue.overflow, config.sensors[0].queue.overflow) == ("block", "block")


def test_qos_0_sensor_keeps_the_newest_samples() -> None:
    text = SENSOR.replace(b"rate_hz", b"qos = 0\nrate_hz")
    assert parse_config(MINIMAL + text).sensors[0].queue.overflow == "drop_oldest"


def test_declared_mailbox_is_taken() -> None:
    text = MINIMAL + CAMERA + b'mailbox = {depth = 7, overflow = "drop_newest"}\n'
    assert parse_config(text).cameras[0].queue.depth == 7


def test_label_s_own_rule_comes_before_the_star() -> None:
    rules = b'[[pipeline.rule]]\nlabel = "*"\nseverity = "low"\n[[pipeline.rule]]\nlabel = "crack"\nseverity = "high"\n'
    pipeline = parse_config(MINIMAL + CAMERA + PIPELINE + rules).pipelines[0]
    assert (pipeline.rule_for("crack").severity, pipeline.rule_for("dent").severity) == ("high", "low")


def test_pipeline_without_rules_has_the_default_one() -> None:
    assert parse_config(MINIMAL + CAMERA + PIPELINE).pipelines[0].rule_for("crack").severity == "medium"


def test_digest_ignores_how_the_file_is_written() -> None:
    assert config_sha256(parse_config(MINIMAL)) == config_sha256(parse_config(b'# hello\ngateway = {id="g1"}'))


def test_digest_changes_with_a_value() -> None:
    assert config_sha256(parse_config(MINIMAL)) != config_sha256(parse_config(MINIMAL + b"[broker]\nport = 1884\n"))


def test_defaults_that_the_checks_know_are_those_of_the_struct() -> None:
    worker = configuration.Worker()
    assert worker.slot_bytes == config_checks.DEFAULT_SLOT_BYTES
    assert worker.max_frame_bytes == config_checks.DEFAULT_MAX_FRAME_BYTES


def _keys(kind: type, path: str = "") -> set[str]:
    """Every key that a Struct and those inside it have."""
    found = set()
    node = inspect.type_info(kind)
    assert isinstance(node, inspect.StructType)
    for item in node.fields:
        found.add(f"{path}{item.encode_name}")
        inner = item.type
        if isinstance(inner, inspect.UnionType):
            inner = inner.types[0]
        if isinstance(inner, inspect.VarTupleType):
            inner = inner.item_type
        if isinstance(inner, inspect.StructType):
            found |= _keys(inner.cls, f"{path}{item.encode_name}.")
    return found


def _uncommented(text: str) -> bytes:
    """The sample with its commented keys put in force."""
    return re.sub(r"(?m)^# (?=[a-z_]+ = )", "", text).encode()


def test_sample_file_loads(project: Path) -> None:
    assert load_config(project / "deploy" / "edge-runtime.sample.toml").gateway.id == "press-line-4"


def test_sample_file_shows_every_key(project: Path) -> None:
    text = _uncommented((project / "deploy" / "edge-runtime.sample.toml").read_text())
    shown: set[str] = set()

    def collect(value: object, path: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                shown.add(f"{path}{key}")
                collect(item, f"{path}{key}.")
        elif isinstance(value, list):
            for item in value:
                collect(item, path)

    collect(tomllib.loads(text.decode()), "")
    assert shown == _keys(Config)


def test_commented_keys_of_the_sample_are_the_defaults(project: Path) -> None:
    text = (project / "deploy" / "edge-runtime.sample.toml").read_text()
    plain, spelled = parse_config(text.encode()), parse_config(_uncommented(text))
    rule = spelled.pipelines[0].rules[0]
    assert (rule.severity_n, rule.raise_at, rule.clear_at) == (700, 0.5, 0.3)
    same = msgspec.structs.replace(rule, severity_n=None, raise_at=None, clear_at=None)
    assert spelled.pipelines[0].reference_max_gap == 0.2
    first = msgspec.structs.replace(spelled.pipelines[0], rules=(same,), reference_max_gap=None)
    assert msgspec.structs.replace(spelled, pipelines=(first, spelled.pipelines[1])) == plain
