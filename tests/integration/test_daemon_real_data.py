"""Real tile pictures and real turbofan rows through mosquitto and a daemon equal offline inference, bit for bit."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # its stubs are a package of their own
import numpy as np
import numpy.typing as npt
import pytest

from edge_runtime.bundle.manifest import WindowPreprocessing
from edge_runtime.bundle.reader import Bundle, read_bundle
from edge_runtime.bundle.signature import TrustedKeys, parse_public_key
from edge_runtime.bundle.store import BundleStore
from tests.bundles import TRUSTED, image_bundle, window_bundle
from tests.integration.daemon_rig import Daemon, Plant, running_plant, settle, until
from tests.integration.factory_inputs import Offline, said, times_of

pytestmark = [pytest.mark.broker, pytest.mark.shared_data]

TILES_PER_CLASS = 6
UNITS = (1, 2, 3)
BLOCK_ROWS = 7
#: Column of each quantity in the files, after unit, cycle and three settings.
COLUMNS = {
    "t24": 6, "t30": 7, "t50": 8, "p30": 11, "nf": 12, "nc": 13, "ps30": 15, "phi": 16, "nrf": 17, "nrc": 18,
    "bpr": 19, "htbleed": 21, "w31": 24, "w32": 25,
}  # fmt: skip
#: Columns for a model that knows nothing of engines.
ANY_COLUMNS = (6, 7, 8, 11)


@dataclass(frozen=True)
class Models:
    """Two bundles, and the public keys that they are trusted by."""

    image: Bundle
    window: Bundle
    trusted: tuple[bytes, ...] = ()


def released(project: Path) -> Models:
    """The released bundles."""
    key = project / "models" / "keys" / "release.pub.pem"
    files = [project / "models" / name / f"{name}.edgebundle" for name in ("surface-defect", "turbofan-rul")]
    if not all(path.is_file() for path in (key, *files)):
        pytest.skip("surface-defect and turbofan-rul are not built; make models builds them")
    pem = key.read_bytes()
    trusted = TrustedKeys([parse_public_key(pem, str(key))])
    image, window = (read_bundle(path.read_bytes(), trusted) for path in files)
    return Models(image, window, (pem,))


def tiny(_project: Path) -> Models:
    """The tests' own bundles."""
    return Models(read_bundle(image_bundle(), TRUSTED), read_bundle(window_bundle(), TRUSTED))


@dataclass(frozen=True)
class Shown:
    """A plant that has seen tiles and rows, and what was sent."""

    plant: Plant
    offline: Offline
    tiles: dict[str, bytes]
    blocks: dict[str, list[tuple[npt.NDArray[np.float64], int]]]
    rate_hz: float


@pytest.fixture(scope="module", params=[tiny, released], ids=["tiny", "released"])
def shown(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, project: Path, shared_data: Path
) -> Iterator[Shown]:
    """Publish every tile and every row, and wait for what comes of them."""
    models: Models = request.param(project)
    how = models.window.manifest.preprocessing
    assert isinstance(how, WindowPreprocessing)
    folder = tmp_path_factory.mktemp("real")
    install(models, Daemon(folder / "gateway", 1).folder / "bundles")
    tiles = read_tiles(shared_data / "magnetic-tile")
    blocks = read_blocks(shared_data / "cmapss" / "test_FD001.txt.gz", how)
    with running_plant(folder, sources(models, how)) as plant:
        for name, encoded in tiles.items():
            plant.publisher.publish("plant/cam/tile", encoded, part=name, ts_ms=round(time.time() * 1000))
        for unit, sent in blocks.items():
            for number, (rows, start_ms) in enumerate(sent):
                raw = rows.astype("<f4").tobytes()
                plant.publisher.publish(f"plant/engine/{unit}/f32", raw, seq=number, ts_ms=start_ms)
                text = json.dumps({"t0_ms": start_ms, "rate_hz": how.rate_hz, "values": rows.tolist()})
                plant.publisher.publish(f"plant/engine/{unit}/json", text.encode(), seq=number)
        until(lambda: len(plant.consumer.verdicts()) == len(tiles), "every verdict", within_s=30)
        settle(lambda: (plant.daemon.metric("edge_mailbox_items"), len(plant.consumer.messages)))
        yield Shown(plant, Offline(models.image, models.window), tiles, blocks, how.rate_hz)


def install(models: Models, folder: Path) -> None:
    """Put the bundles into a store that trusts their signer."""
    store = BundleStore(folder)
    for pem in models.trusted:
        store.trust.add(pem)
    for bundle in (models.image, models.window):
        store.install(bundle, activate=True)


