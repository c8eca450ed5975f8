"""A relay of plain TCP that can be slow: what comes back through it comes late."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any


class Relay:
    """Passes connections on to a port of 127.0.0.1.

    Attributes:
        address: where it listens, as `host:port`.
        delay_seconds: so long wait answers.
        callers: how many have called and not hung up yet.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server
        self._pipes: set[asyncio.Task[None]] = set()
        self.address = ""
        self.delay_seconds = 0.0
        self.callers = 0

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """End it, with all connections."""
        self._server.close()
        for pipe in list(self._pipes):
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._to)
        except OSError:
            writer.transport.abort()
            return
        self.callers += 1
        self._begin(self._pump(there, writer, late=True))
        self._begin(self._pump(reader, back, late=False)).add_done_callback(self._count_out)

    def _begin(self, pump: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        pipe = asyncio.create_task(pump)
        self._pipes.add(pipe)
        pipe.add_done_callback(self._pipes.discard)
        return pipe

    def _count_out(self, _: "asyncio.Task[None]") -> None:
        self.callers -= 1

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, late: bool) -> None:
        with contextlib.closing(sink), contextlib.suppress(ConnectionError):
            while data := await source.read(1 << 16):
                if late and self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                sink.write(data)
                await sink.drain()
