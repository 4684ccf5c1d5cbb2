"""The contract of engines on tflite-runtime, which needs NumPy 1 and therefore an environment of its own."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = ("tflite-runtime==2.14.0", "numpy<2", "msgspec", "cryptography", "pytest")
BUILD_S = 240
RUN_S = 120


def _run(command: Sequence[str | Path], timeout_s: float, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    return subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=cwd,
        env={**environment, "PYTHONPATH": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )


def _leave_out(reason: str) -> NoReturn:
    message = f"tflite-runtime's own environment cannot be built, so its contract is not tested: {reason}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def interpreter(project: Path) -> Path:
    """The Python of an environment with tflite-runtime and NumPy 1, built once under build/."""
    if sys.version_info >= (3, 12):
        pytest.skip("tflite-runtime has no wheel for Python 3.12 or newer; its extra says the same")
    folder = project / "build" / "venv-tflite-runtime"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "venv-tflite-runtime.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test processes run side by side
        _build(folder, project)
    return folder / "bin" / "python"


def _build(folder: Path, project: Path) -> None:
    """Make the environment unless it is there, whole, with these packages."""
    complete = folder / "complete"
    wanted = " ".join(PACKAGES)
    if complete.is_file() and complete.read_text(encoding="ascii") == wanted:
        return
    python = folder / "bin" / "python"
    steps: list[list[str | Path]] = [
        [sys.executable, "-m", "venv", "--clear", folder],
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PACKAGES],
    ]
    for step in steps:
        try:
            done = _run(step, BUILD_S, project)
        except subprocess.TimeoutExpired:
            _leave_out(f"no end within {BUILD_S} s")
        if done.returncode != 0:
            _leave_out((done.stderr.strip() or done.stdout.strip())[-400:])
    complete.write_text(wanted, encoding="ascii")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tflite_runtime_satisfies_the_contract_in_an_environment_of_its_own(interpreter: Path, project: Path) -> None:
    suite = project / "tests" / "contract" / "tflite_runtime_suite.py"
    options: list[str | Path] = [
        "-c",
        os.devnull,
        "--rootdir",
        project,
        "--import-mode=importlib",
        "-p",
        "no:cacheprovider",
        "-q",
    ]
    command: list[str | Path] = [interpreter, "-m", "pytest", *options, suite]
    done = _run(command, RUN_S, project)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tflite_runtime_beside_numpy_2_is_found_not_to_work(interpreter: Path, project: Path) -> None:
    (packages,) = interpreter.parent.parent.glob("lib/python*/site-packages")
    code = (
        f"import sys; sys.path.append({str(packages)!r}); import numpy; assert numpy.__version__ >= '2'\n"
        "from edge_runtime.inference.opening import engine_status; print(engine_status('tflite-runtime').reason)"
    )
    done = _run([sys.executable, "-c", code], RUN_S, project)
    assert done.stdout.startswith("tflite-runtime refuses the model: "), done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tflite_runtime_is_chosen_where_litert_is_missing(interpreter: Path, project: Path) -> None:
    code = "from edge_runtime.inference.opening import choose_engine; print(choose_engine('tflite'))"
    done = _run([interpreter, "-c", code], RUN_S, project)
    assert done.stdout.strip() == "tflite-runtime", done.stderr[-2000:]
