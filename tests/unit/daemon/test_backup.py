"""Backup and restore of a gateway's state."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from edge_runtime.backup_command import backup as backup_command
from edge_runtime.backup_command import restore as restore_command
from edge_runtime.bundle.durable import Disk
from edge_runtime.bundle.folder import StoreFolder
from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.daemon import backup
from edge_runtime.daemon.archive import limit_of, open_archive, write_archive
from edge_runtime.daemon.backup import back_up
from edge_runtime.daemon.downgrading import downgrade
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.restoring import restore
from edge_runtime.daemon.state import claim_state_dir
from edge_runtime.errors import ConfigError, HostEnvironmentError
from edge_runtime.terminal import run_command
from tests.bundles import TRUSTED, image_bundle, trusting_store
from tests.unit.daemon.first_schema import write_first_schema
from tests.unit.daemon.outboxes import event

CONFIG = b'[gateway]\nid = "gw1"\n[broker]\nusername = "gw1"\npassword_file = "secret"\n'


class Gateway:
    """A gateway's folder with an outbox, a bundle and a secret."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "gateway.toml"
        self.outbox = folder / "state" / "outbox.sqlite"
        (folder / "state").mkdir(parents=True)
        self.config.write_bytes(CONFIG)
        (folder / "secret").write_text("hunter2")
        trusting_store(folder / "bundles").install(read_bundle(image_bundle(), TRUSTED), activate=True)
        self.write(1, 2, 3)

    def write(self, *numbers: int, boot_id: str = "boot-1", acknowledge: int = 0) -> None:
        with closing(Outbox(self.outbox, boot_id=boot_id)) as outbox:
            outbox.commit([event(number, boot_id=boot_id) for number in numbers], {"alarm/a": b"%d" % len(numbers)})
            outbox.mark_acknowledged([stored.id for stored in outbox.unsent(acknowledge)])

    def back_up(self, name: str = "b.tar") -> Path:
        target = self.folder / name
        back_up(self.config, target)
        return target


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path / "gw")


