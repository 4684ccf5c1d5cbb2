"""Where the released bundles are: inside an installed package, or in the checkout beside it."""

from __future__ import annotations

from pathlib import Path

import edge_runtime
from edge_runtime.errors import HostEnvironmentError

_PACKAGED = Path(__file__).with_name("released")
_CHECKOUT = Path(edge_runtime.__file__).resolve().parents[1] / "models"


def released_bundle(name: str) -> bytes:
    """Read a bundle that this project has released.

    Parameters
    ----------
    name : str
        Such as ``surface-defect``.

    Returns
    -------
    data : bytes
        The ``*.edgebundle`` file.

    Raises
    ------
    HostEnvironmentError
        If it is not there.
    """
    return _read(_PACKAGED / f"{name}.edgebundle", _CHECKOUT / name / f"{name}.edgebundle")


def released_key() -> bytes:
    """Read the public key (PEM) by which they are signed.

    Raises
    ------
    HostEnvironmentError
        If it is not there.
    """
    return _read(_PACKAGED / "release.pub.pem", _CHECKOUT / "keys" / "release.pub.pem")


def _read(*paths: Path) -> bytes:
    for path in paths:
        if path.is_file():
            return path.read_bytes()
    raise HostEnvironmentError(f"{paths[-1]} is missing; reinstall edge-runtime, or run make models in the checkout")
