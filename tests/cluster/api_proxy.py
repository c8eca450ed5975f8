"""A proxy in front of the API server that spoils requests on demand: it refuses them, or loses them or their answers.

It speaks plain HTTP on loopback and passes its caller's token on, so that who uses it has his own rights and no others.
"""

import asyncio
import base64
import contextlib
import copy
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import aiohttp
import yaml
from aiohttp import web

Fault = Literal[409, 429, 500, "lost", "answer lost"]
"""A status to answer with; or the connection is cut, before the request is passed on or after it was carried out."""

FaultOf = Callable[[str, str], Fault | None]
"""Says by method and path what is to happen to a request; None: nothing."""

_REASONS = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}
_HOP = {"host", "connection", "transfer-encoding", "content-length", "accept-encoding", "content-encoding"}


class ApiProxy:
    """Passes requests on to the server of a kubeconfig, but those that `fault` spoils."""

    def __init__(self, kubeconfig: Path) -> None:
        self._config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
        self._cluster = self._config["clusters"][0]["cluster"]
        self._session: aiohttp.ClientSession
        self._runner: web.AppRunner
        self.fault: FaultOf = no_fault

    async def start(self) -> None:
        """Listen on a free port."""
        authority = base64.b64decode(self._cluster["certificate-authority-data"]).decode()
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=authority), limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout()
        )
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()

    async def stop(self) -> None:
        """End it, with the watches that run through it."""
        await self._runner.cleanup()
        await self._session.close()
        await asyncio.sleep(0.25)  # aiohttp closes TLS connections only in the loop's next turns

    def write_kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig with the same user that leads here."""
        said = copy.deepcopy(self._config)
        said["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._runner.addresses[0][1]}"}
        path.write_text(yaml.safe_dump(said))
        return path

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        fault = self.fault(request.method, request.path)
        if isinstance(fault, int):
            return _refusal(fault)
        if fault == "lost":
            return _cut(request)
        async with self._session.request(
            request.method,
            self._cluster["server"] + str(request.rel_url),
            headers=_end_to_end(request.headers),
            data=await request.read() or None,
            skip_auto_headers=("Content-Type",),
        ) as answer:
            if fault == "answer lost":
                await answer.read()
                return _cut(request)
            return await _hand_back(request, answer)


def no_fault(_method: str, _path: str) -> Fault | None:
    """Let everything pass."""
    return None


async def _hand_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
    with contextlib.suppress(aiohttp.ClientError, ConnectionError):  # either side may be killed meanwhile
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    return response


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refusal(status: int) -> web.Response:
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": "spoilt by a test"}
    return web.json_response({**said, "reason": _REASONS[status]}, status=status)


def _end_to_end(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP}
