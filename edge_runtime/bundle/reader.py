"""Bytes to a verified bundle: pure, bounded, and in this order: structure, signature, digests, contents.

Nothing but the archive's headers is looked at before the signature is known to be by a trusted key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from edge_runtime.bundle.archive import Archive, ArchiveLimits, unpack
from edge_runtime.bundle.checks import UNLISTED, find_problems
from edge_runtime.bundle.golden import MEMBER as GOLDEN_MEMBER
from edge_runtime.bundle.golden import GoldenVectors, unpack_golden
from edge_runtime.bundle.manifest import SCHEMA, Manifest, ModelMember, canonical_json
from edge_runtime.bundle.signature import TrustedKeys, parse_signature
from edge_runtime.errors import BundleFormatError, BundleIntegrityError, BundleSignatureError

MAX_BUNDLE_BYTES = 16 << 20
MAX_MEMBERS = 64
MAX_MANIFEST_BYTES = 1 << 20
LIMITS = ArchiveLimits(archive_bytes=MAX_BUNDLE_BYTES, member_bytes=MAX_BUNDLE_BYTES, n_members=MAX_MEMBERS)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose bytes were checked.

    Attributes
    ----------
    manifest : Manifest
        The decoded manifest.
    manifest_bytes : bytes
        What was signed; holds keys that a newer writer knew, too.
    members : mapping of str to bytes
        Every member but ``manifest.json`` and ``signature``, names ascending.
    data : bytes
        The whole file.
    digest : str
        SHA-256 of ``data``, lower-case hex.
    key_id : str
        The key that the signature names.
    verified : bool
        True when a trusted key's signature was checked; False after ``read_unverified``.
    """

    manifest: Manifest
    manifest_bytes: bytes
    members: Mapping[str, bytes]
    data: bytes
    digest: str
    key_id: str
    verified: bool

    def golden(self) -> GoldenVectors:
        """Give the golden inputs, float references and recorded outputs.

        Returns
        -------
        vectors : GoldenVectors
            Read-only arrays.
        """
        return unpack_golden(self.members[GOLDEN_MEMBER], self.manifest)

    def model(self, model_format: Literal["tflite", "onnx"]) -> tuple[ModelMember, bytes] | None:
        """Give the executable form of one format.

        Parameters
        ----------
        model_format : {"tflite", "onnx"}
            Which.

        Returns
        -------
        model : (ModelMember, bytes) or None
            Its description and bytes; None where the bundle has no such form.
        """
        for model in self.manifest.models:
            if model.format == model_format:
                return model, self.members[model.member]
        return None


def read_bundle(data: bytes, trusted: TrustedKeys, *, limits: ArchiveLimits = LIMITS) -> Bundle:
    """Read a bundle that a trusted key has signed.

    Parameters
    ----------
    data : bytes
        The ``*.edgebundle`` file.
    trusted : TrustedKeys
        Whose signatures count.
    limits : ArchiveLimits
        Checked before anything is decoded; the contract's by default.

    Returns
    -------
    bundle : Bundle
        With ``verified`` True.

    Raises
    ------
    BundleFormatError
        If the archive, manifest, labels or golden vectors do not follow the format, or exceed a limit.
    BundleSignatureError
        If the signature is missing, does not fit, or is by a key that is not trusted.
    BundleIntegrityError
        If a member is missing or surplus, or has another size or digest than the signed manifest says.
    """
    archive = unpack(data, limits)
    manifest_bytes, signature = _signed_parts(archive)
    key_id = trusted.verify(manifest_bytes, signature)
    return _read_contents(data, archive, manifest_bytes, key_id=key_id, verified=True)


def read_unverified(data: bytes, *, limits: ArchiveLimits = LIMITS) -> Bundle:
    """Read a bundle to look at it, without asking who signed it. Never run what this returns.

    Parameters
    ----------
    data : bytes
        The ``*.edgebundle`` file.
    limits : ArchiveLimits
        Checked before anything is decoded; the contract's by default.

    Returns
    -------
    bundle : Bundle
        With ``verified`` False; the store and the engines refuse it.

    Raises
    ------
    BundleFormatError, BundleIntegrityError, BundleSignatureError
        As ``read_bundle``, but for the signature only when it is missing or malformed.
    """
    archive = unpack(data, limits)
    manifest_bytes, signature = _signed_parts(archive)
    key_id = parse_signature(signature).key_id
    return _read_contents(data, archive, manifest_bytes, key_id=key_id, verified=False)


