"""How kernels are compiled."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edge_runtime.bundle.manifest import ImagePreprocessing, Quantization, Resize, TensorSpec
from edge_runtime.kernels import image, quantize, resample, warm_up, window
from edge_runtime.kernels._jit import compiles_during, kernel
from edge_runtime.vision.preprocess import ImagePreprocessor

MODULES = (image, quantize, resample, window)


def kernels(module: ModuleType) -> Iterator[Any]:
    """Every kernel that a module defines; none where the JIT is off."""
    for value in vars(module).values():
        if hasattr(value, "py_func") and value.__module__ == module.__name__:
            yield value


def signatures() -> dict[str, int]:
    """How many combinations of dtypes each kernel is compiled for."""
    return {each.__qualname__: len(each.signatures) for module in MODULES for each in kernels(module)}


def test_nothing_is_compiled_after_the_warm_up() -> None:
    warm_up()
    before = signatures()
    quantization = Quantization((0.02,), (0,))
    for dtype in ("int8", "uint8", "int16", "float32"):
        for interpolation in ("linear", "area", "nearest"):
            for colour, channels in (("rgb", 3), ("gray", 1)):
                spec = TensorSpec("x", dtype, (1, 4, 4, channels), quantization)
                resize = Resize("letterbox", 4, 4, interpolation)
                numbers = (127.5,) * channels
                preprocess = ImagePreprocessor(ImagePreprocessing(resize, colour, numbers, numbers), spec)  # type: ignore[arg-type]
                frame = np.frombuffer(bytes(6 * 5 * 3), np.uint8).reshape(6, 5, 3)
                preprocess(frame)
                preprocess(frame.copy()[..., 0])
    assert signatures() == before


@pytest.mark.parametrize("module", MODULES)
def test_kernels_that_call_each_other_stand_in_one_file(module: ModuleType) -> None:
    for each in kernels(module):
        called = [vars(module).get(name) for name in each.py_func.__code__.co_names]
        assert {k.__module__ for k in called if hasattr(k, "py_func")} <= {module.__name__}


def test_kernel_runs_where_nothing_can_be_cached(caplog: pytest.LogCaptureFixture) -> None:
    scope: dict[str, Any] = {}
    exec("def double(x):\n    return x + x\n", scope)  # a function without a file has no place for a cache
    with caplog.at_level(logging.WARNING):
        assert kernel(scope["double"])(3) == 6


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import numpy as np
from edge_runtime.kernels import warm_up
from edge_runtime.kernels.quantize import quantize_int8
warm_up()
print(quantize_int8(np.array([0.5, 2e38, np.nan], np.float32), 0.1, 1, ties="away").tolist())
"""


def test_kernels_run_on_a_machine_without_numba() -> None:
    command = [sys.executable, "-W", "error", "-c", WITHOUT_NUMBA]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "[6, 127, 1]\n", done.stderr


READ_ONLY = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from edge_runtime.kernels.quantize import dequantize
import edge_runtime.kernels.quantize as module
import numpy as np
assert Path(module.__file__).is_relative_to(sys.argv[1])
dequantize(np.zeros(1, np.int8), 1.0, 0)
"""


def test_read_only_package_caches_in_the_directory_it_is_given(project: Path, tmp_path: Path) -> None:
    pytest.importorskip("numba")
    installed, cache = tmp_path / "installed", tmp_path / "cache"
    (installed / "edge_runtime").mkdir(parents=True)
    (installed / "edge_runtime" / "__init__.py").write_text("")
    kernels_here = installed / "edge_runtime" / "kernels"
    kernels_here.mkdir()
    for name in ("__init__.py", "_jit.py", "quantize.py"):
        (kernels_here / name).write_bytes((project / "edge_runtime" / "kernels" / name).read_bytes())
    kernels_here.chmod(0o555)
    cache.mkdir()
    environment = {"NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1", "PATH": "/usr/bin"}
    command = [sys.executable, "-c", READ_ONLY, str(installed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    kernels_here.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert list(cache.rglob("quantize._dequantize-*.nbc"))
    assert not list(installed.rglob("*.nbc"))


def test_an_empty_cache_is_noticed_once(tmp_path: Path) -> None:
    script = "from edge_runtime.kernels import warm_up; from edge_runtime.kernels._jit import compiles_during as c;"
    script += "print(c(warm_up))"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "NUMBA_DISABLE_JIT": "0"}
    said = [
        subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert [each.strip() for each in said] == ["True", "False"]


def test_a_warm_up_from_a_filled_cache_compiles_nothing() -> None:
    warm_up()
    assert not compiles_during(warm_up)
