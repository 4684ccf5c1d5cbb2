"""A process that keeps a worker, says the process ids once it is ready, and works until it is killed."""

from __future__ import annotations

import os

from tests.fault.workers import Shop


def main() -> None:
    with Shop() as shop:
        shop.until_ready()
        os.write(1, " ".join(str(pid) for pid in shop.keeper.pids).encode() + b"\n")
        shop.until(lambda: False, patience_s=60.0)


if __name__ == "__main__":
    main()
