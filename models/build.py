"""Builds the released bundles from scratch: render or read data, train, quantize, prove, sign, and fill in the cards.

Called by ``make models``; names of models as arguments build only those.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from edge_runtime.bundle.signature import load_private_key
from edge_runtime.bundle.writer import sign_again
from edge_runtime.compress.publish import write_file

ROOT = Path(__file__).resolve().parent
CHECKOUT = ROOT.parent
KEYS = ROOT / "keys"
MODELS = ("surface-defect", "machine-failure", "turbofan-rul")
TURBOFAN_DATA = CHECKOUT.parent / "shared" / "data" / "cmapss"


def run(*words: str) -> None:
    """Run a program of this project; its failure ends the build."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    print("$", *words, flush=True)
    subprocess.run([sys.executable, *words], check=True, env=environment, cwd=CHECKOUT)  # noqa: S603 - our own


def require_key() -> None:
    """Make a key pair where there is no private key, and sign the bundles that are there with it."""
    private = KEYS / "release.pem"
    if private.is_file():
        return
    print("no models/keys/release.pem: a new key pair is made, release.pub.pem is replaced")
    (KEYS / "release.pub.pem").unlink(missing_ok=True)
    run("-m", "edge_runtime.compress.cli", "keygen", str(KEYS), "--name", "release")
    key = load_private_key(private)
    for name in MODELS:
        path = ROOT / name / f"{name}.edgebundle"
        if path.is_file():
            write_file(path, sign_again(path.read_bytes(), key))


def build(name: str) -> None:
    """Build one bundle."""
    started = time.monotonic()
    shutil.rmtree(CHECKOUT / "build" / "models" / name, ignore_errors=True)
    run(f"models/{name}/model.py")
    run("-m", "edge_runtime.compress.cli", "build", f"models/{name}/recipe.toml")
    run("models/card.py", name)
    print(f"{name}: built in {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    """Build what was asked for; 5 when something had to be left out."""
    names = sys.argv[1:] or MODELS
    unknown = sorted(set(names) - set(MODELS))
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are {', '.join(MODELS)}", file=sys.stderr)
        return 2
    require_key()
    left_out = []
    for name in names:
        if name == "turbofan-rul" and not TURBOFAN_DATA.is_dir():
            left_out.append(name)
            continue
        build(name)
    for name in left_out:
        print(
            f"{name} was left out: the folder shared/data/cmapss beside the checkout is missing;"
            " its committed bundle stays as it is",
            file=sys.stderr,
        )
    return 5 if left_out else 0


if __name__ == "__main__":
    sys.exit(main())
