"""Waits for a condition with a deadline, and tells what was seen last when the deadline passes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class DeadlineExceededError(AssertionError):
    """The condition did not become true in time. An AssertionError, so that a test that waits in vain fails."""


def wait_until(condition: Callable[[], T], what: str, *, seconds: float = 30.0, every_seconds: float = 0.1) -> T:
    """Call `condition` until it returns something true, and return that.

    An exception of the condition counts as "not yet": right after a start or an update, requests fail for a moment.

    Args:
        condition: asked again and again; keep it quick.
        what: completes the sentence "waited N s in vain for ...".
        seconds: how long to wait.
        every_seconds: the pause between two calls.

    Raises:
        DeadlineExceededError: names `what` and the last value or exception.
    """
    deadline = time.monotonic() + seconds
    while True:
        value, seen, error = _attempt(condition)
        if value:
            return value
        if time.monotonic() >= deadline:
            raise DeadlineExceededError(_message(what, seconds, seen)) from error
        time.sleep(every_seconds)


async def eventually(
    condition: Callable[[], Awaitable[T]], what: str, *, seconds: float = 30.0, every_seconds: float = 0.1
) -> T:
    """Do the same as `wait_until` for a condition that is a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        error: Exception | None = None
        try:
            value = await condition()
            seen = f"the last value was {value!r}"
            if value:
                return value
        except Exception as failure:  # noqa: BLE001 - any failure means "not yet"; the last one is reported
            error, seen = failure, f"the last attempt failed with {failure!r}"
        if time.monotonic() >= deadline:
            raise DeadlineExceededError(_message(what, seconds, seen)) from error
        await asyncio.sleep(every_seconds)


def _attempt(condition: Callable[[], T]) -> tuple[T | None, str, Exception | None]:
    try:
        value = condition()
    except Exception as failure:  # noqa: BLE001 - any failure means "not yet"; the last one is reported
        return None, f"the last attempt failed with {failure!r}", failure
    return value, f"the last value was {value!r}", None


def _message(what: str, seconds: float, seen: str) -> str:
    return f"waited {seconds:g} s in vain for {what}; {seen}"