def unsent(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT event_id FROM event WHERE acked_ms IS NULL ORDER BY id")]


def test_a_backup_put_back_elsewhere_is_the_same_gateway(gateway: Gateway, tmp_path: Path) -> None:
    done = restore(gateway.back_up(), tmp_path / "new" / "gateway.toml")
    new = tmp_path / "new"
    assert (done.n_unsent, done.n_bundles, done.replaced, done.config_written) == (3, 1, None, True)
    assert unsent(new / "state" / "outbox.sqlite") == unsent(gateway.outbox)
    assert (new / "gateway.toml").read_bytes() == CONFIG
    store = BundleStore(new / "bundles")
    assert store.load("tiny-surface").digest == BundleStore(gateway.folder / "bundles").load("tiny-surface").digest
    with closing(Outbox(new / "state" / "outbox.sqlite", boot_id="boot-2")) as outbox:
        assert outbox.load_state("") == {"alarm/a": b"3"}
        assert outbox.mendings == []


def test_the_same_state_gives_the_same_bytes(gateway: Gateway) -> None:
    assert gateway.back_up("one.tar").read_bytes() == gateway.back_up("two.tar").read_bytes()


def test_no_secret_is_in_a_backup(gateway: Gateway) -> None:
    data = gateway.back_up().read_bytes()
    assert b"hunter2" not in data
    assert b"PRIVATE KEY" not in data


def test_only_its_owner_may_read_a_backup(gateway: Gateway) -> None:
    assert gateway.back_up().stat().st_mode & 0o777 == 0o600


def test_a_private_key_among_the_trusted_ones_is_refused(gateway: Gateway) -> None:
    (gateway.folder / "bundles" / "trust" / "oops.pem").write_text("-----BEGIN PRIVATE KEY-----\nAA==\n")
    with pytest.raises(HostEnvironmentError, match=r"oops\.pem: no public key"):
        gateway.back_up()
    assert not list(gateway.folder.glob("b.tar*"))


def test_a_backup_is_made_while_another_process_has_the_outbox_open(gateway: Gateway) -> None:
    with closing(Outbox(gateway.outbox, boot_id="boot-2")) as outbox:
        outbox.commit([event(1, boot_id="boot-2")], {})
        file = gateway.back_up()
        outbox.commit([event(2, boot_id="boot-2")], {})
    with open_archive(file) as archive:
        archive.extract("state/outbox.sqlite", gateway.folder / "copy.sqlite")
    assert unsent(gateway.folder / "copy.sqlite")[-1] == "boot-2-alert-1"


def test_the_store_is_not_held_while_a_backup_is_written(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, store = write_archive, gateway.folder / "bundles"

    def changing(*arguments: Any) -> None:
        with StoreFolder(store, Disk(), wait=False).changing():  # a daemon removes and replaces files meanwhile
            for path in (store / "bundles").iterdir():
                path.unlink()
            (store / "ledger.new").write_text("{}")
            (store / "ledger.new").rename(store / "ledger.json")
        real(*arguments)

    monkeypatch.setattr(backup, "write_archive", changing)
    restore(gateway.back_up(), tmp_path / "new" / "gateway.toml")
    assert BundleStore(tmp_path / "new" / "bundles").load("tiny-surface").manifest.name == "tiny-surface"


def test_a_file_that_is_there_is_not_overwritten(gateway: Gateway) -> None:
    (gateway.folder / "b.tar").write_text("mine")
    with pytest.raises(HostEnvironmentError, match="exists already"):
        gateway.back_up()
    assert (gateway.folder / "b.tar").read_text() == "mine"


def test_a_gateway_that_never_ran_has_nothing_to_back_up(gateway: Gateway) -> None:
    gateway.outbox.unlink()
    with pytest.raises(HostEnvironmentError, match="never ran"):
        gateway.back_up()


def test_a_gateway_without_bundles_can_be_backed_up(gateway: Gateway, tmp_path: Path) -> None:
    shutil.rmtree(gateway.folder / "bundles")
    assert restore(gateway.back_up(), tmp_path / "new" / "gateway.toml").n_bundles == 0


@pytest.mark.parametrize("start", [0, 4096])
def test_a_damaged_outbox_is_not_backed_up(gateway: Gateway, start: int) -> None:
    with gateway.outbox.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * 3000)
    with pytest.raises(HostEnvironmentError, match=r"damaged|cannot be copied"):
        gateway.back_up()
    assert [path.name for path in gateway.folder.iterdir() if path.name.startswith((".backup", "b.tar"))] == []


def test_a_target_that_cannot_be_written_is_named(gateway: Gateway) -> None:
    with pytest.raises(HostEnvironmentError, match="missing"):
        gateway.back_up("missing/b.tar")


def test_what_was_sent_since_the_backup_goes_out_again_with_its_id(gateway: Gateway) -> None:
    file = gateway.back_up()
    before = unsent(gateway.outbox)
    gateway.write(4, acknowledge=9)
    restore(file, gateway.config, force=True)
    assert unsent(gateway.outbox) == before


def test_what_was_sent_before_the_backup_is_not_sent_again(gateway: Gateway) -> None:
    gateway.write(4, acknowledge=9)
    file = gateway.back_up()
    restore(file, gateway.config, force=True)
    assert unsent(gateway.outbox) == []


def test_state_that_is_there_is_not_overwritten_unasked(gateway: Gateway) -> None:
    file = gateway.back_up()
    gateway.write(4)
    before = gateway.outbox.read_bytes()
    with pytest.raises(HostEnvironmentError, match="--force"):
        restore(file, gateway.config)
    assert gateway.outbox.read_bytes() == before


def test_state_that_is_replaced_with_consent_is_kept_beside(gateway: Gateway) -> None:
    file = gateway.back_up()
    gateway.write(4)
    before = gateway.outbox.read_bytes()
    for _ in range(2):
        done = restore(file, gateway.config, force=True)
    assert len(list((gateway.folder / "state").glob("replaced-*"))) == 2
    assert done.replaced is not None
    found = list((gateway.folder / "state").glob("replaced-*/state/outbox.sqlite"))
    assert before in [path.read_bytes() for path in found]
    assert (done.replaced / "bundles" / "ledger.json").exists()


def test_a_configuration_that_is_there_stays(gateway: Gateway) -> None:
    file = gateway.back_up()
    changed = CONFIG + b"\n# mine\n"
    gateway.config.write_bytes(changed)
    assert not restore(file, gateway.config, force=True).config_written
    assert gateway.config.read_bytes() == changed


def test_the_backup_of_another_gateway_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_bytes(CONFIG.replace(b"gw1", b"gw2"))
    with pytest.raises(ConfigError, match='the backup is of "gw1"'):
        restore(gateway.back_up(), other)


def test_nothing_is_put_back_while_a_daemon_runs(gateway: Gateway) -> None:
    file = gateway.back_up()
    daemon = claim_state_dir(gateway.folder / "state")
    try:
        with pytest.raises(HostEnvironmentError, match="another edge-runtime"):
            restore(file, gateway.config, force=True)
    finally:
        daemon.release()


def rewrite(file: Path, change: Callable[[str, bytes], bytes | None], *extra: tarfile.TarInfo) -> Path:
    """Copy a backup member by member, some changed or left out, and others added."""
    target = file.with_name("changed.tar")
    with tarfile.open(file) as old, tarfile.open(target, "w") as new:
        for member in old:
            source = old.extractfile(member)
            assert source is not None
            data = change(member.name, source.read())
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
        for member in extra:
            new.addfile(member, io.BytesIO(bytes(member.size)))
    return target


def entry(name: str, *, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.size, member.linkname = kind, size, link
    return member


@pytest.mark.parametrize(
    "extra",
    [
        entry("../outside"),
        entry("/etc/passwd"),
        entry("bundles/../../outside.pem"),
        entry("bundles/trust/../../x.pem"),
        entry("state/other.sqlite"),
        entry("bundles/trust/a.pem", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        entry("bundles/trust/a.pem", kind=tarfile.LNKTYPE, link="gateway.toml"),
        entry("bundles/trust", kind=tarfile.DIRTYPE),
        entry("bundles/trust/a.pem", kind=tarfile.FIFOTYPE),
        entry("gateway.toml"),
        entry("bundles/trust/a.pem", size=1_000_000),
        entry("bundles/trust/a.pem", size=10),
    ],
    ids=lambda member: f"{member.name}-{member.type.decode()}-{member.size}",
)
def test_what_does_not_belong_into_a_backup_is_refused(
    gateway: Gateway, tmp_path: Path, extra: tarfile.TarInfo
) -> None:
    file = rewrite(gateway.back_up(), lambda _, data: data, extra)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(HostEnvironmentError, match=r"refused|was changed"):
        restore(file, tmp_path / "new" / "gateway.toml")
    assert set(tmp_path.rglob("*")) == before


def shorter(name: str, data: bytes) -> bytes | None:
    return data[:-1] if name.endswith(".edgebundle") else data


def flipped(name: str, data: bytes) -> bytes | None:
    return data[:-1] + bytes([data[-1] ^ 1]) if name.endswith(".edgebundle") else data


def other_config(name: str, data: bytes) -> bytes | None:
    return data.replace(b"gw1", b"gw2") if name == "gateway.toml" else data


def without(missing: str) -> Callable[[str, bytes], bytes | None]:
    return lambda name, data: None if name == missing else data


def with_manifest(change: Callable[[Any], None]) -> Callable[[str, bytes], bytes | None]:
    def rewritten(name: str, data: bytes) -> bytes | None:
        if name != "manifest.json":
            return data
        fields = json.loads(data)
        change(fields)
        return json.dumps(fields).encode()

    return rewritten


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (shorter, "incomplete or was changed"),
        (flipped, "another digest"),
        (other_config, "another digest"),
        (without("manifest.json"), "holds no manifest"),
        (without("state/outbox.sqlite"), "incomplete"),
        (without("gateway.toml"), "incomplete"),
        (with_manifest(lambda fields: fields.update(schema="edge.backup/9")), "cannot be read"),
        (with_manifest(lambda fields: fields.pop("files")), "cannot be read"),
        (with_manifest(lambda fields: fields["files"].pop("state/outbox.sqlite")), "incomplete"),
        (with_manifest(lambda fields: fields.update(outbox_schema=99)), "upgrade first"),
    ],
)
def test_a_changed_backup_is_refused_and_nothing_is_put_in_place(
    gateway: Gateway, tmp_path: Path, change: Callable[[str, bytes], bytes | None], word: str
) -> None:
    file = rewrite(gateway.back_up(), change)
    with pytest.raises((HostEnvironmentError, ConfigError), match=word):
        restore(file, tmp_path / "new" / "gateway.toml")
    assert not list((tmp_path / "new").rglob("outbox.sqlite*"))
    assert not (tmp_path / "new" / "gateway.toml").exists()


def consistent(outbox: bytes) -> Callable[[str, bytes], bytes | None]:
    """Put another outbox into a backup, with its digest in the list."""

    def change(name: str, old: bytes) -> bytes | None:
        if name == "manifest.json":
            fields = json.loads(old)
            digest = hashlib.sha256(outbox).hexdigest()
            fields["files"]["state/outbox.sqlite"] = {"n_bytes": len(outbox), "sha256": digest}
            return json.dumps(fields).encode()
        return outbox if name == "state/outbox.sqlite" else old

    return change


@pytest.mark.parametrize("outbox", [b"", b"no database " * 500])
def test_a_backup_without_a_readable_outbox_is_refused(gateway: Gateway, tmp_path: Path, outbox: bytes) -> None:
    file = rewrite(gateway.back_up(), consistent(outbox))
    with pytest.raises(HostEnvironmentError, match="no outbox that can be read"):
        restore(file, tmp_path / "new" / "gateway.toml")


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        (
            "CREATE TRIGGER evil AFTER INSERT ON event BEGIN UPDATE event SET acked_ms=1 WHERE id=new.id; END",
            "trigger evil",
        ),
        ("CREATE VIEW evil AS SELECT 1", "view evil"),
        ("CREATE VIRTUAL TABLE evil USING fts5(x)", "table evil"),
        ("CREATE TABLE evil (x)", "table evil"),
        ("DROP INDEX event_held; CREATE UNIQUE INDEX event_held ON event (retain, priority, id)", "index event_held"),
        ("DROP TABLE state; CREATE TABLE state (key TEXT PRIMARY KEY, value BLOB CHECK (0))", "table state"),
        ("DROP TABLE state; CREATE VIEW state AS SELECT 'a' AS key, x'00' AS value", "view state"),
        ("PRAGMA user_version=1", "the list says 2"),
    ],
)
def test_an_outbox_that_is_more_than_data_is_refused(
    gateway: Gateway, tmp_path: Path, statement: str, word: str
) -> None:
    file, copy = gateway.back_up(), tmp_path / "outbox.sqlite"
    with open_archive(file) as archive:
        archive.extract("state/outbox.sqlite", copy)
    with closing(sqlite3.connect(copy)) as database:
        database.executescript(statement)
    changed = rewrite(file, consistent(copy.read_bytes()))
    with pytest.raises(HostEnvironmentError, match=word):
        restore(changed, tmp_path / "new" / "gateway.toml")
    assert not list((tmp_path / "new").rglob("outbox.sqlite"))


