"""Whether a sensor is what a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.bundle.manifest import Manifest, WindowPreprocessing
from edge_runtime.daemon import protocol
from edge_runtime.errors import BundleCompatibilityError

_RATE_TOLERANCE = 0.02


def require_fit(source: protocol.SourcePlan, manifest: Manifest) -> list[int]:
    """Hold a sensor to the channels, units and rate that a model was trained with.

    Returns
    -------
    order : list of int
        Column of the sensor for each channel of the model.

    Raises
    ------
    BundleCompatibilityError
        Naming what differs.
    """
    wanted = manifest.preprocessing
    if not isinstance(wanted, WindowPreprocessing):
        raise BundleCompatibilityError(f'"{manifest.name}" takes images, not the samples of {source.id}')
    try:
        order = column_order([channel.name for channel in wanted.channels], [name for name, _ in source.channels])
    except ValueError as error:
        raise BundleCompatibilityError(f'"{manifest.name}" on {source.id}: {error}') from error
    for channel, column in zip(wanted.channels, order, strict=True):
        unit = source.channels[column][1]
        if unit != channel.unit:
            raise BundleCompatibilityError(
                f'"{manifest.name}" on {source.id}: {channel.name} is in "{unit}", the model takes "{channel.unit}"'
            )
    if wanted.rate_hz and source.rate_hz and abs(source.rate_hz / wanted.rate_hz - 1) > _RATE_TOLERANCE:
        raise BundleCompatibilityError(
            f'"{manifest.name}" on {source.id}: sampled at {source.rate_hz:g} Hz, the model takes {wanted.rate_hz:g} Hz'
        )
    return order


def column_order(wanted: Sequence[str], offered: Sequence[str]) -> list[int]:
    """Find the columns of a source that a model reads.

    Parameters
    ----------
    wanted, offered : sequence of str
        Channel names of the model and of the source.

    Returns
    -------
    order : list of int
        For each wanted channel its column.

    Raises
    ------
    ValueError
        Naming the channels that the source lacks.

    Examples
    --------
    >>> column_order(["b", "a"], ["a", "b", "c"])
    [1, 0]
    """
    missing = [name for name in wanted if name not in offered]
    if missing:
        raise ValueError(f"the source lacks {', '.join(missing)} (it has {', '.join(offered)})")
    return [list(offered).index(name) for name in wanted]
