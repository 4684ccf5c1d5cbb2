"""Ed25519 signatures over manifests: keys in PEM files, trusted keys, the ``signature`` member.

The member is canonical JSON: ``{"algorithm":"ed25519","key_id":"<16 hex>","signature":"<128 hex>"}`` and a newline.
A key id is the first 16 hex digits of the SHA-256 of the raw 32-byte public key.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from msgspec import Meta, Struct

from edge_runtime.bundle.manifest import canonical_json
from edge_runtime.errors import BundleSignatureError, HostEnvironmentError, UsageError

logger = logging.getLogger(__name__)

MAX_SIGNATURE_BYTES = 1024
MAX_KEY_BYTES = 16 << 10
MAX_TRUSTED_KEYS = 256


class SignatureMember(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ``signature`` member of a bundle; other algorithms get another word in ``algorithm``."""

    algorithm: Literal["ed25519"]
    key_id: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
    signature: Annotated[str, Meta(pattern=r"^[0-9a-f]{128}$")]


def key_id(public_key: Ed25519PublicKey) -> str:
    """Name a public key.

    Parameters
    ----------
    public_key : Ed25519PublicKey
        The key.

    Returns
    -------
    key_id : str
        16 lower-case hex digits: the start of the SHA-256 of the raw key.
    """
    raw = public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def generate_key() -> Ed25519PrivateKey:
    """Make a new private key from the operating system's randomness.

    Returns
    -------
    key : Ed25519PrivateKey
        Keep it off the gateways: they need the public half only.
    """
    return Ed25519PrivateKey.generate()