def test_the_backup_of_a_first_release_is_put_back(gateway: Gateway, tmp_path: Path) -> None:
    for path in gateway.outbox.parent.glob("outbox.sqlite*"):
        path.unlink()
    write_first_schema(gateway.outbox)
    restore(gateway.back_up(), tmp_path / "new" / "gateway.toml")
    with closing(Outbox(tmp_path / "new" / "state" / "outbox.sqlite", boot_id="boot-2")) as outbox:
        assert outbox.depth == 5


def test_a_backup_of_a_downgraded_outbox_is_put_back(gateway: Gateway, tmp_path: Path) -> None:
    downgrade(gateway.outbox.parent, 1)
    assert restore(gateway.back_up(), tmp_path / "new" / "gateway.toml").n_unsent == 3


def test_a_backup_with_a_damaged_outbox_is_refused(gateway: Gateway, tmp_path: Path) -> None:
    file = gateway.back_up()
    with open_archive(file) as archive:
        outbox = bytearray(archive.read("state/outbox.sqlite"))
    outbox[-4096:] = b"\x0a" + bytes(4095)
    changed = rewrite(file, consistent(bytes(outbox)))
    with pytest.raises(HostEnvironmentError, match=r"damaged outbox|no outbox that can be read"):
        restore(changed, tmp_path / "new" / "gateway.toml")


