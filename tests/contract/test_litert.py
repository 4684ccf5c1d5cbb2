"""ai-edge-litert satisfies the contract of engines."""

from __future__ import annotations

from tests.contract.runtime_contract import QuantizedContract


class TestLitert(QuantizedContract):
    engine = "litert"
    format = "tflite"