def public_pem(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """Give the public half as PEM.

    Parameters
    ----------
    key : Ed25519PrivateKey or Ed25519PublicKey
        The key, or the pair.

    Returns
    -------
    pem : bytes
        SubjectPublicKeyInfo.
    """
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def save_private_key(key: Ed25519PrivateKey, path: Path) -> None:
    """Write a private key as unencrypted PKCS#8 PEM, readable by its owner alone (mode 0600).

    Parameters
    ----------
    key : Ed25519PrivateKey
        The key.
    path : Path
        A file that does not exist yet: keys are never overwritten.

    Raises
    ------
    HostEnvironmentError
        If the file exists or cannot be written.
    """
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError as error:
        raise HostEnvironmentError(
            f"{path}: exists already; keys are never overwritten, choose another name"
        ) from error
    except OSError as error:
        raise HostEnvironmentError(f"{path}: cannot write the private key: {error.strerror}") from error


def save_public_key(key: Ed25519PrivateKey | Ed25519PublicKey, path: Path) -> None:
    """Write the public half as PEM, to be given to gateways.

    Parameters
    ----------
    key : Ed25519PrivateKey or Ed25519PublicKey
        The key, or the pair.
    path : Path
        A file that does not exist yet.

    Raises
    ------
    HostEnvironmentError
        If the file exists or cannot be written.
    """
    try:
        with path.open("xb") as file:
            file.write(public_pem(key))
    except FileExistsError as error:
        raise HostEnvironmentError(
            f"{path}: exists already; keys are never overwritten, choose another name"
        ) from error
    except OSError as error:
        raise HostEnvironmentError(f"{path}: cannot write the public key: {error.strerror}") from error


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read a private key.

    Parameters
    ----------
    path : Path
        Unencrypted PEM. A file that others may read is used, with a warning.

    Returns
    -------
    key : Ed25519PrivateKey
        The key.

    Raises
    ------
    HostEnvironmentError
        If the file cannot be read.
    UsageError
        If it does not hold an unencrypted Ed25519 private key.
    """
    pem = _read_key_file(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        logger.warning('event=private_key_open path="%s" advice="chmod 600"', path)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(
            f'{path}: not an unencrypted private key in PEM; make one with "compress keygen" ({error})'
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f'{path}: not an Ed25519 key; make one with "compress keygen"')
    return key


def parse_public_key(pem: bytes, origin: str) -> Ed25519PublicKey:
    """Read a public key.

    Parameters
    ----------
    pem : bytes
        SubjectPublicKeyInfo in PEM, 16 KiB at most.
    origin : str
        Where it comes from, for the message.

    Returns
    -------
    key : Ed25519PublicKey
        The key.

    Raises
    ------
    UsageError
        If this is not an Ed25519 public key; a private key is refused by that name.
    """
    if len(pem) > MAX_KEY_BYTES:
        raise UsageError(f"{origin}: {len(pem)} bytes are too many for a public key")
    if b"PRIVATE KEY" in pem:
        raise UsageError(f"{origin}: this is a private key; give the gateway the public one (*.pub.pem)")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{origin}: not a public key in PEM ({error})") from error
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{origin}: not an Ed25519 key; bundles are signed with Ed25519 only")
    return key


class TrustedKeys:
    """The public keys whose bundles are accepted.

    Parameters
    ----------
    keys : iterable of Ed25519PublicKey
        The keys; none means that nothing is accepted.
    """

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}

    @classmethod
    def from_directory(cls, directory: Path) -> TrustedKeys:
        """Read every ``*.pem`` of a directory.

        Parameters
        ----------
        directory : Path
            Holds public keys; absent means no key.

        Returns
        -------
        trusted : TrustedKeys
            The keys.

        Raises
        ------
        HostEnvironmentError
            If a file cannot be read, or there are more than 256.
        UsageError
            If a file does not hold an Ed25519 public key.
        """
        paths = sorted(directory.glob("*.pem"))
        if len(paths) > MAX_TRUSTED_KEYS:
            raise HostEnvironmentError(f"{directory}: {len(paths)} keys; at most {MAX_TRUSTED_KEYS} are read")
        return cls(parse_public_key(_read_key_file(path), str(path)) for path in paths)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Ids of the keys, ascending."""
        return tuple(sorted(self._keys))

    def verify(self, message: bytes, member: bytes) -> str:
        """Require that ``member`` is a signature over ``message`` by one of these keys.

        Parameters
        ----------
        message : bytes
            The manifest's bytes.
        member : bytes
            Content of the ``signature`` member.

        Returns
        -------
        key_id : str
            Who signed.

        Raises
        ------
        BundleSignatureError
            If the member is malformed, the key is not trusted, or the signature does not fit.
        """
        signature = parse_signature(member)
        key = self._keys.get(signature.key_id)
        if key is None:
            trusted = ", ".join(self.key_ids) or "none"
            raise BundleSignatureError(
                f"signed by key {signature.key_id}, which is not trusted here (trusted: {trusted}); if you know the"
                ' signer, add the public key with "edge-runtime bundle trust add KEY.pub.pem"'
            )
        try:
            key.verify(bytes.fromhex(signature.signature), message)
        except InvalidSignature as error:
            raise BundleSignatureError(
                f"the signature by key {signature.key_id} does not fit the manifest: the bundle was changed after it"
                " was signed; fetch it again from its source"
            ) from error
        return signature.key_id


def sign(message: bytes, private_key: Ed25519PrivateKey) -> bytes:
    """Sign a manifest.

    Parameters
    ----------
    message : bytes
        The manifest's bytes.
    private_key : Ed25519PrivateKey
        The signer.

    Returns
    -------
    member : bytes
        Content of the ``signature`` member; Ed25519 is deterministic, so equal input gives equal bytes.
    """
    return canonical_json(
        SignatureMember(
            algorithm="ed25519",
            key_id=key_id(private_key.public_key()),
            signature=private_key.sign(message).hex(),
        )
    )


def parse_signature(member: bytes) -> SignatureMember:
    """Read the ``signature`` member without judging it.

    Parameters
    ----------
    member : bytes
        Its content.

    Returns
    -------
    signature : SignatureMember
        Key id and signature.

    Raises
    ------
    BundleSignatureError
        If it is not canonical JSON of the three keys, or longer than 1 KiB.
    """
    if len(member) > MAX_SIGNATURE_BYTES:
        raise BundleSignatureError(f"the signature member has {len(member)} bytes; it is not a signature")
    try:
        signature = msgspec.json.decode(member, type=SignatureMember)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:  # ValueError: text that is not UTF-8
        raise BundleSignatureError(f"the signature member cannot be read: {error}") from error
    if canonical_json(signature) != member:
        raise BundleSignatureError("the signature member is not canonical JSON; sign the bundle again")
    return signature


def _read_key_file(path: Path) -> bytes:
    """Read a small file that holds a key."""
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        raise HostEnvironmentError(f"{path}: cannot read the key: {error.strerror}") from error
    if len(pem) > MAX_KEY_BYTES:
        raise UsageError(f"{path}: too large for a key")
    return pem
