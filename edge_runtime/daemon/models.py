"""Which bundle each pipeline runs, read and verified once; a bundle that is refused leaves the others running."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec

from edge_runtime.bundle.folder import read_limited
from edge_runtime.bundle.manifest import ImagePreprocessing, Manifest
from edge_runtime.bundle.reader import Bundle
from edge_runtime.bundle.recorded import Triple
from edge_runtime.bundle.signature import MAX_KEY_BYTES
from edge_runtime.bundle.store import BundleStore
from edge_runtime.config import Config, Pipeline
from edge_runtime.daemon import protocol
from edge_runtime.daemon.arrays import pack, unpack
from edge_runtime.daemon.telling import ModelFacts
from edge_runtime.errors import BundleCompatibilityError, EdgeRuntimeError


@dataclass(frozen=True, slots=True)
class PipelineModel:
    """A pipeline with its verified bundle."""

    pipeline: Pipeline
    bundle: Bundle
    facts: ModelFacts
    plan: protocol.PipelinePlan


def finding_labels(manifest: Manifest) -> frozenset[str]:
    """Give the labels that a model's findings may carry: all but the normal ones, or its quantity."""
    labels = {*manifest.labels, manifest.decision.quantity} - {*manifest.decision.normal, ""}
    return frozenset(labels)


def load_models(config: Config, store: BundleStore) -> tuple[dict[str, PipelineModel], dict[str, str]]:
    """Read the active bundle of every pipeline.

    Parameters
    ----------
    config : Config
        The pipelines and their sources.
    store : BundleStore
        The gateway's bundles.

    Returns
    -------
    models : dict of str to PipelineModel
        By pipeline.
    refused : dict of str to str
        By pipeline, why it has none.
    """
    models: dict[str, PipelineModel] = {}
    refused: dict[str, str] = {}
    for pipeline in config.pipelines:
        try:
            models[pipeline.id] = load_model(config, pipeline, store)
        except EdgeRuntimeError as error:
            refused[pipeline.id] = str(error)
    return models, refused


def load_model(config: Config, pipeline: Pipeline, store: BundleStore, *, release: int | None = None) -> PipelineModel:
    """Read the bundle of one pipeline.

    Parameters
    ----------
    config : Config
        The sources.
    pipeline : Pipeline
        One of its pipelines.
    store : BundleStore
        The gateway's bundles.
    release : int, optional
        Another than the active one.

    Returns
    -------
    model : PipelineModel
        Verified; not yet run.

    Raises
    ------
    EdgeRuntimeError
        If there is none, it is refused, or it is of another kind than the pipeline.
    """
    bundle = store.load(pipeline.bundle, release=release)
    manifest = bundle.manifest
    takes_images = isinstance(manifest.preprocessing, ImagePreprocessing)
    if takes_images != (pipeline.kind == "inspection"):
        takes = "pictures" if takes_images else "sensor windows"
        raise BundleCompatibilityError(f'"{manifest.name}" takes {takes}; pipeline {pipeline.id} is "{pipeline.kind}"')
    facts = ModelFacts(manifest.name, manifest.version, bundle.digest, manifest.quantization.precision)
    sensors = {sensor.id: sensor for sensor in config.sensors}
    sources = [protocol.SourcePlan(camera) for camera in pipeline.cameras]
    for name in pipeline.sensors:
        sensor = sensors[name]
        channels = tuple((channel.name, channel.unit) for channel in sensor.channels)
        sources.append(protocol.SourcePlan(name, channels, sensor.rate_hz))
    plan = plan_of(pipeline, bundle, tuple(sources), store)
    return PipelineModel(pipeline, bundle, facts, plan)


def plan_of(
    pipeline: Pipeline, bundle: Bundle, sources: tuple[protocol.SourcePlan, ...], store: BundleStore
) -> protocol.PipelinePlan:
    """Tell a worker how to build a pipeline: with the configuration's thresholds and the answers recorded here.

    Raises
    ------
    BundleError, HostEnvironmentError
        If what was recorded cannot be read.
    """
    recorded = tuple(
        protocol.Answers(triple.engine, triple.version, triple.instruction_set, pack(outputs))
        for triple, outputs in store.recorded.read(bundle.manifest, bundle.digest).items()
    )
    overrides = {
        rule.label: (rule.raise_at, rule.clear_at)
        for rule in pipeline.rules
        if rule.raise_at is not None or rule.clear_at is not None
    }
    every = pipeline.reference_every
    return protocol.PipelinePlan(pipeline.id, bundle.data, sources, overrides, recorded, every)


def record_answers(store: BundleStore, bundle: Bundle, answers: protocol.Answers) -> None:
    """Keep what a model answered on an engine that nobody recorded before.

    Raises
    ------
    BundleCompatibilityError
        If other answers of the same engine, version and instruction set are recorded: those stay.
    HostEnvironmentError
        If the disk refuses.
    """
    triple = Triple(answers.engine, answers.version, answers.instruction_set)
    known = store.recorded.read(bundle.manifest, bundle.digest).get(triple)
    if known is None:
        store.recorded.record(bundle.digest, triple, unpack(answers.outputs))
    elif pack(known) != answers.outputs:
        raise _other_answers(bundle.manifest.name, triple)


def bind_answers(model: PipelineModel, answers: protocol.Answers) -> PipelineModel:
    """Give the same model, whose next worker must answer so.

    Raises
    ------
    BundleCompatibilityError
        If it must answer otherwise already.
    """
    triple = Triple(answers.engine, answers.version, answers.instruction_set)
    for known in model.plan.recorded:
        if Triple(known.engine, known.version, known.instruction_set) == triple:
            if known.outputs != answers.outputs:
                raise _other_answers(model.bundle.manifest.name, triple)
            return model
    plan = msgspec.structs.replace(model.plan, recorded=(*model.plan.recorded, answers))
    return replace(model, plan=plan)


def _other_answers(name: str, triple: Triple) -> BundleCompatibilityError:
    return BundleCompatibilityError(
        f'"{name}" does not answer as it answered before on {triple.engine} {triple.version} {triple.instruction_set};'
        " the memory or the processor of this gateway may be broken"
    )


def trusted_pems(store: BundleStore) -> tuple[bytes, ...]:
    """Give the public keys, for the worker to verify bundles once more.

    Raises
    ------
    HostEnvironmentError
        If a key cannot be read.
    """
    return tuple(read_limited(path, MAX_KEY_BYTES) for path in sorted((store.root / "trust").glob("*.pem")))