def decode_manifest(manifest_bytes: bytes) -> Manifest:
    """Decode a manifest: types, patterns and single bounds.

    Parameters
    ----------
    manifest_bytes : bytes
        Canonical JSON, 1 MiB at most.

    Returns
    -------
    manifest : Manifest
        Unknown keys are left out of it; they stay in the bytes.

    Raises
    ------
    BundleFormatError
        If it is too large, not canonical, or a field is missing or of the wrong type; the message names its path.
    """
    if len(manifest_bytes) > MAX_MANIFEST_BYTES:
        raise BundleFormatError(f"the manifest has {len(manifest_bytes)} bytes; {MAX_MANIFEST_BYTES} are allowed")
    try:
        manifest = msgspec.json.decode(manifest_bytes, type=Manifest)
        canonical = canonical_json(json.loads(manifest_bytes))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        _require_known_schema(manifest_bytes)
        raise BundleFormatError(f"the manifest cannot be read: {error}") from error
    if canonical != manifest_bytes:
        raise BundleFormatError('the manifest is not canonical JSON; write bundles with "compress bundle"')
    return manifest


def _signed_parts(archive: Archive) -> tuple[bytes, bytes]:
    """Give the manifest's and the signature's bytes."""
    manifest_bytes = archive.members.get("manifest.json")
    signature = archive.members.get("signature")
    if manifest_bytes is None:
        raise BundleFormatError('the archive has no "manifest.json"; it is not a bundle')
    if signature is None:
        raise BundleSignatureError('the bundle is not signed; sign it with "compress sign"')
    return manifest_bytes, signature


def _read_contents(data: bytes, archive: Archive, manifest_bytes: bytes, *, key_id: str, verified: bool) -> Bundle:
    """Check digests first, then everything else that the manifest says."""
    manifest = decode_manifest(manifest_bytes)
    members = {name: content for name, content in archive.members.items() if name not in UNLISTED}
    _require_digests(manifest, members)
    archive.require_checksums()
    problems = find_problems(manifest)
    if problems:
        raise BundleFormatError("\n  ".join(["the manifest contradicts itself:", *problems]))
    if manifest.labels and members["labels.txt"] != labels_text(manifest.labels):
        raise BundleFormatError('"labels.txt" does not hold the labels of the manifest, one per line')
    unpack_golden(members[GOLDEN_MEMBER], manifest)
    digest = hashlib.sha256(data).hexdigest()
    return Bundle(manifest, manifest_bytes, members, data, digest, key_id, verified)


def labels_text(labels: tuple[str, ...]) -> bytes:
    r"""Give the content of ``labels.txt``: one label per line, UTF-8.

    Parameters
    ----------
    labels : tuple of str
        In the order of the outputs.

    Returns
    -------
    text : bytes
        Ends with a newline.

    Examples
    --------
    >>> labels_text(("good", "crack"))
    b'good\ncrack\n'
    """
    return "".join(f"{label}\n" for label in labels).encode()


def _require_digests(manifest: Manifest, members: Mapping[str, bytes]) -> None:
    """Hold every member to the size and digest under the signature."""
    missing = sorted(set(manifest.members) - set(members))
    surplus = sorted(set(members) - set(manifest.members))
    if missing or surplus:
        raise BundleIntegrityError(f"members differ from the manifest: missing {missing}, not listed {surplus}")
    for name, content in members.items():
        stated = manifest.members[name]
        if len(content) != stated.size_bytes or hashlib.sha256(content).hexdigest() != stated.sha256:
            raise BundleIntegrityError(
                f'member "{name}" is not the one that was signed: its digest differs; fetch the bundle again'
            )


def _require_known_schema(manifest_bytes: bytes) -> None:
    """Tell a newer format from a broken one."""
    try:
        head = msgspec.json.decode(manifest_bytes, type=dict[str, object])
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    if head.get("schema") != SCHEMA:
        raise BundleFormatError(
            f"the manifest's schema is {head.get('schema')!r}, this version reads {SCHEMA!r}; update the runtime"
        )
