"""A bounded pool of threads in which those who ask take turns: a tenant whose queries hang waits for itself.

Who asks is told by `ASKED_BY`, which requests inherit from the run that causes them. What is asked for several at once
has no owner, and goes by itself.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import TypeVar

ASKED_BY: ContextVar[str] = ContextVar("asked_by", default="")
"""The namespace whose rollout asks; empty for what is asked for all."""

_SHARE_OF_ONE = 0.75

T = TypeVar("T")


class Turns:
    """Threads that work for owners in turn.

    Args:
        threads: how many work at once; of these, one owner has three quarters at most, if there are several.
        name: of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        """Nothing runs yet."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = threads
        self._most = max(1, int(threads * _SHARE_OF_ONE))
        self._running: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    async def run(self, owner: str, work: Callable[[], T]) -> T:
        """What the work returns, once it was the owner's turn; an empty owner may have all threads."""
        await self._enter(owner)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._leave(owner)

    def shut_down(self) -> None:
        """Begin nothing more; what runs in a thread ends by its own deadline."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _enter(self, owner: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        self._grant()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was granted in the same moment
                self._leave(owner)
            raise

    def _leave(self, owner: str) -> None:
        self._free += 1
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
        self._grant()

    def _grant(self) -> None:
        """Give free threads to those who wait, one to each owner in turn."""
        granted = True
        while self._free and granted:
            granted = False
            for owner in list(self._waiting):
                if self._free and (not owner or self._running[owner] < self._most):
                    granted = self._give(owner) or granted

    def _give(self, owner: str) -> bool:
        """Whether somebody of this owner has got a thread; the owner goes to the end of the row."""
        waiting = self._waiting.pop(owner)
        while waiting:
            turn = waiting.popleft()
            if turn.cancelled():
                continue
            turn.set_result(None)
            self._free -= 1
            self._running[owner] += 1
            if waiting:
                self._waiting[owner] = waiting
            return True
        return False
