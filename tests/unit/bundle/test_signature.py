"""Keys, signatures and who is trusted."""

from __future__ import annotations

import hashlib
import json
import logging
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from edge_runtime.bundle.signature import (
    TrustedKeys,
    generate_key,
    key_id,
    load_private_key,
    parse_public_key,
    parse_signature,
    public_pem,
    save_private_key,
    save_public_key,
    sign,
)
from edge_runtime.errors import BundleSignatureError, HostEnvironmentError, UsageError
from tests.bundles import SIGNER, STRANGER, TRUSTED

MESSAGE = b'{"name":"x"}\n'


def edited(**changes: str) -> bytes:
    fields = json.loads(sign(MESSAGE, SIGNER)) | changes
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def test_key_id_is_the_start_of_the_digest_of_the_raw_key() -> None:
    raw = SIGNER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert key_id(SIGNER.public_key()) == hashlib.sha256(raw).hexdigest()[:16]


def test_private_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    save_private_key(SIGNER, tmp_path / "signing.pem")
    assert stat.S_IMODE((tmp_path / "signing.pem").stat().st_mode) == 0o600


def test_private_key_comes_back_from_its_file(tmp_path: Path) -> None:
    key = generate_key()
    save_private_key(key, tmp_path / "signing.pem")
    assert key_id(load_private_key(tmp_path / "signing.pem").public_key()) == key_id(key.public_key())


def test_private_key_is_never_overwritten(tmp_path: Path) -> None:
    save_private_key(SIGNER, tmp_path / "signing.pem")
    with pytest.raises(HostEnvironmentError, match="never overwritten"):
        save_private_key(STRANGER, tmp_path / "signing.pem")


def test_public_key_is_never_overwritten(tmp_path: Path) -> None:
    save_public_key(SIGNER, tmp_path / "signing.pub.pem")
    with pytest.raises(HostEnvironmentError, match="never overwritten"):
        save_public_key(STRANGER, tmp_path / "signing.pub.pem")


@pytest.mark.parametrize("save", [save_private_key, save_public_key])
def test_key_in_a_missing_folder_names_the_path(save: object, tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match="absent"):
        save(SIGNER, tmp_path / "absent" / "k.pem")  # type: ignore[operator]


def test_private_key_that_others_may_read_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "signing.pem"
    save_private_key(SIGNER, path)
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        load_private_key(path)
    assert "private_key_open" in caplog.text


def test_missing_private_key_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match=r"absent\.pem"):
        load_private_key(tmp_path / "absent.pem")


def test_encrypted_private_key_is_refused(tmp_path: Path) -> None:
    pem = SIGNER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "k.pem").write_bytes(pem)
    with pytest.raises(UsageError, match="unencrypted"):
        load_private_key(tmp_path / "k.pem")


def test_private_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "k.pem").write_bytes(pem)
    with pytest.raises(UsageError, match="Ed25519"):
        load_private_key(tmp_path / "k.pem")


def test_huge_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "k.pem").write_bytes(bytes(20_000))
    with pytest.raises(UsageError, match="too large"):
        load_private_key(tmp_path / "k.pem")


def test_private_key_given_as_public_key_is_refused_by_that_name() -> None:
    pem = SIGNER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(UsageError, match="this is a private key"):
        parse_public_key(pem, "k.pem")


@pytest.mark.parametrize("pem", [b"", b"x", bytes(20_000)])
def test_what_is_no_public_key_is_refused(pem: bytes) -> None:
    with pytest.raises(UsageError, match=r"k\.pem"):
        parse_public_key(pem, "k.pem")


def test_public_key_of_another_kind_is_refused() -> None:
    public = generate_private_key(SECP256R1()).public_key()
    with pytest.raises(UsageError, match="Ed25519 only"):
        parse_public_key(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "k.pem")


def test_signature_by_a_trusted_key_is_accepted() -> None:
    assert TRUSTED.verify(MESSAGE, sign(MESSAGE, SIGNER)) == key_id(SIGNER.public_key())


def test_signing_twice_gives_the_same_bytes() -> None:
    assert sign(MESSAGE, SIGNER) == sign(MESSAGE, SIGNER)


def test_unknown_signer_is_refused_and_named() -> None:
    with pytest.raises(BundleSignatureError, match=f"{key_id(STRANGER.public_key())}, which is not trusted"):
        TRUSTED.verify(MESSAGE, sign(MESSAGE, STRANGER))


def test_no_trusted_key_refuses_everything() -> None:
    with pytest.raises(BundleSignatureError, match="trusted: none"):
        TrustedKeys([]).verify(MESSAGE, sign(MESSAGE, SIGNER))


def test_signature_over_another_message_is_refused() -> None:
    with pytest.raises(BundleSignatureError, match="does not fit"):
        TRUSTED.verify(MESSAGE + b" ", sign(MESSAGE, SIGNER))


def test_signature_of_a_stranger_under_a_trusted_id_is_refused() -> None:
    forged = json.loads(sign(MESSAGE, STRANGER))["signature"]
    with pytest.raises(BundleSignatureError, match="does not fit"):
        TRUSTED.verify(MESSAGE, edited(signature=forged))


@pytest.mark.parametrize(
    "member",
    [
        b"",
        b"{}",
        b"[" * 1000,
        bytes(2000),
        edited(algorithm="none"),
        edited(signature=""),
        edited(key_id="X" * 16),
        edited(more="1"),
        sign(MESSAGE, SIGNER) + b" ",
        sign(MESSAGE, SIGNER).upper(),
    ],
)
def test_malformed_signature_is_refused(member: bytes) -> None:
    with pytest.raises(BundleSignatureError, match="signature"):
        parse_signature(member)


def test_trusted_keys_are_read_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(public_pem(SIGNER))
    (tmp_path / "b.pem").write_bytes(public_pem(STRANGER.public_key()))
    (tmp_path / "notes.txt").write_text("not a key", encoding="ascii")
    assert len(TrustedKeys.from_directory(tmp_path).key_ids) == 2


def test_absent_folder_trusts_nobody(tmp_path: Path) -> None:
    assert TrustedKeys.from_directory(tmp_path / "absent").key_ids == ()


def test_broken_key_in_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.pem").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"broken\.pem"):
        TrustedKeys.from_directory(tmp_path)


def test_folder_of_too_many_keys_is_refused(tmp_path: Path) -> None:
    for index in range(257):
        (tmp_path / f"{index}.pem").touch()
    with pytest.raises(HostEnvironmentError, match="at most 256"):
        TrustedKeys.from_directory(tmp_path)
