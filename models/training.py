"""What the three trainings share: where things go, reproducible Keras, and recipes written as TOML."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parent
#: Data and float models; never committed.
BUILD = ROOT.parent / "build" / "models"

Floats = npt.NDArray[np.float32]


def start_keras(seed: int) -> Any:  # noqa: ANN401 - Keras has no types
    """Import Keras on two threads of this machine's processor and seed it.

    Parameters
    ----------
    seed : int
        Of weights, dropout and order.

    Returns
    -------
    keras : module
    """
    os.environ.update(
        KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="-1", TF_ENABLE_ONEDNN_OPTS="1"
    )
    import keras  # noqa: PLC0415 - heavy, and reads the environment
    import tensorflow as tf  # noqa: PLC0415 - heavy, and reads the environment

    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(seed)
    return keras


def working_folder(name: str) -> Path:
    """Make the folder in which a training leaves its data and its float model."""
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_recipe(path: Path, tables: Mapping[str, object], *, why: Iterable[str]) -> None:
    """Write a recipe for ``compress build``.

    Parameters
    ----------
    path : Path
        The TOML file.
    tables : mapping of str to mapping or Struct
        The recipe's tables, in order; keys of a table that is a Struct keep the Struct's order.
    why : iterable of str
        Lines of comment at the top.
    """
    lines = [f"# {line}" for line in why]
    for name, table in tables.items():
        lines += ["", f"[{name}]"]
        plain = msgspec.to_builtins(table)
        lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items() if value is not None]
    path.write_text("\n".join(lines) + "\n")


def _key(key: str) -> str:
    """Quote a key where TOML needs it."""
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def _value(value: object) -> str:
    """Write one value; floats with the six digits that a normalisation is worth."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = f"{value:.6g}"
        return text if set(text) & set(".en") else f"{text}.0"
    if isinstance(value, (str, int)):
        return json.dumps(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None)
        return f"{{ {inner} }}"
    assert isinstance(value, (list, tuple))
    items = [_value(each) for each in value]
    flat = f"[{', '.join(items)}]"
    if len(flat) <= 100:
        return flat
    return "[\n" + "".join(f"  {item},\n" for item in items) + "]"
