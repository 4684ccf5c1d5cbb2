"""What a recipe means that says nothing of preprocessing or decision."""

from __future__ import annotations

from edge_runtime.bundle.manifest import (
    Channel,
    Decision,
    ImagePreprocessing,
    Normalisation,
    Preprocessing,
    Resize,
    Threshold,
    WindowPreprocessing,
)
from edge_runtime.errors import RecipeError

_HALF = 0.5


def default_preprocessing(shape: tuple[int, ...]) -> Preprocessing:
    """Give the preprocessing of a model whose recipe names none: bytes or samples as they are.

    Parameters
    ----------
    shape : tuple of int
        The model's input without batch: (height, width, channels) for pictures, (length, channels) for windows.

    Raises
    ------
    RecipeError
        If neither fits.
    """
    if len(shape) == 3 and shape[2] in {1, 3}:  # noqa: PLR2004 - height, width, grey or colour
        height, width, channels = shape
        return ImagePreprocessing(
            resize=Resize(mode="stretch", height=height, width=width),
            colour="rgb" if channels > 1 else "gray",
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
        )
    if len(shape) == 2:  # noqa: PLR2004 - length and channels
        length, channels = shape
        return WindowPreprocessing(
            channels=tuple(Channel(name=f"channel{index}") for index in range(channels)),
            length=length,
            hop=length,
            rate_hz=0.0,
            normalisation=Normalisation(method="none", centre=((0.0,) * channels,), scale=((1.0,) * channels,)),
        )
    raise RecipeError("recipe", [f"$.preprocessing: missing, and an input of shape {shape} suggests none"])


def default_decision(labels: tuple[str, ...]) -> Decision:
    """Give a decision of a classifier whose recipe names none: the first label is normal, the others raise at 0.5."""
    thresholds = {label: Threshold(raise_at=_HALF, clear_at=_HALF) for label in labels[1:]}
    return Decision(normal=labels[:1], thresholds=thresholds)
