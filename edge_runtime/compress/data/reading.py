"""How data files become samples of a model's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from edge_runtime.bundle.manifest import ImagePreprocessing, Preprocessing, WindowPreprocessing
from edge_runtime.compress.data.keys import WindowKeys


@dataclass(frozen=True, slots=True)
class Reading:
    """What loaders need to know besides a path.

    Attributes
    ----------
    preprocessing : Preprocessing or None
        The device's: pictures are decoded and resized by it, tables are cut into its windows. NPZ needs none.
    task : str
        Decides whether numbers are classes or targets.
    needs_y : bool
        Whether samples must be labelled.
    labels : tuple of str
        The model's, in the order of its outputs; empty takes the words of the data in sorted order.
    colour : {"rgb", "bgr"}
        Order of the channels of ``x``.
    window : WindowKeys or None
        Columns of tables.
    files : str
        Which files of a folder are pictures or tables, as a pattern of names.
    """

    preprocessing: Preprocessing | None = None
    task: str = "classification"
    needs_y: bool = False
    labels: tuple[str, ...] = ()
    colour: Literal["rgb", "bgr"] = "rgb"
    window: WindowKeys | None = None
    files: str = "*"

    @property
    def image(self) -> ImagePreprocessing | None:
        """The preprocessing of pictures, None where it is another."""
        return self.preprocessing if isinstance(self.preprocessing, ImagePreprocessing) else None

    @property
    def windows(self) -> WindowPreprocessing | None:
        """The preprocessing of windows, None where it is another."""
        return self.preprocessing if isinstance(self.preprocessing, WindowPreprocessing) else None
