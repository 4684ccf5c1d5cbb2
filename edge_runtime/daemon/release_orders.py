"""Commands about models: ``model/install``, ``model/promote``, ``model/rollback``."""

from __future__ import annotations

from collections.abc import Mapping

from edge_runtime.bundle.reader import Bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.daemon.commands import Obey
from edge_runtime.daemon.fetching import source_fault
from edge_runtime.daemon.release_book import MODELS_KEPT, Course, Release
from edge_runtime.daemon.releases import Releases
from edge_runtime.errors import BundleRollbackError, MessageError, PayloadFormatError
from edge_runtime.messages import Command, ModelInstall, ModelPromote, ModelRollback

_CHANGING: tuple[Course, ...] = ("promoting", "going_back")
_TRYING: tuple[Course, ...] = ("", "shadow", "canary", "waiting")


def release_orders(releases: Releases, store: BundleStore) -> Mapping[str, Obey]:
    """Make the obedience to the commands about models.

    Parameters
    ----------
    releases : Releases
        Carries them out.
    store : BundleStore
        Knows what is in use.

    Returns
    -------
    obey : mapping of str to callable
        By ``noun/verb``. Each refuses with a stable reason.
    """

    def install(command: Command) -> str:
        assert isinstance(command, ModelInstall)
        return _install(releases, store, command)

    def promote(command: Command) -> str:
        assert isinstance(command, ModelPromote)
        return _promote(releases, command)

    def roll_back(command: Command) -> str:
        assert isinstance(command, ModelRollback)
        return _roll_back(releases, store, command)

    return {"model/install": install, "model/promote": promote, "model/rollback": roll_back}


def _install(releases: Releases, store: BundleStore, command: ModelInstall) -> str:
    fault = source_fault(command.source)
    if fault:
        raise _refusal("bad_source", fault)
    model, sha256 = command.model, command.sha256
    known = releases.book.find(model)
    rolled_back = () if known is None else known.rolled_back
    if sha256 in rolled_back and not command.again:
        raise _refusal(
            "rolled_back", f'{sha256[:12]} was rolled back here; order it with "again": true to try it again'
        )
    active = store.active(model)
    if active is not None and active.sha256 == sha256:
        return f"{model} {sha256[:12]} is in use already"
    if known is not None:
        under_way = known.state in {"fetching", "verifying"}
        if known.sha256 == sha256 and (under_way or (known.state == "ready" and known.course in _TRYING)):
            return f"{model} {sha256[:12]} is {known.course or known.state} already"
        if under_way or known.course in {*_CHANGING, "probation"}:
            what = known.state if under_way else known.course
            raise _refusal("busy", f"{model} {known.sha256[:12]} is {what}; order again when that is over")
    if not releases.has_room(model):
        raise _refusal("too_many_models", f"{MODELS_KEPT} models are known here and none of them has ended")
    releases.order(
        Release(
            model=model,
            sha256=sha256,
            source=command.source,
            issuer=command.issuer,
            state="fetching",
            rolled_back=tuple(each for each in rolled_back if each != sha256),
        )
    )
    return f"{model} {sha256[:12]} is fetched; how far it is stands on model/{model}/candidate"


def _promote(releases: Releases, command: ModelPromote) -> str:
    model, sha256 = command.model, command.sha256
    known = releases.book.find(model)
    if known is None:
        raise _refusal("unknown_candidate", f"there is no candidate for {model}; order one with model/install")
    if known.sha256 != sha256:
        raise _refusal("digest_mismatch", f"the candidate for {model} is {known.sha256[:12]}, not {sha256[:12]}")
    if known.state != "ready":
        raise _refusal("not_ready", f"{model} {sha256[:12]} is {known.state}: {known.refusal}")
    if known.course == "rolled_back":
        raise _refusal("rolled_back", f'{sha256[:12]} was rolled back: {known.reason}; install it with "again": true')
    if known.course == "going_back":
        raise _refusal("busy", f"{model} is going back to the release before")
    if known.course in _TRYING:
        other = releases.blocks_promotion(model)
        if other:
            raise _refusal("change_running", f"{other} is on probation; promote {model} when that is over")
        releases.promote(known, f"promoted by {command.issuer}")
        return f"{model} {sha256[:12]} is promoted; model/{model}/rollout tells when it decides"
    return f"{model} {sha256[:12]} is {known.course} already"


def _roll_back(releases: Releases, store: BundleStore, command: ModelRollback) -> str:
    model = command.model
    reason = f"rolled back by {command.issuer}"
    known = releases.book.find(model)
    if known is not None and known.course in _CHANGING:
        raise _refusal("busy", f"{model} is {known.course}; order again when that is over")
    if known is not None and command.release is None and known.state == "ready" and known.course in _TRYING:
        releases.go_back(known, reason, automatic=False)
        return f"the trial of {model} {known.sha256[:12]} is ended; the model in use stays"
    active = store.active(model)
    try:
        target = _earlier(store, model, command.release, () if known is None else known.rolled_back)
    except BundleRollbackError as error:
        raise _refusal("unknown_release", str(error)) from error
    number = target.manifest.release
    if active is None or active.sha256 == target.digest:
        return f"{model} release {number} is in use already"
    left = Release(
        model=model,
        sha256=active.sha256,
        version=active.version,
        release=active.release,
        issuer=command.issuer,
        state="ready",
        course="promoted",
        from_sha256=target.digest,
        from_release=number,
        rolled_back=tuple(each for each in (() if known is None else known.rolled_back) if each != target.digest),
    )
    releases.has_room(model)  # a way back is never refused for want of it
    releases.go_back(left, reason, automatic=False)
    return f"{model} goes back to release {number}"


def _earlier(store: BundleStore, model: str, release: int | None, rolled_back: tuple[str, ...]) -> Bundle:
    """Read the release to go back to: unless it is named, never one that was sent back before."""
    target = store.load_earlier(model, release)
    if release is not None or target.digest not in rolled_back:
        return target
    active = store.active(model)
    older = [
        each.stored.release
        for each in store.list()
        if each.name == model and each.present and each.stored.sha256 not in rolled_back
        if active is not None and each.stored.release < active.release
    ]
    if not older:
        raise BundleRollbackError(f'every release of "{model}" before this one was rolled back; name one to run it')
    return store.load(model, release=max(older))


def _refusal(reason: str, text: str) -> MessageError:
    return PayloadFormatError(text, reason=reason)
