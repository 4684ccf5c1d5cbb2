"""Words and numbers of data files to class indices or targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_runtime.compress.data.reading import Reading
from edge_runtime.errors import CalibrationError


def plain(word: str) -> str:
    """Give a label as a recipe would write it: without spaces around it, and ``1.0`` as ``1``.

    Examples
    --------
    >>> plain(" 1.0 "), plain("scratch"), plain("1.5")
    ('1', 'scratch', '1.5')
    """
    word = word.strip()
    whole, dot, rest = word.partition(".")
    return whole if dot and not rest.strip("0") and whole.lstrip("+-").isdigit() else word


def settle_labels(words: Sequence[str], labels: tuple[str, ...]) -> tuple[str, ...]:
    """Give the order of the classes: the model's, else that of numbers, else of the alphabet.

    Parameters
    ----------
    words : sequence of str
        Those in the data.
    labels : tuple of str
        The model's; may be empty.

    Returns
    -------
    labels : tuple of str
        For numbers without labels of the model, ``"0"`` up to the largest.
    """
    if labels:
        return labels
    distinct = sorted({plain(word) for word in words})
    if distinct and all(word.isdigit() for word in distinct):
        return tuple(str(index) for index in range(max(map(int, distinct)) + 1)) if len(distinct[-1]) < 4 else ()  # noqa: PLR2004
    return tuple(distinct)


def label_index(word: str, labels: tuple[str, ...], place: str) -> int:
    """Give the index of a label.

    Parameters
    ----------
    word : str
        A label, or its index.
    labels : tuple of str
        All of them.
    place : str
        File and row, for the error.

    Raises
    ------
    CalibrationError
        If the model has no such label.
    """
    word = plain(word)
    if word in labels:
        return labels.index(word)
    if word.isdigit() and int(word) < len(labels):
        return int(word)
    raise CalibrationError(f'{place}: label "{word[:80]}" is none of the model\'s: {", ".join(labels)[:500]}')


def encode(words: Sequence[str], places: Sequence[str], reading: Reading) -> tuple[npt.NDArray[Any], tuple[str, ...]]:
    """Turn the words of a listing into class indices, or into targets where the task is a regression.

    Parameters
    ----------
    words, places : sequence of str
        One per sample, and where each stands.
    reading : Reading
        Task and labels.

    Returns
    -------
    y : intp or float64, shape (n,)
        Class indices or targets.
    labels : tuple of str
        In the order of the indices; empty for targets.
    """
    if reading.task == "regression":
        return np.array([_number(word, place) for word, place in zip(words, places, strict=True)]), ()
    labels = settle_labels(words, reading.labels)
    known: dict[str, int] = {}
    for word, place in zip(words, places, strict=True):
        if word not in known:
            known[word] = label_index(word, labels, place)
    return np.array([known[word] for word in words], np.intp), labels


def _number(word: str, place: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CalibrationError(f'{place}: "{word[:80]}" is no number; a regression needs one per sample')
    return value
