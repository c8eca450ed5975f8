"""The Kubernetes API as raw paths and plain dicts, over `kubernetes.aio`.

That library brings what is hard to get right (kubeconfig, exec plug-ins, TLS, the pod's token that is renewed on disk);
this module brings what it leaves open: a deadline for every request, one kind of error, and a watch that fails loudly.
The generated API classes are not used: they cost 20 MB and turn custom objects into nothing better than dicts.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from prometheus_client import Counter

from pilotage import __version__

CONNECT_SECONDS = 5.0
REQUEST_SECONDS = 30.0
QUIET_SECONDS = 90.0
"""A watch that brings neither event nor bookmark (one comes each minute) for so long is taken for dead."""

REQUESTS = Counter(
    "rest_client_requests_total", "Requests to the API server, as client-go counts them.", ["method", "code"]
)

_CONTENT_TYPES = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",  # JSON is YAML
}
JSON = "application/json"
_CLOSING_SECONDS = 0.1
"""Connections that were dropped are closed in the next turns of the loop; aiohttp waits for idle ones only."""
_NO_QUERY: Mapping[str, str] = {}
_LIMITS = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)

Body = dict[str, Any]
T = TypeVar("T")


class KubeError(Exception):
    """A request that the API server refused, or that did not reach it.

    Attributes:
        status: the HTTP status; 0 if there was no answer in time.
        reason: one word: `NotFound`, `Conflict`, `AlreadyExists`, `Forbidden`, `Expired`, `Unreachable`, `Timeout`, ...
        detail: what the server said; for logs, not for status: it changes from one call to the next.
        retry_after_seconds: how long the server asks to wait; None if it doesn't.
    """

    def __init__(
        self, status: int, reason: str, detail: str = "", *, path: str = "", retry_after_seconds: float | None = None
    ) -> None:
        what = (
            f"the API server answered {status} {reason}" if status else f"the API server could not be asked: {reason}"
        )
        super().__init__(f"{what} for {path}" if path else what)
        self.status = status
        self.reason = reason
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


class Kube:
    """A client for one API server; made by `connect`, ended by `close` or with its `async with` block.

    Its methods raise `KubeError`, nothing else.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self._client = ApiClient(configuration)
        self._client.user_agent = f"pilotage/{__version__}"

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> "Kube":
        """A client from this kubeconfig; without one from the pod's ServiceAccount, else from `$KUBECONFIG`.

        Raises:
            KubeError: no usable configuration was found.
        """
        try:
            return cls(await _configuration(kubeconfig))
        except (ConfigException, OSError) as error:
            raise KubeError(0, "NoConfiguration", str(error)) from error

    async def get(self, path: str, *, query: Mapping[str, str] = _NO_QUERY) -> dict[str, Any]:
        """One object or list."""
        return await self._call(_Request("GET", path, query))

    async def read(
        self, path: str, read: Callable[[bytes], T], *, query: Mapping[str, str] = _NO_QUERY, accept: str = JSON
    ) -> T:
        """As `get`, but read by a function of one's own; its ValueErrors become a KubeError."""
        async with self._response(_Request("GET", path, query, accept=accept)) as response:
            return read(await response.read())

    async def create(self, path: str, body: Body, *, query: Mapping[str, str] = _NO_QUERY) -> dict[str, Any]:
        """POST to a collection's path; reason is `AlreadyExists` if the name is taken."""
        return await self._call(_Request("POST", path, query, body))

    async def replace(self, path: str, body: Body) -> dict[str, Any]:
        """PUT; with `metadata.resourceVersion` in the body it is compare-and-swap (reason `Conflict`)."""
        return await self._call(_Request("PUT", path, body=body))

    async def patch(
        self,
        path: str,
        body: Body | list[dict[str, Any]],
        *,
        content_type: Literal["merge", "json", "apply"],
        field_manager: str = "",
        force: bool = False,
    ) -> dict[str, Any]:
        """PATCH as merge patch, JSON patch, or server-side apply (needs `field_manager`; `force` takes fields over)."""
        query = {"fieldManager": field_manager} if field_manager else {}
        if force:
            query["force"] = "true"
        return await self._call(_Request("PATCH", path, query, body, _CONTENT_TYPES[content_type]))

    async def delete(self, path: str, *, uid: str) -> None:
        """DELETE the one object that has this uid; reason is `Conflict` if another of that name is there by now.

        The only way to delete, narrow on purpose: what a tenant no longer wants is seen first, and found to be ours.
        There is none for collections, and none by name alone.
        """
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        await self._call(_Request("DELETE", path, body=body))

    async def watch(
        self, path: str, *, query: Mapping[str, str] = _NO_QUERY, timeout_seconds: int = 300
    ) -> AsyncIterator[dict[str, Any]]:
        """Events `{"type", "object"}`, also bookmarks, from a collection's path; ends quietly at the server's timeout.

        Raises:
            KubeError: the watch was refused or broke; status 410 (`Expired`) means: list again.
        """
        async for event in self.follow(path, json.loads, query=query, timeout_seconds=timeout_seconds):
            if event["type"] == "ERROR":
                raise refused(path, event["object"].get("code", 500), event["object"])
            yield event

    async def follow(
        self,
        path: str,
        read: Callable[[bytes], T],
        *,
        query: Mapping[str, str] = _NO_QUERY,
        timeout_seconds: int = 300,
        accept: str = JSON,
    ) -> AsyncGenerator[T, None]:
        """As `watch`, but each event is read by a function of one's own, errors among them."""
        asked = {"allowWatchBookmarks": "true", **query, "watch": "true", "timeoutSeconds": str(timeout_seconds)}
        limits = aiohttp.ClientTimeout(
            total=timeout_seconds + REQUEST_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=QUIET_SECONDS
        )
        async with self._response(_Request("GET", path, asked, accept=accept, limits=limits)) as response:
            async for line in response.content:
                yield read(line)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give up connections; running requests fail."""
        await self._client.rest_client.close()
        await asyncio.sleep(_CLOSING_SECONDS)

    async def _call(self, request: "_Request") -> dict[str, Any]:
        async with self._response(request) as response:
            answer: dict[str, Any] = json.loads(await response.read())
            return answer

    @asynccontextmanager
    async def _response(self, request: "_Request") -> AsyncIterator[aiohttp.ClientResponse]:
        """The response to a request, checked for success; every fault on the way becomes a KubeError."""
        code = "<error>"
        try:
            response = await self._send(request)
            code = str(response.status)
            async with response:
                try:
                    if not response.ok:
                        raise refused(request.path, response.status, _loads(await response.read()), response.headers)
                    yield response
                finally:
                    drop_unread(response)
        except TimeoutError as error:
            raise KubeError(0, "Timeout", path=request.path) from error
        except (aiohttp.ClientError, OSError, ConfigException) as error:
            raise KubeError(0, "Unreachable", str(error), path=request.path) from error
        except ValueError as error:  # not JSON, or a line beyond all bounds: something else answered
            raise KubeError(0, "Unreadable", str(error), path=request.path) from error
        finally:
            REQUESTS.labels(request.method, code).inc()

    async def _send(self, request: "_Request") -> aiohttp.ClientResponse:
        parts = await self._client.param_serialize(
            request.method,
            request.path,
            query_params=list(request.query.items()),
            header_params={"Accept": request.accept, "Content-Type": request.content_type},
            body=request.body,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(*parts, _request_timeout=request.limits)
        response: aiohttp.ClientResponse = answer.response
        return response


def drop_unread(response: aiohttp.ClientResponse) -> None:
    """Cut the connection of an answer that was not read to its end, such as a watch that is given up.

    Closed in order, it would wait for the server to say goodbye over TLS, half a minute if that is silent.
    """
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: "Body | list[dict[str, Any]] | None" = None
    content_type: str = JSON
    accept: str = JSON
    limits: aiohttp.ClientTimeout = _LIMITS


async def _configuration(kubeconfig: Path | None) -> Configuration:
    made = await _load(kubeconfig)
    # aiohttp would look for a proxy and into ~/.netrc at each request, in two threads; and with a password found there
    # it sends no request that has a token.
    made.client_session_kwargs = {"trust_env": False}
    made.proxy = made.proxy or _proxy_of(made.host)
    return made


def _proxy_of(server: str) -> str | None:
    """The environment's proxy for a server, if there is one."""
    parts = urlsplit(server)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


