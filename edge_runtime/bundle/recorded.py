"""Golden outputs that a gateway recorded for itself, for every later start to equal."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from edge_runtime.bundle.archive import ArchiveLimits
from edge_runtime.bundle.arrays import Array, pack_arrays, unpack_arrays
from edge_runtime.bundle.folder import StoreFolder, read_limited
from edge_runtime.bundle.golden import take_outputs
from edge_runtime.bundle.ledger import ExactSet
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.errors import BundleFormatError, HostEnvironmentError

logger = logging.getLogger(__name__)

MAX_RECORDED_BYTES = 64 << 20
MAX_SETS_PER_BUNDLE = 16


@dataclass(frozen=True, slots=True)
class Triple:
    """Engine, its version and the instruction set: what an exact golden set belongs to."""

    engine: str
    version: str
    instruction_set: str


class RecordedSets:
    """Recorded outputs, ``exact/<sha256>.npz``, named by the ledger.

    Parameters
    ----------
    folder : StoreFolder
        The store's folder.
    """

    def __init__(self, folder: StoreFolder) -> None:
        self._folder = folder

    def record(self, bundle_sha256: str, triple: Triple, outputs: Sequence[Array]) -> None:
        """Keep what a bundle answered here.

        Parameters
        ----------
        bundle_sha256 : str
            Digest of the bundle.
        triple : Triple
            What the outputs belong to; an earlier set of the same triple is replaced, and of more than 16 the oldest
            is forgotten.
        outputs : sequence of arrays
            One per output, samples on axis 0.

        Raises
        ------
        HostEnvironmentError
            If the disk refuses.
        """
        data = pack_arrays({f"output_{index}": array for index, array in enumerate(outputs)})
        new = ExactSet(
            bundle_sha256=bundle_sha256,
            engine=triple.engine,
            version=triple.version,
            instruction_set=triple.instruction_set,
            sha256=hashlib.sha256(data).hexdigest(),
        )
        with self._folder.changing():
            self._folder.write(self._folder.exact_path(new.sha256), data)
            ledger = self._folder.read_ledger()
            others = [each for each in ledger.exact if each.bundle_sha256 != bundle_sha256]
            same = [each for each in ledger.exact if each.bundle_sha256 == bundle_sha256 and _triple(each) != triple]
            kept = same[-(MAX_SETS_PER_BUNDLE - 1) :]
            self._folder.save_ledger(replace(ledger, exact=(*others, *kept, new)))

    def read(self, manifest: Manifest, bundle_sha256: str) -> dict[Triple, tuple[Array, ...]]:
        """Give what a bundle answered here before.

        Parameters
        ----------
        manifest : Manifest
            Of the bundle; says how the outputs look.
        bundle_sha256 : str
            Digest of the bundle.

        Returns
        -------
        sets : dict of Triple to tuple of arrays
            Damaged records are left out, which is logged.
        """
        sets: dict[Triple, tuple[Array, ...]] = {}
        for record in self._folder.read_ledger().exact:
            if record.bundle_sha256 != bundle_sha256:
                continue
            path = self._folder.exact_path(record.sha256)
            try:
                arrays = _read_arrays(path, record.sha256)
                outputs = take_outputs(arrays, "output_", manifest.outputs, manifest.golden.n_samples)
            except (BundleFormatError, HostEnvironmentError) as error:
                logger.warning('event=exact_set_unusable path="%s" reason="%s"', path, error)
            else:
                sets[_triple(record)] = outputs
        return sets


def _triple(record: ExactSet) -> Triple:
    """Give what a record belongs to."""
    return Triple(record.engine, record.version, record.instruction_set)


def _read_arrays(path: Path, sha256: str) -> dict[str, Array]:
    """Read a recorded set whose digest is known."""
    data = read_limited(path, MAX_RECORDED_BYTES)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BundleFormatError("its digest is not the recorded one")
    return unpack_arrays(data, ArchiveLimits(archive_bytes=MAX_RECORDED_BYTES, member_bytes=MAX_RECORDED_BYTES))
