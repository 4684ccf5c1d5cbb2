"""A second worker beside the one in use: it gets copies of inputs and nothing waits for its answers.

It has a launcher, a ring and a sandbox of its own and yields the processor to the worker in use. An input is offered to
it only after the worker in use has survived it, so that no model is blamed for a picture that kills every decoder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from edge_runtime.config import Config
from edge_runtime.daemon import protocol
from edge_runtime.daemon.intake import Item
from edge_runtime.daemon.keeper import Event, Lost, WorkerKeeper, WorkerLimits
from edge_runtime.daemon.models import PipelineModel
from edge_runtime.daemon.ring import Ring
from edge_runtime.daemon.tasks import payload_bytes, write_task
from edge_runtime.errors import PayloadSizeError

_SLOTS = 2
_NICENESS = 5
#: It yields the processor, so an input may take it longer than the worker in use.
_PATIENCE = 2.0

#: Makes the keeper of a lane; another one in tests.
KeeperMaker = Callable[[Ring, Callable[[], protocol.Load], tuple[str, ...], WorkerLimits], WorkerKeeper]


class TrialLane:
    """Runs other models of some pipelines on copies of their inputs.

    Parameters
    ----------
    config : Config
        Worker limits, rollout limits, sources.
    models : mapping of str to PipelineModel
        What it runs, by pipeline.
    trusted : tuple of bytes
        Public keys, PEM.
    clock : callable
        Monotonic, s.
    make_keeper : callable, optional
        Another keeper, in tests.

    Attributes
    ----------
    sources : frozenset of str
        Whose inputs it takes.
    pipelines : frozenset of str
        Which pipelines it runs.
    alive : bool
        True: it has a worker, or will have one again.
    """

    def __init__(
        self,
        config: Config,
        models: Mapping[str, PipelineModel],
        trusted: tuple[bytes, ...],
        *,
        clock: Callable[[], float],
        make_keeper: KeeperMaker | None = None,
    ) -> None:
        self._models = dict(models)
        self._trusted = trusted
        self._max_pixels = config.worker.max_frame_px
        self._channels = {sensor.id: [channel.name for channel in sensor.channels] for sensor in config.sensors}
        self._slots: dict[int, int] = {}
        self._yielding: int | None = None
        self.alive = True
        self.pipelines = frozenset(models)
        self.sources = frozenset(source.id for model in models.values() for source in model.plan.sources)
        self._ring = Ring(_SLOTS, config.worker.slot_bytes)
        limits = WorkerLimits(
            start_s=config.worker.start_timeout_s,
            hang_s=config.worker.hang_timeout_s * _PATIENCE,
            memory_bytes=config.rollout.memory_limit_mb << 20,
            in_flight=_SLOTS,
        )
        formats = tuple(sorted({form.format for each in models.values() for form in each.bundle.manifest.models}))

        def keeper(
            ring: Ring, orders: Callable[[], protocol.Load], formats: tuple[str, ...], limits: WorkerLimits
        ) -> WorkerKeeper:
            cache = Path(config.gateway.state_dir) / "kernels"
            return WorkerKeeper(ring, orders, formats=formats, limits=limits, clock=clock, cache_dir=cache)

        self.keeper = (make_keeper or keeper)(self._ring, self._orders, formats, limits)

    def _orders(self) -> protocol.Load:
        """Write what its worker builds; windows begin empty, since another model's may not fit."""
        plans = tuple(model.plan for model in self._models.values())
        return protocol.Load(plans, self._trusted, {}, self._max_pixels)

    def filenos(self) -> list[int]:
        """Descriptors that become readable when ``poll`` has something to do."""
        return self.keeper.filenos()

    @property
    def pids(self) -> tuple[int, ...]:
        """Its launcher and its worker, as far as they run."""
        return self.keeper.pids

    def offer(self, item: Item) -> bool:
        """Hand a copy of an input over.

        Returns
        -------
        taken : bool
            False when its worker is busy or not there, or the input is none of its own.
        """
        if item.source not in self.sources or not self.keeper.has_room:
            return False
        data = payload_bytes(item.payload)
        try:
            slot = self._ring.fill(data)
        except PayloadSizeError:
            return False
        self._slots[item.id] = slot
        self.keeper.submit(write_task(item, slot, len(data), self._channels.get(item.source, ())))
        return True

    def poll(self) -> list[Event]:
        """Give what its worker said, and what became of it."""
        self._yield_processor()
        events = self.keeper.poll()
        for event in events:
            if isinstance(event, protocol.Done):
                self._ring.release(self._slots.pop(event.id))
            elif isinstance(event, Lost):
                for slot in self._slots.values():
                    self._ring.release(slot)
                self._slots.clear()
        return events

    def _yield_processor(self) -> None:
        """Put the launcher behind the daemon's other processes; those that it forks inherit that."""
        launcher = next(iter(self.keeper.pids), None)
        if launcher is not None and launcher != self._yielding:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, launcher, _NICENESS)
        self._yielding = launcher

    def close(self) -> None:
        """End its processes and give the memory back."""
        self.keeper.close()
        self._ring.close()
