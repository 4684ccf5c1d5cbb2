"""Members and a manifest to a signed bundle; equal input gives equal bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_runtime.bundle.archive import pack
from edge_runtime.bundle.checks import UNLISTED
from edge_runtime.bundle.manifest import SCHEMA, Manifest, canonical_json
from edge_runtime.bundle.reader import labels_text, read_bundle, read_unverified
from edge_runtime.bundle.signature import TrustedKeys, sign
from edge_runtime.errors import BundleFormatError


def write_bundle(
    manifest: Manifest | Mapping[str, Any], members: Mapping[str, bytes], private_key: Ed25519PrivateKey
) -> bytes:
    """Write and sign a bundle, then read it back.

    Parameters
    ----------
    manifest : Manifest or mapping
        The manifest, or its fields as plain values. ``schema`` and ``members`` are filled in here whatever they
        hold; keys that this version does not know are kept.
    members : mapping of str to bytes
        Every member but ``manifest.json`` and ``signature``. ``labels.txt`` is added when there are labels and it is
        left out.
    private_key : Ed25519PrivateKey
        The signer.

    Returns
    -------
    data : bytes
        The ``*.edgebundle`` file; the same bytes for equal arguments.

    Raises
    ------
    BundleFormatError
        If the manifest or a member is not one that a gateway would accept; every fault with its path.
    """
    tree: dict[str, Any] = msgspec.to_builtins(manifest if isinstance(manifest, Manifest) else dict(manifest))
    complete = dict(members)
    labels = tree.get("labels", ())
    if labels and "labels.txt" not in complete:
        complete["labels.txt"] = labels_text(tuple(labels))
    for name in UNLISTED:
        if name in complete:
            raise BundleFormatError(f'member "{name}" is written by the bundle itself; leave it out')
    tree["schema"] = SCHEMA
    tree["members"] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        for name, content in complete.items()
    }
    try:
        manifest_bytes = canonical_json(tree)
        data = pack({**complete, "manifest.json": manifest_bytes, "signature": sign(manifest_bytes, private_key)})
    except ValueError as error:
        raise BundleFormatError(f"the bundle cannot be written: {error}") from error
    read_bundle(data, TrustedKeys([private_key.public_key()]))
    return data


def sign_again(data: bytes, private_key: Ed25519PrivateKey) -> bytes:
    """Replace the signature of a bundle; nothing else changes.

    Parameters
    ----------
    data : bytes
        A bundle by any signer; its digests are checked, its signature is not.
    private_key : Ed25519PrivateKey
        The new signer.

    Returns
    -------
    data : bytes
        The bundle, signed by ``private_key``.

    Raises
    ------
    BundleFormatError, BundleIntegrityError, BundleSignatureError
        If ``data`` is not a sound bundle.
    """
    bundle = read_unverified(data)
    signature = sign(bundle.manifest_bytes, private_key)
    return pack({**bundle.members, "manifest.json": bundle.manifest_bytes, "signature": signature})
