"""Build the Debian package: the daemon and all Python packages it needs, for machines without a network.

The package holds a virtual environment under ``/usr/lib/edge-runtime`` for Debian's Python of one minor version, the
commands, the systemd unit, an empty configuration and the documentation. Every file is tracked by dpkg, so that
``dpkg --verify edge-runtime`` tells what was changed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = Path("usr/lib/edge-runtime")
COMMANDS = {"edge-runtime": "edge_runtime.cli", "edge-firmware": "firmware_bridge.cli"}
DOCUMENTS = ("README.md", "CHANGELOG.md", "LICENSE", "SECURITY.md", "deploy/edge-runtime.sample.toml")
PYTHON = f"3.{sys.version_info.minor}"


def run(*command: str | Path) -> str:
    """Run a command; its output is the answer, its failure ours."""
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout


def source_version() -> str:
    """Read the project's version."""
    for line in (ROOT / "edge_runtime" / "__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split('"')[1]
    raise SystemExit("edge_runtime/__init__.py holds no __version__")


def install_packages(stage: Path) -> None:
    """Put the project and what it needs where the environment's interpreter looks, without test suites."""
    site = stage / HOME / "lib" / f"python{PYTHON}" / "site-packages"
    with tempfile.TemporaryDirectory() as wheels:
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        run(*pip, "wheel", "--no-deps", "--wheel-dir", wheels, ROOT)
        wheel = next(Path(wheels).glob("edge_runtime-*.whl"))
        run(*pip, "install", "--target", site, "--only-binary", ":all:", "--no-compile",
            "--constraint", ROOT / "constraints.txt", f"{wheel}[gateway]")  # fmt: skip
    shutil.rmtree(site / "bin", ignore_errors=True)
    for record in site.glob("*.dist-info/direct_url.json"):
        record.unlink()  # names a folder of the machine that built the package
    for tests in [*site.glob("*/tests"), *site.glob("*/*/tests")]:
        if tests.parent.name != "testing":
            shutil.rmtree(tests)
    run(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", stage, "-p", "/", site)


def make_environment(stage: Path) -> None:
    """Write the environment around the packages: its interpreter is the system's."""
    home = stage / HOME
    (home / "bin").mkdir()
    (home / "bin" / "python").symlink_to(f"/usr/bin/python{PYTHON}")
    (home / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON}\n")
    (stage / "usr/bin").mkdir(parents=True)
    for name, module in COMMANDS.items():
        script = stage / "usr/bin" / name
        script.write_text(f'#!/bin/sh\nexec /{HOME}/bin/python -P -m {module} "$@"\n')
        script.chmod(0o755)


def copy_files(stage: Path) -> None:
    """Put unit, configuration and documents in their places."""
    places = {
        "deploy/systemd/edge-runtime.service": "lib/systemd/system",
        "deploy/debian/gateway.toml": "etc/edge-runtime",
    }
    places |= dict.fromkeys(DOCUMENTS, "usr/share/doc/edge-runtime")
    for source, folder in places.items():
        (stage / folder).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / source, stage / folder / Path(source).name)
    (stage / "usr/share/doc/edge-runtime/LICENSE").rename(stage / "usr/share/doc/edge-runtime/copyright")
    shutil.copytree(ROOT / "docs", stage / "usr/share/doc/edge-runtime/docs")


def write_control(stage: Path, version: str, architecture: str) -> None:
    """Write the package's description, scripts and digests."""
    control = stage / "DEBIAN"
    control.mkdir()
    files = sorted(
        path for path in stage.rglob("*") if path.is_file() and not path.is_symlink() and control not in path.parents
    )
    words = {
        "VERSION": version,
        "ARCHITECTURE": architecture,
        "PYTHON": PYTHON,
        "NEXT_PYTHON": f"3.{sys.version_info.minor + 1}~",
        "INSTALLED_KB": str(sum(path.stat().st_size for path in files) // 1024),
    }
    text = (ROOT / "deploy/debian/control.in").read_text()
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    (control / "control").write_text(text)
    shutil.copyfile(ROOT / "deploy/debian/conffiles", control / "conffiles")
    for name in ("postinst", "prerm", "postrm"):
        shutil.copyfile(ROOT / "deploy/debian" / name, control / name)
        (control / name).chmod(0o755)
    lines = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(stage)}\n"
        for path in files
    ]
    (control / "md5sums").write_text("".join(lines))


def main() -> int:
    """Build the package and name it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build", help="folder of the package")
    out: Path = parser.parse_args().out
    if shutil.which("dpkg-deb") is None:
        print("dpkg-deb is missing: build on Debian or Ubuntu (package dpkg)", file=sys.stderr)
        return 5
    out.mkdir(parents=True, exist_ok=True)
    version = source_version()
    architecture = run("dpkg", "--print-architecture").strip()
    target = out / f"edge-runtime_{version}_{architecture}.deb"
    epoch = run("git", "-C", ROOT, "log", "-1", "--format=%ct").strip() or "0"
    os.umask(0o022)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        stage = Path(folder) / "stage"
        stage.mkdir(mode=0o755)
        install_packages(stage)
        make_environment(stage)
        copy_files(stage)
        write_control(stage, version, architecture)
        os.environ["SOURCE_DATE_EPOCH"] = epoch
        run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--build", stage, target)
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
