"""tflite-runtime satisfies the contract of engines; run in an environment of its own by ``test_tflite_runtime.py``."""

from __future__ import annotations

from tests.contract.runtime_contract import QuantizedContract


class TestTfliteRuntime(QuantizedContract):
    engine = "tflite-runtime"
    format = "tflite"
