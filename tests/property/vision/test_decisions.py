"""What holds for every output of a model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_runtime.bundle.manifest import Decision, Threshold
from edge_runtime.inference.decision import activate, class_findings
from edge_runtime.vision.inspector import frame_verdict

logits = hnp.arrays(np.float32, st.integers(1, 6), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
LABELS = ("good", "scratch", "dent")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(values=logits)
def test_activations_give_probabilities(values: npt.NDArray[np.float32]) -> None:
    softmax, sigmoid = activate(values, "softmax"), activate(values, "sigmoid")
    for probabilities in (softmax, sigmoid):
        assert probabilities.dtype == np.float32
        assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(softmax.sum(), 1, rtol=1e-5)
    assert softmax.max() == softmax[values.argmax()]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    scores=hnp.arrays(np.float32, 3, elements=st.floats(0, 1, width=32)),
    clear=st.floats(0, 0.5),
    raise_=st.floats(0.5, 1),
    band=st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda ends: (min(ends), max(ends))),
)
def test_verdict_is_ok_only_when_nothing_is_abnormal_and_ng_only_when_something_is(
    scores: npt.NDArray[np.float32], clear: float, raise_: float, band: tuple[float, float] | None
) -> None:
    threshold = Threshold(raise_, clear)
    decision = Decision(normal=("good",), thresholds={"scratch": threshold, "dent": threshold}, unsure=band)
    findings = class_findings(scores, LABELS, decision, "vision.defect")
    abnormal = [finding.abnormal for finding in findings]
    assert abnormal == [score >= raise_ for score in scores[1:].tolist()]
    verdict = frame_verdict(findings, decision)
    assert not (verdict == "ok" and any(abnormal))
    assert not (verdict == "ng" and not any(abnormal))
    in_band = band is not None and band[0] <= float(scores[1:].max()) < band[1]
    assert (verdict == "unsure") == in_band
