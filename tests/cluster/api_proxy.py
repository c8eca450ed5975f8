"""A proxy in front of the API server that spoils requests on demand: refuses, loses, holds up or slows them.

It also spoils watches: cuts them, silences them, or ends them with an error. It speaks plain HTTP on loopback and
passes its caller's token on, so that who uses it has his own rights and no others.
"""

import asyncio
import base64
import contextlib
import copy
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import aiohttp
import yaml
from aiohttp import web

from pilotage.kube import drop_unread

Fault = Literal[409, 429, 500, "lost", "answer lost", "late"]
"""A status to answer with; or the connection is cut, before the request is passed on or after it has changed something;
or it is held up until `let_late_ones_pass`, and then carried out although nobody waits for it any more."""

WatchFault = Literal["cut", "silent", 410, 500]
"""What becomes of all watches: they are cut off at once, bring nothing any more and stay open, or end with an error."""

FaultOf = Callable[[str, str], Fault | None]
"""Says by method and path what is to happen to a request; None: nothing."""

_REASONS = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}
_HOP = {"host", "connection", "transfer-encoding", "content-length", "accept-encoding", "content-encoding"}


class ApiProxy:
    """Passes requests on to the server of a kubeconfig, but those that `fault` spoils.

    `before_cut` is called when a request was carried out whose answer is lost: what it does, such as to kill whoever
    asked, is done between the two.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._config: dict[str, Any] = yaml.safe_load(kubeconfig.read_text())
        self._cluster = self._config["clusters"][0]["cluster"]
        self._session: aiohttp.ClientSession
        self._runner: web.AppRunner
        self.fault: FaultOf = no_fault
        self.before_cut: Callable[[], None] = lambda: None
        self.watch_fault: WatchFault | None = None
        self.delay_seconds = 0.0
        self._pass = asyncio.Event()
        self._late: set[asyncio.Task[None]] = set()
        self._versions: set[str] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        authority = base64.b64decode(self._cluster["certificate-authority-data"]).decode()
        connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=authority), limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout()
        )
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
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

    async def let_late_ones_pass(self) -> int:
        """Carry out what was held up; tells how many requests it were."""
        late = list(self._late)
        self._pass.set()
        await asyncio.gather(*late)
        self._pass.clear()
        return len(late)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._pass_on(request)
        except aiohttp.ClientConnectionError:  # the API server is away
            return _cut(request)

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        fault = self.fault(request.method, request.path)
        if self.delay_seconds and not _is_watch(request):
            await asyncio.sleep(self.delay_seconds)
        if isinstance(fault, int):
            return _refusal(fault)
        if fault == "lost":
            return _cut(request)
        body = await request.read()
        if fault == "late":
            task = asyncio.create_task(self._send_late(request, body))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
            await asyncio.shield(task)
            return _cut(request)
        async with self._send(request, body) as answer:
            try:
                if fault == "answer lost" and answer.ok:
                    return await self._lose(request, answer)
                if _is_watch(request) and answer.ok:
                    return await self._hand_back_watch(request, answer)
                return await _hand_back(request, answer)
            finally:
                drop_unread(answer)

    def _send(self, request: web.Request, body: bytes) -> Any:
        return self._session.request(
            request.method,
            self._cluster["server"] + str(request.rel_url),
            headers=_end_to_end(request.headers),
            data=body or None,
            skip_auto_headers=("Content-Type", "Accept-Encoding"),  # else long answers come compressed
        )

    async def _lose(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.Response:
        said = await answer.read()
        if self._is_new(said):
            self.before_cut()
            return _cut(request)
        return web.Response(status=answer.status, headers=_end_to_end(answer.headers), body=said)

    def _is_new(self, said: bytes) -> bool:
        """Whether a write has changed something: then the object has a version that it did not have before."""
        version = json.loads(said).get("metadata", {}).get("resourceVersion", "")
        known = version in self._versions
        self._versions.add(version)
        return not known

    async def _send_late(self, request: web.Request, body: bytes) -> None:
        await self._pass.wait()
        async with self._send(request, body) as answer:
            await answer.read()

    async def _hand_back_watch(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
        silenced = False
        with contextlib.suppress(aiohttp.ClientError, ConnectionError):
            await response.prepare(request)
            async for chunk in _with_pauses(answer.content):
                silenced = silenced or self.watch_fault == "silent"  # once dead, it stays dead
                if self.watch_fault == "cut":
                    return _cut(request)
                if isinstance(self.watch_fault, int):
                    await response.write(_watch_error(self.watch_fault))
                    break
                if chunk and not silenced:
                    await response.write(chunk)
            await response.write_eof()
        return response


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


async def _with_pauses(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """What comes, and nothing now and then, so that who reads can look up."""
    reading = asyncio.ensure_future(content.readany())
    try:
        while True:
            await asyncio.wait({reading}, timeout=0.1)
            if not reading.done():
                yield b""
                continue
            if not (chunk := reading.result()):
                return
            yield chunk
            reading = asyncio.ensure_future(content.readany())
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


def _is_watch(request: web.Request) -> bool:
    return "watch" in request.query


def _watch_error(code: int) -> bytes:
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "spoilt by a test"}
    error = {"type": "ERROR", "object": {**said, "reason": {410: "Expired", 500: "InternalError"}[code]}}
    return json.dumps(error).encode() + b"\n"


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _refusal(status: int) -> web.Response:
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "message": "spoilt by a test"}
    return web.json_response({**said, "reason": _REASONS[status]}, status=status)


def _end_to_end(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _HOP}
