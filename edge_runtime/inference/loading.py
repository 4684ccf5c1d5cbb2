"""The one way of a bundle into a gateway, in the order of the contract, and of an installed one into a process.

Signature, digests, release, probe in a child process, golden outputs, latency and memory gate, atomic switch. The
bundle that runs stays until the last step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_runtime.bundle.ledger import StoredRelease
from edge_runtime.bundle.reader import Bundle, read_bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.errors import BundleError
from edge_runtime.inference.golden import GoldenVerdict, judge_golden, run_samples, triple_of
from edge_runtime.inference.interface import Array, EngineIdentity, Runtime
from edge_runtime.inference.opening import open_bundle
from edge_runtime.inference.probe import ProbeLimits, ProbeReport, probe_bundle


@dataclass(frozen=True, slots=True)
class Installation:
    """A bundle that is stored, or was loaded from the store, after its probe.

    Attributes
    ----------
    bundle : Bundle
        Verified.
    stored : StoredRelease
        Its entry in the store.
    report : ProbeReport
        What the probe found.
    replaced : StoredRelease or None
        What was active before.
    """

    bundle: Bundle
    stored: StoredRelease
    report: ProbeReport
    replaced: StoredRelease | None


def install_bundle(
    data: bytes,
    store: BundleStore,
    *,
    engine: str | None = None,
    limits: ProbeLimits | None = None,
    by_hand: bool = False,
) -> Installation:
    """Take a bundle through the full order and switch to it.

    Parameters
    ----------
    data : bytes
        The ``*.edgebundle`` file.
    store : BundleStore
        The gateway's bundles and trusted keys.
    engine : str, optional
        By default the preferred one that works here.
    limits : ProbeLimits, optional
        What the probe may use.
    by_hand : bool
        A person goes back to a release that was installed before, giving its file again.

    Returns
    -------
    installation : Installation
        What is active now.

    Raises
    ------
    BundleError
        If the bundle is refused: format, signature, digest, release or golden outputs.
    InferenceError
        If the model cannot be loaded or run.
    AccuracyGateError
        If it is slower or larger than its limits.
    HostEnvironmentError
        If the disk or the system refuses.
    """
    bundle = read_bundle(data, store.trust.keys())
    store.require_release(bundle, by_hand=by_hand)
    report = _probe(bundle, store, engine, limits)
    replaced = store.active(bundle.manifest.name)
    stored = store.install(bundle, activate=True, by_hand=by_hand)
    _record(bundle, store, report)
    return Installation(bundle, stored, report, replaced)


def store_bundle(
    bundle: Bundle, store: BundleStore, *, engine: str | None = None, limits: ProbeLimits | None = None
) -> StoredRelease:
    """Take a verified bundle through the rest of the order and store it; what is active stays active.

    Parameters
    ----------
    bundle : Bundle
        From ``read_bundle``.
    store : BundleStore
        The gateway's bundles.
    engine : str, optional
        By default the preferred one that works here.
    limits : ProbeLimits, optional
        What the probe may use.

    Returns
    -------
    stored : StoredRelease
        Its entry.

    Raises
    ------
    BundleError, InferenceError, AccuracyGateError, HostEnvironmentError
        As ``install_bundle``.
    """
    store.require_release(bundle)
    report = _probe(bundle, store, engine, limits)
    stored = store.install(bundle)
    _record(bundle, store, report)
    return stored


def roll_back(
    name: str,
    store: BundleStore,
    *,
    release: int | None = None,
    engine: str | None = None,
    limits: ProbeLimits | None = None,
) -> Installation:
    """Go back by hand to a release that was installed before: verified and probed as on the first day.

    Where its file was removed to save room, ``install_bundle`` takes the file again with ``by_hand``.

    Parameters
    ----------
    name : str
        Name of the bundle.
    store : BundleStore
        The gateway's bundles and trusted keys.
    release : int, optional
        Which; by default the one that ran before this.
    engine : str, optional
        By default the preferred one that works here.
    limits : ProbeLimits, optional
        What the probe may use.

    Returns
    -------
    installation : Installation
        What is active now.

    Raises
    ------
    BundleRollbackError
        If there is no such release in the store.
    BundleError, InferenceError, AccuracyGateError, HostEnvironmentError
        As ``install_bundle``.
    """
    bundle = store.load_earlier(name, release)
    report = _probe(bundle, store, engine, limits)
    replaced = store.active(name)
    stored = store.activate(name, bundle.manifest.release)
    _record(bundle, store, report)
    return Installation(bundle, stored, report, replaced)


def load_active(
    name: str, store: BundleStore, *, engine: str | None = None, limits: ProbeLimits | None = None
) -> Installation:
    """Verify and probe the active bundle of a name, as at every start of the daemon.

    Parameters
    ----------
    name : str
        Name of the bundle.
    store : BundleStore
        The gateway's bundles and trusted keys.
    engine : str, optional
        By default the preferred one that works here.
    limits : ProbeLimits, optional
        What the probe may use.

    Returns
    -------
    installation : Installation
        ``replaced`` is None.

    Raises
    ------
    HostEnvironmentError
        If there is no active bundle of this name.
    BundleError, InferenceError, AccuracyGateError
        As ``install_bundle``.
    """
    bundle = store.load(name)
    stored = store.active(name)
    if stored is None:
        raise BundleError(f'"{name}" was deactivated while it was read; try again')
    report = _probe(bundle, store, engine, limits)
    _record(bundle, store, report)
    return Installation(bundle, stored, report, None)


def open_checked(
    bundle: Bundle, *, recorded: Mapping[EngineIdentity, tuple[Array, ...]] | None = None, engine: str | None = None
) -> tuple[Runtime, GoldenVerdict]:
    """Open a probed bundle in this process and run its golden inputs once more here.

    Parameters
    ----------
    bundle : Bundle
        Verified, and probed before.
    recorded : mapping of EngineIdentity to tuple of arrays, optional
        What this gateway recorded for it.
    engine : str, optional
        By default the preferred one that works here.

    Returns
    -------
    runtime : Runtime
        Ready to run.
    verdict : GoldenVerdict
        How its answers compare with the golden ones.

    Raises
    ------
    BundleError, InferenceError
        If the bundle is not verified, cannot be loaded, or answers otherwise.
    """
    runtime = open_bundle(bundle, engine=engine)
    vectors = bundle.golden()
    outputs = run_samples(runtime, vectors.inputs)
    known = None if recorded is None else recorded.get(runtime.identity)
    verdict = judge_golden(bundle.manifest, vectors, triple_of(runtime.identity), outputs, known)
    return runtime, verdict


def recorded_sets(bundle: Bundle, store: BundleStore) -> dict[EngineIdentity, tuple[Array, ...]]:
    """Give every golden set that this gateway recorded for a bundle.

    Parameters
    ----------
    bundle : Bundle
        The bundle.
    store : BundleStore
        The gateway's store.

    Returns
    -------
    recorded : dict of EngineIdentity to tuple of arrays
        Damaged records are left out and logged.
    """
    return {
        EngineIdentity(triple.engine, triple.version, triple.instruction_set): outputs
        for triple, outputs in store.recorded.read(bundle.manifest, bundle.digest).items()
    }


def _probe(bundle: Bundle, store: BundleStore, engine: str | None, limits: ProbeLimits | None) -> ProbeReport:
    """Probe against what was recorded here."""
    return probe_bundle(bundle, recorded=recorded_sets(bundle, store), engine=engine, limits=limits)


def _record(bundle: Bundle, store: BundleStore, report: ProbeReport) -> None:
    """Record the answers of a triple that nobody recorded before."""
    if report.verdict.rule == "tolerated":
        store.recorded.record(bundle.digest, triple_of(report.probe.identity), report.probe.outputs)
