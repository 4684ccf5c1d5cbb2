"""New models on a real store, journal and outbox; installer, lanes and the worker do what a test lets them do."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from edge_runtime.bundle.reader import read_bundle
from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Camera, Config, Gateway, Pipeline, Rollout
from edge_runtime.daemon.arrivals import Arrivals
from edge_runtime.daemon.clock import Clock
from edge_runtime.daemon.commands import Orders
from edge_runtime.daemon.installer import Installer
from edge_runtime.daemon.installing import InstallTask, Progress
from edge_runtime.daemon.journal import Journal
from edge_runtime.daemon.metrics import Metrics
from edge_runtime.daemon.models import PipelineModel
from edge_runtime.daemon.outbox import Outbox
from edge_runtime.daemon.release_book import RELEASE, Release, ReleaseBook, Told
from edge_runtime.daemon.release_orders import release_orders
from edge_runtime.daemon.releases import Releases
from edge_runtime.messages import Command, ModelCandidate, ModelRollout, Reply
from tests.bundles import TRUSTED, image_bundle, trusting_store
from tests.unit.daemon.outboxes import Hands, open_outbox

MODEL = "tiny-surface"
DIGESTS = {release: read_bundle(image_bundle(release=release), TRUSTED).digest for release in (1, 2, 3)}
CONFIG = Config(
    gateway=Gateway(id="gw1"),
    rollout=Rollout(auto_promote=False),
    cameras=(Camera(id="cam", topic="in/cam", format="jpeg"),),
    pipelines=(Pipeline(id="surface", kind="inspection", bundle=MODEL, cameras=("cam",)),),
)


class ScriptedInstaller(Installer):
    """Says what a test lets it say."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.tasks: list[InstallTask] = []
        self.said: list[Progress] = []
        self.working = False

    @property
    def busy(self) -> bool:
        return self.working

    def start(self, task: InstallTask) -> None:
        self.tasks.append(task)
        self.working = True

    def poll(self) -> list[Progress]:
        said, self.said = self.said, []
        self.working = self.working and not any(each.state in {"stored", "refused"} for each in said)
        return said

    def filenos(self) -> list[int]:
        return []

    def close(self) -> None:
        self.working = False


class QuietLane:
    """Takes nothing and says nothing; the test moves the trial."""

    alive = True

    def __init__(self, models: Mapping[str, PipelineModel]) -> None:
        self.releases = {name: model.bundle.manifest.release for name, model in models.items()}
        self.pids = (1, 2)
        self.sources = frozenset({"cam"})
        self.pipelines = frozenset(models)
        self.closed = False

    def offer(self, _item: Any) -> bool:
        return False

    def poll(self) -> list[Any]:
        return []

    def filenos(self) -> list[int]:
        return []

    def close(self) -> None:
        self.closed = True


class Worker:
    """The worker in use: remembers what it was asked to run."""

    def __init__(self) -> None:
        self.worker_bytes = 1000
        self.asked: list[dict[str, int]] = []
        self.ended: list[Callable[[str], None]] = []

    def swap(self, models: Mapping[str, PipelineModel], *, ended: Callable[[str], None] | None = None) -> None:
        assert ended is not None
        self.asked.append({name: model.bundle.manifest.release for name, model in models.items()})
        self.ended.append(ended)

    def finish(self, refusal: str = "") -> None:
        """End the oldest swap."""
        self.ended.pop(0)(refusal)


