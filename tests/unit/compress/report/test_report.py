"""The report: written, read back, drawn the same every time, and safe to open."""

from __future__ import annotations

import base64
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge_runtime.bundle.manifest import Decision, Threshold
from edge_runtime.compress.dataset import Dataset
from edge_runtime.compress.lines import Line
from edge_runtime.compress.outcomes import Outcomes
from edge_runtime.compress.report.folder import MAX_RECORD_BYTES, read_record, write_report
from edge_runtime.compress.report.page import draw_page
from edge_runtime.compress.report.record import (
    SCHEMA,
    Bin,
    BundleFacts,
    Cost,
    Damage,
    DataFacts,
    Flipped,
    Flips,
    Map,
    ModelFacts,
    Pair,
    Record,
    Timings,
    Value,
)
from edge_runtime.compress.report.samples import MOST_SHOWN, curves, show_differing, thumbnail
from edge_runtime.errors import CalibrationError, HostEnvironmentError

EVIL = '<script>alert("1")</script>'
DOT = "iVBORw0KGgo="
VALUE = Value(0.9, 0.8, 0.95, 100)
LINE = Line(
    key="max_drop",
    text="accuracy lost 0",
    value=0.0,
    goal=0.001,
    at_most=True,
    status="unproved",
    low=-0.01,
    high=0.01,
    n=100,
    needed=3900,
)
RECORD = Record(
    schema=SCHEMA,
    name="net",
    version="1.0.0",
    release=1,
    task="classification",
    tool="compress",
    metric="accuracy",
    model=ModelFacts(400, 100, 1000, 90, 100.0, 100.0),
    data=DataFacts(10, "aa", 100, "bb"),
    metrics=(Pair(name="accuracy", before=VALUE, after=VALUE),),
    lines=(LINE,),
    decision={"normal": ["good"]},
    n_flipped=30,
    flipped=(Flipped(sample=3, name=EVIL, truth="good", before="good (0.9)", after="bad (0.6)", picture=DOT),),
    bundle=BundleFacts("cc", 1000),
    labels=("good", EVIL),
    decision_before={"normal": []},
    flips=Flips(5, 0, 0.0625),
    confusion_before=((50, 0), (1, 49)),
    confusion_after=((45, 5), (1, 49)),
    slices=(Pair(name="accuracy", slice="camera=1", before=VALUE, after=VALUE, drop=VALUE),),
    verdicts=(Pair(name="missed faults", before=VALUE, after=VALUE),),
    bins_before=(Bin(0.0, 0.5, 0, 0.0, 0.0), Bin(0.5, 1.0, 100, 0.9, 0.95)),
    bins_after=(Bin(0.5, 1.0, 100, 0.9, 0.9),),
    damage=(Damage("none", 0.0, VALUE, VALUE, VALUE), Damage("blur", 1.0, VALUE, VALUE, VALUE)),
    attribution=VALUE,
    maps=(Map(3, ((0.1, -0.2),), ((0.1, -0.1),), 1.0), Map(4, ((0.0, 0.0),), ((0.0, 0.0),))),
    origin={"tool": EVIL},
    timings=Timings(
        int8=Cost(2.0, 3.0, 97, 1.0, 88.0),
        float32=Cost(1.0, 2.0, 97, 1.0, 80.0),
        engine="litert",
    ),
)


