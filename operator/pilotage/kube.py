"""The Kubernetes API as raw paths and plain dicts, over `kubernetes.aio`.

That library brings what is hard to get right (kubeconfig, exec plug-ins, TLS, the pod's token that is renewed on disk);
this module brings what it leaves open: a deadline for every request, one kind of error, and a watch that fails loudly.
The generated API classes are not used: they cost 20 MB and turn custom objects into nothing better than dicts.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_NO_QUERY: Mapping[str, str] = {}
_LIMITS = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)

Body = dict[str, Any]


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
    """A client for one API server; made by `connect`, ended by `close`. Its methods raise `KubeError`, nothing else."""

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

    async def list_metadata(self, path: str, *, chunk: int = 500) -> tuple[str, list[dict[str, Any]]]:
        """The resourceVersion of a list, and only the metadata of what is in it; asked for in chunks."""
        found: list[dict[str, Any]] = []
        version, query = "", {"limit": str(chunk)}
        while True:
            page = await self._call(_Request("GET", path, query, accept=_METADATA_ONLY))
            version = version or page["metadata"]["resourceVersion"]
            found += [item["metadata"] for item in page["items"] or ()]
            token = page["metadata"].get("continue")
            if not token:
                return version, found
            query = {"limit": str(chunk), "continue": token}

    async def create(self, path: str, body: Body, *, query: Mapping[str, str] = _NO_QUERY) -> dict[str, Any]:
        """POST to a collection's path; reason is `AlreadyExists` if the name is taken."""
        return await self._call(_Request("POST", path, query, body))

    async def replace(self, path: str, body: Body) -> dict[str, Any]:
        """PUT; with `metadata.resourceVersion` in the body it is compare-and-swap (reason `Conflict`)."""
        return await self._call(_Request("PUT", path, body=body))

    async def delete(self, path: str) -> None:
        """DELETE; what is gone already raises `NotFound`."""
        await self._call(_Request("DELETE", path))

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

    async def watch(
        self, path: str, *, query: Mapping[str, str] = _NO_QUERY, timeout_seconds: int = 300
    ) -> AsyncIterator[dict[str, Any]]:
        """Events `{"type", "object"}`, also bookmarks, from a collection's path; ends quietly at the server's timeout.

        Raises:
            KubeError: the watch was refused or broke; status 410 (`Expired`) means: list again.
        """
        asked = {"allowWatchBookmarks": "true", **query, "watch": "true", "timeoutSeconds": str(timeout_seconds)}
        limits = aiohttp.ClientTimeout(
            total=timeout_seconds + REQUEST_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=QUIET_SECONDS
        )
        async with self._response(_Request("GET", path, asked, limits=limits)) as response:
            async for line in response.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _refused(path, event["object"].get("code", 500), event["object"])
                yield event

    async def close(self) -> None:
        """Give up connections; running requests fail."""
        await self._client.rest_client.close()

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
                if not response.ok:
                    raise _refused(request.path, response.status, _loads(await response.read()), response.headers)
                yield response
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


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: "Body | list[dict[str, Any]] | None" = None
    content_type: str = "application/json"
    accept: str = "application/json"
    limits: aiohttp.ClientTimeout = _LIMITS


async def _configuration(kubeconfig: Path | None) -> Configuration:
    made = Configuration()
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


def _refused(path: str, code: int, status: Mapping[str, Any], headers: Mapping[str, str] = _NO_QUERY) -> KubeError:
    reason = str(status.get("reason") or "") or {404: "NotFound", 429: "TooManyRequests"}.get(code, "Refused")
    retry_after = headers.get("Retry-After", "")
    wait = float(retry_after) if retry_after.isdigit() else None
    return KubeError(code, reason, str(status.get("message", "")), path=path, retry_after_seconds=wait)
