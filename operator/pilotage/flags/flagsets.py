"""Flag sets: for each namespace that somebody asks for, its current document, followed as long as it is used.

A namespace is watched from the first question on, because the flag service may read only where it was enrolled, and
until nobody has used it for a while. A slow application holds nobody up: a stream takes the newest document when it is
ready for one, and what came in between is never sent.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from pilotage.flags.documents import Entry, Fault, merge, read_config_map, read_feature_flag
from pilotage.flags.telemetry import ERRORS, NAMESPACES
from pilotage.flags.watching import NotAllowedError, Objects, Watch
from pilotage.kube import Kube

log = logging.getLogger(__name__)

IDLE_SECONDS = 300.0
REFUSED_SECONDS = 2.0
"""How long a refusal stands before the API server is asked again: a namespace may be enrolled at any time."""

_RESTART_SECONDS = 1.0
_READERS = {"configmaps": read_config_map, "featureflags": read_feature_flag}


class NotEnrolledError(Exception):
    """The namespace's flags may not be read."""


class FlagSet:
    """The flags of one namespace."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.namespace = namespace
        self.users = 0
        self._read: dict[str, tuple[list[Entry], list[Fault]]] = {}
        self._document: str | None = None
        self._faults: frozenset[Fault] = frozenset()
        self._refused = False
        self._news = asyncio.Event()
        core = f"/api/v1/namespaces/{namespace}/configmaps"
        openfeature = f"/apis/core.openfeature.dev/v1beta1/namespaces/{namespace}/featureflags"
        self._watches = (
            Watch(kube, core, selector="pilotage.dev/flags=true", changed=self._taker("configmaps")),
            Watch(kube, openfeature, changed=self._taker("featureflags")),
        )

    async def follow(self) -> None:
        """Keep the document current; ends only when the namespace may not be read (any more)."""
        try:
            async with asyncio.TaskGroup() as group:
                for watch in self._watches:
                    group.create_task(self._keep_running(watch))
        except* NotAllowedError:
            self._refused = True
            self._announce()

    async def document_after(self, sent: str | None) -> str:
        """The current document, as soon as there is one that is another than what was sent last.

        Raises:
            NotEnrolledError: the namespace may not be read (any more).
        """
        while not self._refused:
            if self._document is not None and self._document is not sent:
                return self._document
            await self._news.wait()
        raise NotEnrolledError(self.namespace)

    async def _keep_running(self, watch: Watch) -> None:
        """A mistake of ours in one event must not end the watching."""
        while True:
            try:
                await watch.run()
            except NotAllowedError:
                raise
            except Exception:
                ERRORS.labels("bug").inc()
                log.exception("watching flags failed", extra={"namespace": self.namespace})
                await asyncio.sleep(_RESTART_SECONDS)

    def _taker(self, collection: str) -> Callable[[Objects], None]:
        read = _READERS[collection]

        def take(objects: Objects) -> None:
            results = [read(found) for found in objects.values()]
            entries = [entry for found, _ in results for entry in found]
            self._take(collection, entries, [fault for _, faults in results for fault in faults])

        return take

    def _take(self, collection: str, entries: list[Entry], faults: list[Fault]) -> None:
        self._read[collection] = entries, faults
        if len(self._read) < len(_READERS):
            return  # half of the flags would look as if the other half had been deleted
        document, left_out = merge(self.namespace, [entry for found, _ in self._read.values() for entry in found])
        self._report([*left_out, *(fault for _, found in self._read.values() for fault in found)])
        if document != self._document:
            self._document = document
            self._announce()

    def _report(self, faults: Sequence[Fault]) -> None:
        for fault in set(faults) - self._faults:
            ERRORS.labels("entry").inc()
            told: Mapping[str, str] = {
                "namespace": self.namespace,
                "object": fault.source,
                "flag": fault.flag,
                "reason": fault.reason,
            }
            log.error("a flag is not served", extra=told)
        self._faults = frozenset(faults)

    def _announce(self) -> None:
        self._news.set()  # wakes all who wait now; who asks later waits for the next
        self._news = asyncio.Event()


class FlagSets:
    """The flag sets in use. Must be closed."""

    def __init__(self, kube: Kube, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._kube = kube
        self._idle_seconds = idle_seconds
        self._sets: dict[str, FlagSet] = {}
        self._tasks: dict[FlagSet, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def using(self, namespace: str) -> AsyncIterator[FlagSet]:
        """The namespace's flag set; it is followed at least as long as the context is open."""
        flag_set = self._sets.get(namespace) or self._start(namespace)
        flag_set.users += 1
        try:
            yield flag_set
        finally:
            flag_set.users -= 1
            if not flag_set.users:
                asyncio.get_running_loop().call_later(self._idle_seconds, self._drop_if_idle, flag_set)

    async def close(self) -> None:
        """Stop watching."""
        for flag_set in list(self._tasks):
            self._drop(flag_set)

    def _start(self, namespace: str) -> FlagSet:
        flag_set = FlagSet(self._kube, namespace)
        task = asyncio.create_task(flag_set.follow(), name=f"flags of {namespace}")
        task.add_done_callback(lambda _: self._ended(flag_set))
        self._sets[namespace] = flag_set
        self._tasks[flag_set] = task
        NAMESPACES.set(len(self._tasks))
        return flag_set

    def _ended(self, flag_set: FlagSet) -> None:
        if flag_set in self._tasks:
            asyncio.get_running_loop().call_later(REFUSED_SECONDS, self._drop, flag_set)

    def _drop_if_idle(self, flag_set: FlagSet) -> None:
        if not flag_set.users:
            self._drop(flag_set)

    def _drop(self, flag_set: FlagSet) -> None:
        if task := self._tasks.pop(flag_set, None):
            task.cancel()
        if self._sets.get(flag_set.namespace) is flag_set:
            del self._sets[flag_set.namespace]
        NAMESPACES.set(len(self._tasks))
