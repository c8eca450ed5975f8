"""Lists of thousands of objects: one after the other, or only what tells whether they are known.

They are streamed as the begin of a watch where the API server can (`WatchList`, by default from 1.34 on): it sends them
from its memory. Chunks it reads from etcd once nothing has changed for five minutes, at 80 s of CPU for 10,000.
"""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from pilotage.kube import JSON, Kube, KubeError, refused

_CHUNK = 500
_LIST_SECONDS = 60
_LIST_FIRST = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
_LIST_ENDS = "k8s.io/initial-events-end"
_NO_STREAMS = (400, 422)
"""How an API server answers that can't begin a watch with a list, or was told not to."""
_METADATA = f"{JSON};as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

T = TypeVar("T")
Versions = dict[tuple[str, str], int]
"""resourceVersion by (namespace, name); the namespace is empty for what has none."""


class _Metadata(BaseModel):
    """What is read of each object: the parser passes over the rest without making anything of it."""

    namespace: str = ""
    name: str = ""
    version: str = Field("", alias="resourceVersion")
    annotations: dict[str, str] = {}
    token: str = Field("", alias="continue")


class _Object(BaseModel):
    metadata: _Metadata
    code: int = 500
    reason: str = ""


class _Event(BaseModel):
    type: str
    object: _Object


class _Page(_Object):
    items: list[_Object] | None


async def streams_lists(kube: Kube, path: str) -> bool:
    """Whether the API server begins a watch of this collection with a list.

    Raises:
        KubeError: it could not be asked.
    """
    try:
        async with aclosing(kube.follow(path, bytes, query=_LIST_FIRST, timeout_seconds=_LIST_SECONDS)) as events:
            await anext(events, b"")
    except KubeError as error:
        if error.status not in _NO_STREAMS:
            raise
        return False
    return True


async def list_versions(kube: Kube, path: str, *, chunk: int = _CHUNK) -> tuple[int, Versions]:
    """The resourceVersion of a collection, and those of all that is in it.

    Raises:
        KubeError: it could not be listed to its end.
    """
    if not await streams_lists(kube, path):
        return await _list_in_chunks(kube, path, chunk)
    found: Versions = {}
    async with aclosing(_stream(kube, path, _Event.model_validate_json, accept=_METADATA)) as events:
        async for event in events:
            metadata = event.object.metadata
            if event.type == "ERROR":
                raise refused(path, event.object.code, {"reason": event.object.reason})
            if _LIST_ENDS in metadata.annotations:
                return int(metadata.version), found
            if event.type == "ADDED":
                found[metadata.namespace, metadata.name] = int(metadata.version)
    raise _broken(path)


async def list_objects(kube: Kube, path: str, *, chunk: int = _CHUNK) -> AsyncGenerator[dict[str, Any], None]:
    """All objects of a collection, never more than a chunk of them in memory.

    Raises:
        KubeError: it could not be listed to its end.
    """
    if not await streams_lists(kube, path):
        query = {"limit": str(chunk)}
        while query:
            page = await kube.get(path, query=query)
            for item in page["items"] or ():
                yield item
            token = page["metadata"].get("continue")
            query = {"limit": str(chunk), "continue": token} if token else {}
        return
    async with aclosing(_stream(kube, path, json.loads)) as events:
        async for event in events:
            body = event["object"]
            if event["type"] == "ERROR":
                raise refused(path, body.get("code", 500), body)
            if _LIST_ENDS in body["metadata"].get("annotations", ()):
                return
            if event["type"] == "ADDED":
                yield body
    raise _broken(path)


def _stream(kube: Kube, path: str, read: Callable[[bytes], T], *, accept: str = JSON) -> AsyncGenerator[T, None]:
    return kube.follow(path, read, query=_LIST_FIRST, timeout_seconds=_LIST_SECONDS, accept=accept)


async def _list_in_chunks(kube: Kube, path: str, chunk: int) -> tuple[int, Versions]:
    found: Versions = {}
    version, query = "", {"limit": str(chunk)}
    while True:
        page = await kube.read(path, _Page.model_validate_json, query=query, accept=_METADATA_LIST)
        version = version or page.metadata.version
        found |= {
            (each.metadata.namespace, each.metadata.name): int(each.metadata.version) for each in page.items or ()
        }
        if not page.metadata.token:
            return int(version), found
        query = {"limit": str(chunk), "continue": page.metadata.token}


def _broken(path: str) -> KubeError:
    return KubeError(0, "Incomplete", "the stream ended before the list did", path=path)
