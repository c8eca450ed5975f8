"""A relay of plain TCP that can be slow: what comes back through it comes late."""

import asyncio
import contextlib


class Relay:
    """Passes connections on to a port of 127.0.0.1; answers wait for `delay_seconds`."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._server: asyncio.Server
        self._pipes: set[asyncio.Task[None]] = set()
        self.delay_seconds = 0.0

    async def start(self) -> int:
        """Listen on a free port, and return it."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

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
        for source, sink, late in ((reader, back, False), (there, writer, True)):
            pipe = asyncio.create_task(self._pump(source, sink, late=late))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, late: bool) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(1 << 16):
                if late and self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                sink.write(data)
                await sink.drain()
        sink.close()