def sources(models: Models, how: WindowPreprocessing) -> str:
    """One camera, and two sensors per engine: raw and JSON."""
    names = [f"unit{unit}-{kind}" for unit in UNITS for kind in ("f32", "json")]
    channels = ", ".join(f'{{ name = "{channel.name}", unit = "{channel.unit}" }}' for channel in how.channels)
    sensors = "".join(
        f'[[sensor]]\nid = "{name}"\ntopics = ["plant/engine/{name.replace("-", "/")}"]\nformat = "{name[6:]}"\n'
        f"rate_hz = {how.rate_hz}\nchannel = [{channels}]\n"
        for name in names
    )
    return (
        '[[camera]]\nid = "tile"\ntopic = "plant/cam/tile"\nformat = "jpeg"\nqos = 1\n'
        f'{sensors}[[pipeline]]\nid = "surface"\nkind = "inspection"\nbundle = "{models.image.manifest.name}"\n'
        'cameras = ["tile"]\ndeadline_ms = 60000\n'
        f'[[pipeline]]\nid = "life"\nkind = "monitor"\nbundle = "{models.window.manifest.name}"\nsensors = {names}\n'
    )


def read_tiles(folder: Path) -> dict[str, bytes]:
    """Some pictures of every class, by a part's name."""
    return {
        f"{kind.name}-{path.stem}": path.read_bytes()
        for kind in sorted(folder.iterdir())
        if kind.is_dir()
        for path in sorted(kind.glob("*.jpg"))[:TILES_PER_CLASS]
    }


def read_blocks(path: Path, how: WindowPreprocessing) -> dict[str, list[tuple[npt.NDArray[np.float64], int]]]:
    """Cut each engine's rows into blocks, with the time of their first row."""
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file)
    names = [channel.name for channel in how.channels]
    columns = [COLUMNS[name] for name in names] if names[0] in COLUMNS else list(ANY_COLUMNS)
    step_ms = 1000 / how.rate_hz if how.rate_hz else 1000.0
    first_ms = round(time.time() * 1000) - 86_400_000
    blocks = {}
    for unit in UNITS:
        rows = table[table[:, 0] == unit][:, columns]
        starts = range(0, len(rows), BLOCK_ROWS)
        blocks[f"unit{unit}"] = [
            (rows[start : start + BLOCK_ROWS], first_ms + round(start * step_ms)) for start in starts
        ]
    return blocks


def test_verdicts_on_real_tiles_equal_offline_inference(shown: Shown) -> None:
    given = {
        part: [verdict["verdict"] for verdict in verdicts] for part, verdicts in shown.plant.consumer.verdicts().items()
    }
    assert given == {part: [shown.offline.inspect(encoded)[0]] for part, encoded in shown.tiles.items()}


def test_findings_on_real_tiles_equal_offline_inference_to_the_bit(shown: Shown) -> None:
    results = {result["part"]: said(result) for result in shown.plant.consumer.all_of("pipe/surface/result")}
    assert results == {part: shown.offline.inspect(encoded)[1] for part, encoded in shown.tiles.items()}


@pytest.mark.parametrize("kind", ["f32", "json"])
@pytest.mark.parametrize("unit", UNITS)
def test_findings_on_real_turbofan_rows_equal_offline_inference_to_the_bit(shown: Shown, unit: int, kind: str) -> None:
    results = {
        result["source_seq"]: said(result)
        for result in shown.plant.consumer.all_of("pipe/life/result")
        if result["source"] == f"unit{unit}-{kind}"
    }
    sent = shown.blocks[f"unit{unit}"]
    wanted = shown.offline.watch(
        (rows.astype(np.float32), block_times(start_ms, len(rows), shown.rate_hz)) for rows, start_ms in sent
    )
    assert any(wanted)
    assert results == {number: findings for number, findings in enumerate(wanted) if findings}


def block_times(start_ms: int, rows: int, rate_hz: float) -> npt.NDArray[np.float64]:
    """Times of a block's rows; events of a source without a rate all have the block's."""
    return times_of(start_ms, rows, rate_hz) if rate_hz else np.full(rows, start_ms / 1e3)


def test_every_event_on_real_data_fits_its_schema(shown: Shown, project: Path) -> None:
    names = {"edge.alert/1": "alert", "edge.verdict/1": "part-verdict"}
    checks: dict[str, Any] = {
        schema: jsonschema.Draft202012Validator(
            json.loads((project / "docs" / "formats" / f"{name}.schema.json").read_text())
        )
        for schema, name in names.items()
    }
    events = shown.plant.consumer.events.values()
    assert len(events) >= len(shown.tiles)
    for event in events:
        checks[event["schema"]].validate(event)


def test_nothing_of_the_real_data_was_dropped(shown: Shown) -> None:
    assert "edge_dropped_total{" not in shown.plant.daemon.page("metrics")[1]
