"""A process that fills an outbox until it is killed, and says on standard output what it was promised.

``c <seq>``: committed up to this number. ``i <run> <seq>``: about to be acknowledged. ``a <run> <seq>``: acknowledged.
"""

from __future__ import annotations

import itertools
import os
import random
import sys
from pathlib import Path

from edge_runtime.daemon.outbox import Outbox, Outgoing, Priority


def main() -> None:
    path, boot_id, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    choice = random.Random(seed)
    outbox = Outbox(path, boot_id=boot_id, max_bytes=40_000, retention_s=3600.0)
    seq = 0
    for batch in itertools.count(1):
        events = []
        for _ in range(choice.randint(1, 4)):
            seq += 1
            payload = f"{boot_id} {seq} ".encode() + bytes(choice.randint(0, 900))
            events.append(Outgoing(f"{boot_id}-{seq}", "alert", seq, Priority.ALERT, "t", payload))
        outbox.commit(events, {"newest": f"{boot_id} {seq}".encode()})
        os.write(1, f"c {seq}\n".encode())
        if batch % 3 == 0:
            sent = outbox.unsent(5)
            names = [b" ".join(stored.payload.split(b" ")[:2]) for stored in sent]
            os.write(1, b"".join(b"i %s\n" % name for name in names))
            outbox.mark_acknowledged([stored.id for stored in sent])
            os.write(1, b"".join(b"a %s\n" % name for name in names))
        if batch % 20 == 0:
            outbox.purge()


if __name__ == "__main__":
    main()
