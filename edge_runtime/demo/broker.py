"""An MQTT broker in pure Python for the demo; a plant runs a real one."""

from __future__ import annotations

import asyncio
import logging
import sys


async def serve(port: int) -> None:
    """Serve MQTT 3.1.1 on a loopback port until the process is ended.

    Parameters
    ----------
    port : int
        TCP port.
    """
    from amqtt.broker import Broker  # noqa: PLC0415 - heavy, and only here

    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(serve(int(sys.argv[1])))
