"""A server that is far away: a TCP proxy in front of a near one that holds back what clients send, as a long way would.

A process of its own (``python distance.py PORT SERVER_PORT DELAY_S``): beside ROOT it would wait for Python's lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def running(folder: Path, server_port: int, delay_s: float) -> Iterator[int]:
    """A loopback port behind which the server on ``server_port`` answers ``delay_s`` later; requests wait side by side."""
    from servers import daemons

    port = daemons.free_ports(1)[0]
    log = folder / "distance.log"
    with daemons.running([sys.executable, __file__, str(port), str(server_port), str(delay_s)], log) as process:
        daemons.wait_until(lambda: daemons.listens(port), [process], log, "the distance")
        yield port


async def serve(port: int, server_port: int, delay_s: float) -> None:
    """Accept connections for ever."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server_port)
            await asyncio.gather(_carry(reader, far_writer, delay_s), _carry(far_reader, writer, 0.0))

    async with await asyncio.start_server(connected, "127.0.0.1", port) as server:
        await server.serve_forever()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 18):
            if delay_s:
                await asyncio.sleep(delay_s)
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