async def _load(kubeconfig: Path | None) -> Configuration:
    made = Configuration()
    # A watch keeps its connection: with the library's hundred, the flag service stood still from the hundredth
    # namespace on. Who sends requests bounds them.
    made.connection_pool_maxsize = 0
    if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
        await asyncio.to_thread(load_incluster_config, client_configuration=made)
        return made
    location = str(kubeconfig) if kubeconfig else None
    loader: Any = await load_kube_config(  # type: ignore[no-untyped-call]
        config_file=location, client_configuration=made, persist_config=False
    )
    if hasattr(loader, "exec_plugin_expiry"):

        async def renew(configuration: Configuration) -> None:
            await loader.load_from_exec_plugin()  # does nothing before the token expires
            configuration.api_key["BearerToken"] = loader.token

        made.refresh_api_key_hook = renew  # type: ignore[assignment]
    return made


def _loads(data: bytes) -> dict[str, Any]:
    """A Status object; other bodies (a proxy's page) have nothing to say."""
    try:
        loaded = json.loads(data)
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def refused(path: str, code: int, status: Mapping[str, Any], headers: Mapping[str, str] = _NO_QUERY) -> KubeError:
    """What a Status object says, as an error."""
    reason = str(status.get("reason") or "") or {404: "NotFound", 429: "TooManyRequests"}.get(code, "Refused")
    retry_after = headers.get("Retry-After", "")
    wait = float(retry_after) if retry_after.isdigit() else None
    return KubeError(code, reason, str(status.get("message", "")), path=path, retry_after_seconds=wait)