@pytest.mark.parametrize("cut", [0, 100, 600, 5000, -20_000])
def test_a_cut_backup_is_refused(gateway: Gateway, tmp_path: Path, cut: int) -> None:
    file = gateway.back_up()
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(HostEnvironmentError):
        restore(file, tmp_path / "new" / "gateway.toml")


def test_a_file_that_is_no_tar_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("no tar " * 1000)
    with pytest.raises(HostEnvironmentError, match=r"b\.tar: no backup"):
        restore(tmp_path / "b.tar", tmp_path / "gateway.toml")


def test_a_backup_that_cannot_be_read_is_an_error_of_the_machine(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match="cannot be put back"):
        restore(tmp_path / "missing.tar", tmp_path / "gateway.toml")


def test_names_that_a_backup_may_hold_are_known() -> None:
    assert limit_of("bundles/trust/56475aa75463474c.pem")
    assert limit_of("bundles/lock") is None


def test_the_commands_say_what_they_did(gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, new = str(tmp_path / "b.tar"), str(tmp_path / "new" / "gateway.toml")
    assert run_command(backup_command, [str(gateway.config), "--out", file]) == 0
    assert "3 unsent" in capsys.readouterr().out
    assert run_command(restore_command, [file, "--to", new]) == 0
    assert "3 unsent events and 1 bundles are back" in capsys.readouterr().out
    assert run_command(restore_command, [file, "--to", new]) == 5
    assert "--force" in capsys.readouterr().err
    assert run_command(restore_command, [file, "--to", new, "--force"]) == 0
    told = capsys.readouterr().err
    assert "what was there lies in" in told
    assert "stays" in told


def test_the_commands_speak_json(gateway: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, new = str(tmp_path / "b.tar"), str(tmp_path / "new" / "gateway.toml")
    assert run_command(backup_command, [str(gateway.config), "--out", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unsent_events"] == 3
    assert run_command(restore_command, [file, "--to", new, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "gateway": "gw1",
        "unsent_events": 3,
        "bundles": 1,
        "replaced": None,
        "config_written": True,
    }
