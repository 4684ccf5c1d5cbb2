"""What a process loads: no toolchain on the gateway, and neither engines nor compiled kernels in the supervisor."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest

_LIST = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
_WALK = """
import importlib, pkgutil
import edge_runtime
for package in ("edge_runtime",):
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        if not module.name.startswith("edge_runtime.compress") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""


@functools.cache
def loaded_after(code: str) -> frozenset[str]:
    """Top-level modules that a fresh process has loaded after running the code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{_LIST}"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return frozenset(json.loads(done.stdout))


@pytest.mark.parametrize(
    "heavy",
    ["numba", "llvmlite", "ai_edge_litert", "tflite_runtime", "onnxruntime", "cv2", "tensorflow", "keras", "onnx"],
)
def test_supervisor_loads_no(heavy: str) -> None:
    assert heavy not in loaded_after("import edge_runtime.cli, edge_runtime.daemon.supervisor")


@pytest.mark.parametrize("heavy", ["tensorflow", "keras", "tf_keras"])
def test_everything_but_the_toolchain_loads_no(heavy: str) -> None:
    assert heavy not in loaded_after(_WALK)


@pytest.mark.parametrize("heavy", ["numpy", "paho", "cryptography", "prometheus_client", "cv2", "numba", "tensorflow"])
def test_command_line_loads_at_its_start_no(heavy: str) -> None:
    assert heavy not in loaded_after("import edge_runtime.cli")


def test_package_itself_loads_nothing_foreign() -> None:
    foreign = loaded_after("import edge_runtime") - loaded_after("pass") - {"edge_runtime"}
    assert foreign == set()