class Page(HTMLParser):
    """Collects tags, and holds them to being closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]
        if tag not in {"meta", "br", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"rect", "circle", "polyline", "path"} and self.open[-1] != tag:
            return
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_tag_is_closed_in_order() -> None:
    assert Page(draw_page(RECORD)).open == []


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = draw_page(RECORD)
    page = Page(html)
    assert page.links
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "script" not in page.tags
    assert "default-src 'none'" in html
    assert "http://" not in html
    assert "https://" not in html


def test_words_of_data_are_shown_as_words() -> None:
    assert EVIL in Page(draw_page(RECORD)).text


def test_the_page_says_what_matters() -> None:
    text = Page(draw_page(RECORD)).text
    for words in (
        "budget not met",
        "100 samples cannot prove it; about 3900 are needed",
        "int8 is slower than float here",
        "McNemar's exact p = 0.0625",
        "camera=1",
        "30 samples differ in their label; 1 are shown",
        "not compared",
    ):
        assert words in text


def test_a_budget_that_is_met_is_said_to_be() -> None:
    record = msgspec.structs.replace(RECORD, lines=(msgspec.structs.replace(LINE, status="met"),))
    assert "budget met" in Page(draw_page(record)).text


def test_sections_without_content_are_left_out() -> None:
    record = msgspec.structs.replace(
        RECORD, maps=(), damage=(), slices=(), verdicts=(), bins_after=(), confusion_after=(), flips=None, n_flipped=0
    )
    text = Page(draw_page(record)).text
    assert "Slices" not in text
    assert "Damaged" not in text


def test_what_is_written_is_read_back_and_drawn_the_same(tmp_path: Path) -> None:
    page = write_report(tmp_path / "run", RECORD)
    record = read_record(tmp_path / "run")
    assert record == RECORD
    first = [path.read_bytes() for path in sorted((tmp_path / "run").iterdir())]
    write_report(tmp_path / "run", record)
    assert [path.read_bytes() for path in sorted((tmp_path / "run").iterdir())] == first
    assert page.name == "report.html"


def test_a_folder_without_a_report_is_an_error_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(HostEnvironmentError, match=r"\[output\] report"):
        read_record(tmp_path)


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"\xff", b'{"schema": "edge.report/1"}'])
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "report.json").write_bytes(text)
    with pytest.raises(CalibrationError, match="no report"):
        read_record(tmp_path)


def test_a_report_of_another_schema_is_refused(tmp_path: Path) -> None:
    write_report(tmp_path, msgspec.structs.replace(RECORD, schema="edge.report/9"))
    with pytest.raises(CalibrationError, match=r"edge\.report/9"):
        read_record(tmp_path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "report.json").open("wb") as file:
        file.truncate(MAX_RECORD_BYTES + 1)
    with pytest.raises(CalibrationError, match="longer than"):
        read_record(tmp_path)


def outcomes(n: int = 40) -> Outcomes:
    y = np.zeros(n, np.int64)
    before, after = np.tile([0.9, 0.1], (n, 1)), np.tile([0.2, 0.8], (n, 1))
    before[0] = [0.3, 0.7]
    after[0] = [0.7, 0.3]
    after[1] = [0.8, 0.2]
    arrays = before.astype(np.float32), after.astype(np.float32)
    return Outcomes("classification", ("good", "bad"), Decision(), y, *arrays)


def test_all_flipped_samples_are_counted_and_the_lost_ones_come_first() -> None:
    pictures = np.zeros((40, 200, 100, 3), np.uint8)
    data = Dataset(pictures, None, names=[f"{index}.png" for index in range(40)])
    count, shown = show_differing(outcomes(), data, "rgb")
    assert (count, len(shown)) == (39, MOST_SHOWN)
    assert [each.sample for each in shown[:3]] == [2, 3, 4]
    assert (shown[0].name, shown[0].before, shown[0].after) == ("2.png", "good (0.900)", "bad (0.800)")


def test_a_regression_shows_where_predictions_lie_furthest_apart() -> None:
    decision = Decision(quantity="life", thresholds={"life": Threshold(raise_at=1.0, clear_at=1.0)})
    before = np.zeros((30, 1), np.float32)
    after = np.arange(30, dtype=np.float32)[:, np.newaxis]
    found = replace(outcomes(30), task="regression", labels=(), decision=decision, before=before, after=after)
    data = Dataset(np.zeros((30, 8, 2), np.float32), None)
    assert [each.sample for each in show_differing(found, data, "rgb")[1][:2]] == [29, 28]


@pytest.mark.parametrize("shape", [(300, 100, 3), (10, 10), (50, 1000, 1)])
def test_thumbnails_are_small_pngs(shape: tuple[int, ...]) -> None:
    cv2 = pytest.importorskip("cv2")
    data = base64.b64decode(thumbnail(np.full(shape, 200, np.uint8), "rgb"))
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert max(picture.shape) <= 96
    assert (picture == 200).all()


def test_thumbnails_keep_the_colours() -> None:
    cv2 = pytest.importorskip("cv2")
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(thumbnail(red, "rgb")), np.uint8), cv2.IMREAD_COLOR)
    assert picture[0, 0].tolist() == [0, 0, 255]


def test_curves_are_scaled_and_few() -> None:
    window = np.stack([np.arange(1000.0), np.full(1000, 7.0), *np.zeros((6, 1000))], axis=1)
    found = curves(window)
    assert len(found) == 4
    assert len(found[0]) == 64
    assert (found[0][0], found[0][-1], found[1][5]) == (0.0, 1.0, 0.5)
