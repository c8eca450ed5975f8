"""Many who are taken back at once go in one write: who comes while one is under way at a document waits for the next.

When a service that carries ten features fails, ten flags of one ConfigMap go off. The API server spends as much on one
of them as on all (10 ms of its CPU), and lets one write to an object through at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pilotage.delivery.target import DeliveryError, Way

Write = Callable[[Sequence[Way]], Awaitable[str]]
"""Takes ways back that end in one document; returns the target's name. Raises `DeliveryError`, and others."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    way: Way
    done: asyncio.Future[str]


class Together:
    """Ways back, one write at a time for each document.

    Args:
        write: brings them about; it asks for leadership itself.
    """

    def __init__(self, write: Write) -> None:
        self._write = write
        self._waiting: dict[tuple[str, str], list[_Waiting]] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def take_back(self, way: Way) -> str:
        """Bring it about with the next write to its document; returns the target's name.

        Raises:
            DeliveryError: it could not be written, neither with others nor alone.
            NotLeadingError: this replica does not lead.
        """
        waiting = _Waiting(way, asyncio.get_running_loop().create_future())
        document = (way.place.namespace, way.place.name)
        if document in self._waiting:
            self._waiting[document].append(waiting)
        else:
            self._waiting[document] = [waiting]
            task = asyncio.create_task(self._write_all(document))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)
        return await waiting.done

    async def _write_all(self, document: tuple[str, str]) -> None:
        try:
            while batch := self._waiting[document]:
                self._waiting[document] = []
                await self._write_batch(batch)
        finally:
            for left in self._waiting.pop(document):
                left.done.cancel()

    async def _write_batch(self, batch: Sequence[_Waiting]) -> None:
        """Write them; where they fail together, each alone: one that can't be written must not keep the others."""
        try:
            name = await self._write([waiting.way for waiting in batch])
        except DeliveryError as error:
            if len(batch) == 1:
                _fail(batch, error)
                return
            for waiting in batch:
                await self._write_batch([waiting])
        except Exception as error:  # noqa: BLE001 - it belongs to those who wait
            _fail(batch, error)
        else:
            for waiting in batch:
                if not waiting.done.done():  # who waited may have given up
                    waiting.done.set_result(name)


def _fail(batch: Sequence[_Waiting], error: Exception) -> None:
    for waiting in batch:
        if not waiting.done.done():
            waiting.done.set_exception(error)
