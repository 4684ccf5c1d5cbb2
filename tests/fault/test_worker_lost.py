"""Real workers that crash, hang, grow and lose their launcher or their supervisor."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from edge_runtime.bundle.golden import pack_golden
from edge_runtime.bundle.manifest import Normalisation, WindowPreprocessing
from edge_runtime.daemon import protocol
from edge_runtime.daemon.keeper import Lost, WorkerLimits
from edge_runtime.daemon.ring import Ring
from edge_runtime.inference.opening import open_runtime
from tests.bundles import N_SAMPLES, STRANGER, TinyModel, image_bundle, sign_tiny, window_model
from tests.fault.workers import Shop, alive, descendants, image_plan, picture, wait_for
from tests.unit.daemon.keepers import Scripted

REPLACED_S = 2.0
SEED = 7


@pytest.fixture(scope="module")
def open_shop() -> Iterator[Shop]:
    """One shop for all tests that leave a good worker behind."""
    with Shop() as shop:
        shop.until_ready()
        yield shop


@pytest.fixture
def shop(open_shop: Shop) -> Shop:
    """The shop with a worker that has nothing to do."""
    open_shop.until_ready()
    open_shop.said.clear()
    return open_shop


def test_a_picture_becomes_an_outcome_of_every_pipeline(shop: Shop) -> None:
    shop.submit(picture())
    ((outcome,),) = [done.outcomes for done in shop.until_heard(protocol.Done)]
    assert (outcome.pipeline, outcome.reason, [finding.label for finding in outcome.findings]) == (
        "surface",
        "",
        ["crack", "stain"],
    )


@pytest.mark.parametrize("payload", [b"\xff\xd8\xff", picture()[:60], b"no picture at all", bytes(1 << 20)])
def test_a_damaged_picture_is_refused_and_the_worker_stays(shop: Shop, payload: bytes) -> None:
    worker = shop.worker
    shop.submit(payload)
    (done,) = shop.until_heard(protocol.Done)
    assert [outcome.reason for outcome in done.outcomes] == ["image_decode"]
    assert shop.worker == worker


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_worker_that_dies_is_replaced_in_time(shop: Shop, number: signal.Signals) -> None:
    before = shop.worker
    os.kill(before, number)
    started = time.monotonic()
    shop.until_heard(Lost)
    shop.until_ready()
    assert time.monotonic() - started < REPLACED_S
    assert shop.worker != before


def test_a_worker_ignores_the_signals_of_a_terminal(shop: Shop) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(shop.worker, number)
    shop.submit(picture())
    shop.until_heard(protocol.Done)
    assert shop.heard(Lost) == []


def test_what_a_dead_worker_held_is_given_back(shop: Shop) -> None:
    os.kill(shop.worker, signal.SIGSTOP)
    first, second = shop.submit(picture()), shop.submit(picture())
    os.kill(shop.worker, signal.SIGKILL)
    assert shop.until_heard(Lost) == [Lost("crashed", first, (second,))]


def test_a_worker_that_hangs_is_killed_and_replaced_in_time(shop: Shop) -> None:
    stopped = shop.worker
    os.kill(stopped, signal.SIGSTOP)
    number = shop.submit(picture())
    started = time.monotonic()
    assert shop.until_heard(Lost) == [Lost("hung", number, ())]
    shop.until_ready()
    assert time.monotonic() - started < REPLACED_S
    wait_for(lambda: not alive(stopped), patience_s=5.0)


def test_the_next_worker_judges_as_the_one_before(shop: Shop) -> None:
    shop.submit(picture(90))
    (before,) = shop.until_heard(protocol.Done)
    os.kill(shop.worker, signal.SIGKILL)
    shop.until_heard(Lost)
    shop.until_ready()
    shop.submit(picture(90))
    after = shop.until_heard(protocol.Done, 2)[-1]
    assert said(after) == said(before)


def said(done: protocol.Done) -> list[protocol.Outcome]:
    """What was made of an input, without the time that it took."""
    return [replace(outcome, took_ms=0.0) for outcome in done.outcomes]


def test_every_input_is_answered_though_workers_are_killed_at_random(shop: Shop) -> None:
    choice = random.Random(SEED)
    waiting, n_before_kill, n_kills = list(range(60)), 0, 0
    answered: list[int] = []
    numbers: dict[int, int] = {}
    ends = time.monotonic() + 20.0
    while len(answered) < 60:
        assert time.monotonic() < ends
        while waiting and shop.keeper.has_room:
            index = waiting.pop(0)
            numbers[shop.submit(picture(index))] = index
        if len(answered) >= n_before_kill and shop.keeper.ready and len(shop.keeper.pids) == 2:
            os.kill(shop.worker, signal.SIGKILL)
            n_before_kill, n_kills = len(answered) + choice.randint(1, 6), n_kills + 1
        shop.turn()
        for event in shop.said:
            if isinstance(event, protocol.Done):
                answered.append(numbers.pop(event.id))
            elif isinstance(event, Lost) and event.in_hand is not None:
                waiting[:0] = [numbers.pop(number) for number in (event.in_hand, *event.waiting)]
        shop.said.clear()
    assert sorted(answered) == list(range(60))
    assert n_kills > 8


def test_replacements_leave_no_descriptor_and_no_process_behind(shop: Shop) -> None:
    files, processes = count_descriptors(), len(descendants(os.getpid()))
    for n in range(1, 11):
        os.kill(shop.worker, signal.SIGKILL)
        shop.until_heard(Lost, n)
        shop.until_ready()
    assert count_descriptors() == files
    wait_for(lambda: len(descendants(os.getpid())) == processes, patience_s=5.0)


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_launcher_that_dies_takes_its_worker_along_and_is_replaced(shop: Shop) -> None:
    launcher, worker = shop.keeper.pids
    os.kill(launcher, signal.SIGKILL)
    (lost,) = shop.until_heard(Lost)
    shop.until_ready()
    assert lost.reason == "crashed"
    wait_for(lambda: not alive(launcher) and not alive(worker), patience_s=5.0)


def test_a_pipeline_that_is_refused_leaves_the_others_working() -> None:
    forged = image_plan("forged", bundle=image_bundle(key=STRANGER))
    garbage = image_plan("garbage", bundle=b"PK\x03\x04 no bundle")
    with Shop([forged, garbage, image_plan()]) as shop:
        shop.until_ready()
        assert [refused.pipeline for refused in shop.heard(protocol.Refused)] == ["forged", "garbage"]
        shop.submit(picture())
        (done,) = shop.until_heard(protocol.Done)
        assert [outcome.pipeline for outcome in done.outcomes] == ["surface"]


def test_the_pipeline_that_takes_the_worker_down_while_it_is_built_is_known_by_name(shared_data: Path) -> None:
    (model,) = (shared_data / "models").rglob("keyword_scrambled_8bit.tflite")
    with Shop([image_plan("healthy"), image_plan("deadly", bundle=deadly_bundle(model.read_bytes()))]) as shop:
        shop.until_heard(Lost)
        assert shop.heard(protocol.Building)[-1].pipeline == "deadly"
        assert [built.pipeline for built in shop.heard(protocol.Built)] == ["healthy"]
        shop.plans = [image_plan("healthy")]
        started = time.monotonic()
        shop.until_ready()
        assert time.monotonic() - started < REPLACED_S


def deadly_bundle(model: bytes) -> bytes:
    """Sign a bundle in good order around a model that takes its process down when it runs."""
    interface = open_runtime(model, "tflite").interface
    ((_, length),) = (spec.shape for spec in interface.inputs)
    like = window_model().manifest
    assert isinstance(like.preprocessing, WindowPreprocessing)
    window = msgspec.structs.replace(
        like.preprocessing,
        channels=like.preprocessing.channels[:1],
        length=length,
        normalisation=Normalisation(method="none", centre=((0.0,),), scale=((1.0,),)),
    )
    inputs, outputs = (
        tuple(np.zeros((N_SAMPLES, *spec.shape[1:]), spec.dtype) for spec in specs)
        for specs in (interface.inputs, interface.outputs)
    )
    golden = pack_golden(inputs, tuple(codes.astype(np.float32) for codes in outputs), {"recorded": outputs})
    tiny = TinyModel(like, {"model.tflite": model, "golden.npz": golden})
    return sign_tiny(tiny, inputs=interface.inputs, outputs=interface.outputs, preprocessing=window)


def test_a_worker_that_grows_beyond_its_limit_is_killed() -> None:
    glutton = subprocess.Popen([sys.executable, "-c", "import time; x = b'x' * (200 << 20); time.sleep(60)"])
    ring = Ring(1, 4096)
    keeper = Scripted(ring, memory_bytes=100 << 20)
    try:
        keeper.stand_up()
        keeper.launcher.send(str(glutton.pid).encode())
        wait_for(lambda: keeper.poll() == [Lost("grew", None, ())], patience_s=10.0)
        assert glutton.wait(5.0) == -signal.SIGKILL
    finally:
        keeper.close()
        ring.close()
        glutton.kill()
        glutton.wait()


def test_a_worker_without_enough_memory_is_lost_while_it_starts() -> None:
    with Shop(limits=WorkerLimits(memory_bytes=32 << 20)) as shop:
        shop.until_heard(Lost)
        assert shop.heard(protocol.Ready) == []


def test_closing_leaves_no_process_behind() -> None:
    with Shop() as shop:
        shop.until_ready()
        pids = shop.keeper.pids
    wait_for(lambda: not any(alive(pid) for pid in pids), patience_s=5.0)


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "worker stopped"])
def test_no_process_outlives_a_killed_supervisor(project: Path, stopped: bool) -> None:
    environment = {**os.environ, "PYTHONPATH": str(project)}
    command = [sys.executable, "-m", "tests.fault.shopkeeper"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=project) as supervisor:
        assert supervisor.stdout is not None
        launcher, worker = (int(word) for word in supervisor.stdout.readline().split())
        if stopped:
            os.kill(worker, signal.SIGSTOP)
        supervisor.kill()
    wait_for(lambda: not alive(launcher) and not alive(worker), patience_s=5.0)


def test_the_worker_runs_in_its_sandbox(shop: Shop) -> None:
    os.kill(shop.worker, signal.SIGKILL)
    (ready,) = shop.until_heard(protocol.Ready)
    assert {"no_new_privs", "rlimits", "seccomp"} <= set(ready.sandbox)
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{shop.worker}/status").read_text().splitlines() if ":\t" in line
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