class Workshop:
    """Everything around the releases of a gateway, which may be killed and started again."""

    def __init__(self, folder: Path, config: Config = CONFIG) -> None:
        self.config = config
        self.hands = Hands()
        self.clock = Clock(self.hands, lambda: self.hands.now_s - 1e9)
        self.store = BundleStore(trusting_store(folder / "bundles").root, wait=False)
        self.outbox: Outbox = open_outbox(folder, clock=self.hands)
        self.candidates: list[ModelCandidate] = []
        self.rollouts: list[ModelRollout] = []
        self.alarms: dict[str, bool] = {}
        self.lanes: list[QuietLane] = []
        self.recorded: list[tuple[Command, str]] = []
        self._n_commands = 0
        self.begin()

    def begin(self) -> None:
        """Start from what is on disk; what was not committed is gone."""
        self.journal: Journal[object] = Journal(self.outbox, lambda _token: None, checkpoint_s=0.2, max_tokens=8)
        self.installer = ScriptedInstaller()
        self.worker, self.metrics = Worker(), Metrics()
        told = Told(self.candidates.append, self.rollouts.append, self._alarm)
        book = ReleaseBook(self.outbox.load_state(RELEASE), self.journal, told, self.clock)
        now = self.clock.monotonic
        arrivals = Arrivals(self.config, book, self.installer, fleet_topic=lambda sha: f"fleet/{sha}", clock=now)
        self.releases = Releases(
            self.config,
            self.store,
            (),
            book=book,
            running=self.worker,
            settle=lambda *_: None,
            arrivals=arrivals,
            clock=self.clock,
            metrics=self.metrics,
            flush=self.commit,
            record=lambda command, text: self.recorded.append((command, text)),
            new_id=lambda: "own",
            make_lane=self._make_lane,
        )
        self._orders = Orders(release_orders(self.releases, self.store), self.clock)

    def commit(self) -> None:
        self.journal.flush(self.clock.monotonic(), force=True)

    def restart(self) -> None:
        """Commit, kill, start, and take one turn."""
        self.commit()
        self.begin()
        self.releases.poll()

    def _make_lane(self, models: Mapping[str, PipelineModel]) -> QuietLane:
        self.lanes.append(QuietLane(models))
        return self.lanes[-1]

    def _alarm(self, word: str, active: bool, _text: str) -> None:
        self.alarms[word] = active

    def put(self, release: int, *, active: bool = False, name: str = MODEL) -> str:
        """Have a release in the store; gives its digest."""
        bundle = read_bundle(image_bundle(release=release, name=name), TRUSTED)
        self.store.install(bundle, activate=active)
        return bundle.digest

    def command(self, name: str, **fields: Any) -> Reply:
        """Give an order and take a turn."""
        self._n_commands += 1
        order = {"issuer": "ann", "id": f"c{self._n_commands}", "model": MODEL, **fields}
        replies: list[Reply] = []
        self._orders.take(name, json.dumps(order).encode(), replies.append)
        self.releases.poll()
        (reply,) = replies
        return reply

    def arrive(self, release: int = 2) -> None:
        """Order a release, and let the installer store it; its trial begins."""
        assert self.command("model/install", sha256=DIGESTS[release]).ok
        self.put(release)
        self.say(Progress(state="stored", version="1.0.0", release=release))

    def say(self, *progress: Progress) -> None:
        """Let the installer speak."""
        self.installer.said += progress
        self.releases.poll()

    @property
    def release(self) -> Release:
        """What is remembered of the model."""
        found = self.releases.book.find(MODEL)
        assert found is not None
        return found

    @property
    def trial(self) -> Any:
        """The trial under way."""
        underway = self.releases._underway
        assert underway is not None
        return underway.trial

    def reach(self, stage: str) -> None:
        """Let the trial reach a stage."""
        self.trial.stage = stage
        self.releases.poll()

    def fail(self, reason: str = "errors: too many") -> None:
        """Let the trial fail."""
        self.trial.roll_back(reason)
        self.releases.poll()

    def active(self) -> int:
        """The release in use."""
        stored = self.store.active(MODEL)
        assert stored is not None
        return stored.release

    def promote(self) -> None:
        """Bring release 2 onto probation, with release 1 before it."""
        self.put(1, active=True)
        self.arrive(2)
        assert self.command("model/promote", sha256=DIGESTS[2]).ok
        self.worker.finish()
        self.releases.poll()

    def with_rollout(self, **changes: Any) -> Config:
        """The configuration with other limits."""
        rollout = msgspec.structs.replace(self.config.rollout, **changes)
        return msgspec.structs.replace(self.config, rollout=rollout)
