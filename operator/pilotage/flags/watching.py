"""Watching: one collection of a namespace, listed and then followed for ever.

While the API server is away, what was seen last stays. Only two answers are final: that the kind is not installed
(asked again each minute), and that the flag service may not read here, which is raised.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pilotage.flags.telemetry import ERRORS
from pilotage.kube import Kube, KubeError

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
LOOK_AGAIN_SECONDS = 60.0

Objects = Mapping[str, Mapping[str, Any]]
Sleep = Callable[[float], Awaitable[None]]


class NotAllowedError(Exception):
    """The flag service may not read here: the namespace is not enrolled."""


class Watch:
    """Keeps the objects of one collection by name.

    Args:
        kube: the API server.
        path: of the collection.
        selector: label selector; empty for all.
        changed: called with all objects after the first listing and after each change.
        sleep: waits; replaced in tests of the pauses.
    """

    def __init__(
        self,
        kube: Kube,
        path: str,
        *,
        changed: Callable[[Objects], None],
        selector: str = "",
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._kube = kube
        self._path = path
        self._query = {"labelSelector": selector} if selector else {}
        self._changed = changed
        self._sleep = sleep
        self._objects: dict[str, Mapping[str, Any]] = {}
        self._pause = FIRST_PAUSE_SECONDS

    async def run(self) -> None:
        """List and follow for ever.

        Raises:
            NotAllowedError: the API server forbids it.
        """
        while True:
            try:
                version = await self._list()
                while True:
                    version = await self._follow(version)
            except KubeError as error:
                await self._after(error)

    async def _list(self) -> str:
        found = await self._kube.get(self._path, query=self._query)
        self._objects = {item["metadata"]["name"]: item for item in found.get("items") or ()}
        self._changed(self._objects)
        return str(found["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> str:
        """Take in the events of one watch; the version to go on from when it ends."""
        async for event in self._kube.watch(self._path, query={**self._query, "resourceVersion": version}):
            seen = event["object"]
            version = seen["metadata"]["resourceVersion"]
            self._pause = FIRST_PAUSE_SECONDS
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "DELETED":
                self._objects.pop(seen["metadata"]["name"], None)
            else:
                self._objects[seen["metadata"]["name"]] = seen
            self._changed(self._objects)
        return version

    async def _after(self, error: KubeError) -> None:
        """Wait as long as the fault asks for; then everything is listed again."""
        if error.status == 403:  # noqa: PLR2004 - forbidden
            raise NotAllowedError(self._path) from error
        if error.status == 404:  # noqa: PLR2004 - the kind is not installed
            self._objects = {}
            self._changed(self._objects)
            await self._sleep(LOOK_AGAIN_SECONDS)
            return
        if error.status != 410:  # noqa: PLR2004 - expired: to list again is all it takes
            ERRORS.labels("watch").inc()
            log.warning("flags can't be followed", extra={"path": self._path, "reason": str(error)})
        await self._sleep(error.retry_after_seconds or self._pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
        self._pause = min(LONGEST_PAUSE_SECONDS, self._pause * 2)
