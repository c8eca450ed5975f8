"""Answers /healthz, /readyz and /metrics.

Health is about this process, readiness about what it knows; neither about who leads: a follower that knows everything
is as ready as it can be.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

LONGEST_RUN_SECONDS = 300.0
"""A run that takes longer hangs: everything in it has a deadline of its own."""

Check = Callable[[], str]
"""Says what is wrong; empty if nothing is."""


class Probes:
    """A small HTTP server.

    Args:
        host: address to listen on.
        port: 0 takes a free one; see `port` after `start`.
        healthy: what is wrong with this process.
        ready: what is missing before it can lead.
    """

    def __init__(self, host: str, port: int, *, healthy: Check, ready: Check) -> None:
        self._host = host
        self.port = port
        self._healthy = healthy
        self._ready = ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is not free.
        """
        app = web.Application()
        app.add_routes(
            [
                web.get("/healthz", partial(_answer, self._healthy)),
                web.get("/readyz", partial(_answer, self._ready)),
                web.get("/metrics", _metrics),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            with suppress(asyncio.CancelledError):
                await self._runner.cleanup()


async def _answer(check: Check, _: web.Request) -> web.Response:
    wrong = check()
    return web.Response(status=503 if wrong else 200, text=f"{wrong or 'ok'}\n")


async def _metrics(_: web.Request) -> web.Response:
    # In a thread: writing down the gauges of 10,000 rollouts takes 0.4 s, and a rollback does not wait for it.
    return web.Response(body=await asyncio.to_thread(generate_latest), headers={"Content-Type": CONTENT_TYPE_LATEST})
