"""The keys that a gateway trusts, as files in its store."""

from __future__ import annotations

from edge_runtime.bundle.folder import StoreFolder, read_limited
from edge_runtime.bundle.signature import MAX_KEY_BYTES, TrustedKeys, key_id, parse_public_key, public_pem
from edge_runtime.errors import UsageError


class TrustStore:
    """Trusted public keys, ``trust/<key id>.pem``.

    Parameters
    ----------
    folder : StoreFolder
        The store's folder.
    """

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder

    def keys(self) -> TrustedKeys:
        """Give the keys whose bundles are accepted.

        Returns
        -------
        trusted : TrustedKeys
            Empty when none was added.

        Raises
        ------
        HostEnvironmentError, UsageError
            If a key file cannot be read or is not a key.
        """
        return TrustedKeys.from_directory(self._folder.trust)

    def add(self, pem: bytes, origin: str = "the key") -> str:
        """Accept bundles by this key from now on.

        Parameters
        ----------
        pem : bytes
            Ed25519 public key.
        origin : str
            Where it comes from, for messages.

        Returns
        -------
        key_id : str
            Its id.

        Raises
        ------
        UsageError
            If it is not an Ed25519 public key.
        HostEnvironmentError
            If it cannot be stored.
        """
        key = parse_public_key(pem, origin)
        with self._folder.changing():
            self._folder.write(self._folder.trust / f"{key_id(key)}.pem", public_pem(key))
        return key_id(key)

    def remove(self, identifier: str) -> None:
        """Accept bundles by this key no longer; active bundles by it are refused at the next start.

        Parameters
        ----------
        identifier : str
            The key id.

        Raises
        ------
        UsageError
            If no such key is trusted.
        HostEnvironmentError
            If the disk refuses.
        """
        known = self.keys().key_ids
        if identifier not in known:
            raise UsageError(f"key {identifier} is not trusted here; trusted: {', '.join(known) or 'none'}")
        with self._folder.changing():
            for path in sorted(self._folder.trust.glob("*.pem")):
                key = parse_public_key(read_limited(path, MAX_KEY_BYTES), str(path))
                if key_id(key) == identifier:
                    self._folder.remove(path)
