"""``check`` and ``doctor``: what stands in the way, before anything is started."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Config, config_sha256, load_config
from edge_runtime.daemon.clock import clock_quality
from edge_runtime.daemon.examining import examine_limits, examine_port, examine_state, is_held
from edge_runtime.daemon.fit import require_fit
from edge_runtime.daemon.lifecycle import versions
from edge_runtime.daemon.lines import Level, Line, Report
from edge_runtime.daemon.models import load_models
from edge_runtime.errors import BrokerError, EdgeRuntimeError

_BROKER_PATIENCE_S = 5.0
_LITTLE_DISK_BYTES = 1 << 30
_LITTLE_MEMORY_BYTES = 1 << 30
_SLOW_SYNC_MS = 50.0
_SYNCS = 9


def check_gateway(path: Path, *, with_broker: bool = True) -> Report:
    """Hold a configuration, its bundles and its broker to what the daemon will need.

    Parameters
    ----------
    path : Path
        The configuration.
    with_broker : bool
        Connect to the broker, under another client id than the daemon's.

    Returns
    -------
    report : Report
        Its exit code is 0, 4 (a bundle is refused) or 5 (the environment).

    Raises
    ------
    ConfigError
        If the configuration has faults; all are listed.
    HostEnvironmentError
        If it cannot be read.
    """
    config = load_config(path)
    lines = [Line("ok", "configuration", f"{path} ({config_sha256(config)[:12]})")]
    state_dir = Path(config.gateway.state_dir)
    lines += _check_state(state_dir)
    port = examine_port(config.http, daemon_runs=is_held(state_dir))
    lines += [] if port is None else [port]
    lines += _check_pipelines(config)
    if with_broker:
        lines.append(_check_broker(config))
    return Report(tuple(lines))


def examine_machine(path: Path | None) -> Report:
    """Look at packages, engines, sandbox, clock, memory and disk, and with a configuration at the gateway.

    Parameters
    ----------
    path : Path or None
        A configuration.

    Returns
    -------
    report : Report
        As :func:`check_gateway`.

    Raises
    ------
    ConfigError, HostEnvironmentError
        As :func:`check_gateway`.
    """
    lines = [
        Line("ok", "machine", f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"),
        Line("ok", "packages", ", ".join(f"{name} {number}" for name, number in versions().items())),
        *_check_engines(),
        _check_sandbox(),
        _check_memory(),
        examine_limits(),
        _check_clock(),
    ]
    if path is None:
        return Report((*lines, _check_disk(Path.cwd())))
    return Report((*lines, *check_gateway(path).lines))


def _check_state(folder: Path) -> Iterable[Line]:
    """Look at the folder that keeps the promises."""
    place = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(place, os.W_OK):
        yield Line("fault", "state", f"{folder} cannot be written by this user", 5)
        return
    yield _check_disk(place)
    yield _check_sync(place)
    yield from examine_state(folder)


def _check_disk(place: Path) -> Line:
    free = shutil.disk_usage(place).free
    return Line("note" if free < _LITTLE_DISK_BYTES else "ok", "disk", f"{free / 1e9:.1f} GB free at {place}")


def _check_sync(place: Path) -> Line:
    """Time how long the disk takes to promise something: it bounds how fast alerts can be made durable."""
    times = []
    with tempfile.TemporaryFile(dir=place) as file:
        for _ in range(_SYNCS):
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            times.append((time.perf_counter() - started) * 1e3)
    median = sorted(times)[len(times) // 2]
    slow = median > _SLOW_SYNC_MS
    hint = "; alerts wait that long to become durable" if slow else ""
    return Line("note" if slow else "ok", "sync", f"{median:.2f} ms for a synced write{hint}")


def _check_pipelines(config: Config) -> Iterable[Line]:
    """Read every bundle as the daemon does, and hold sensors to their models."""
    models, refused = load_models(config, BundleStore(Path(config.bundles.store)))
    for name, reason in refused.items():
        yield Line("fault", f"pipeline {name}", reason, 4)
    for name, model in models.items():
        try:
            for source in model.plan.sources:
                if model.pipeline.kind == "monitor":
                    require_fit(source, model.bundle.manifest)
        except EdgeRuntimeError as error:
            yield Line("fault", f"pipeline {name}", str(error), error.exit_code)
            continue
        facts = model.bundle.manifest
        precision = facts.quantization.precision
        yield Line("ok", f"pipeline {name}", f"{facts.name} {facts.version} release {facts.release}, {precision}")


def _check_broker(config: Config) -> Line:
    """Connect as a guest, so that a running daemon is not thrown out."""
    from edge_runtime.mqtt.session import Session  # noqa: PLC0415 - doctor without a configuration does without

    broker = msgspec.structs.replace(config.broker, client_id=f"{config.broker.client_id}-check", session_expiry_s=0)
    session = Session(broker)
    session.start()
    where = f"{broker.host}:{broker.port}, MQTT {broker.protocol}, {'TLS' if broker.tls else 'no TLS'}"
    try:
        session.wait_connected(_BROKER_PATIENCE_S)
    except BrokerError as error:
        return Line("fault", "broker", f"{where}: {error}", error.exit_code)
    finally:
        session.stop(flush_s=0.5)
    return Line("ok", "broker", where)


def _check_engines() -> Iterable[Line]:
    from edge_runtime.inference.opening import available_engines  # noqa: PLC0415 - loads the engines

    found = available_engines()
    for engine in found:
        if engine.identity is not None:
            text = f"version {engine.identity.version}, kernels for {engine.identity.instruction_set}"
            yield Line("ok", f"engine {engine.engine}", text)
        else:
            yield Line("note", f"engine {engine.engine}", engine.reason)
    if all(engine.identity is None for engine in found):
        yield Line("fault", "engines", 'no engine works here; install one with "pip install edge-runtime[gateway]"', 5)


def _check_sandbox() -> Line:
    """Confine a child as a worker is confined, and hear what holds."""
    from edge_runtime.daemon.sandbox import confine  # noqa: PLC0415 - only here

    def answer() -> bytes:
        return ", ".join(confine(memory_limit_bytes=1 << 30)).encode()

    measures = _ask_child(answer)
    if not measures:
        return Line("fault", "sandbox", "the worker cannot be confined on this kernel", 5)
    missing = "" if "seccomp" in measures else "; no call filter for this architecture"
    return Line("ok" if not missing else "note", "sandbox", measures + missing)


def _ask_child(answer: Callable[[], bytes]) -> str:
    """Run a function in a forked child; empty when it fails."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.write(write_end, answer())
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as file:
        words = file.read()
    _, status = os.waitpid(pid, 0)
    return words.decode() if status == 0 else ""


def _check_memory() -> Line:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    level: Level = "note" if total < _LITTLE_MEMORY_BYTES else "ok"
    return Line(level, "memory", f"{total / 1e9:.1f} GB; supervisor and worker take about 0.25 GB")


def _check_clock() -> Line:
    quality = clock_quality(time.time())
    texts = {
        "synchronized": "synchronized",
        "unsynchronized": "not synchronized: times in alerts carry that mark; run an NTP client",
        "unset": "never set: set it, or run an NTP client",
    }
    return Line("ok" if quality == "synchronized" else "note", "clock", texts[quality])
