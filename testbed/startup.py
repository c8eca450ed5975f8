"""Starts servers on loopback ports: again, if another process was quicker to a port, and with a reason if one dies."""

from collections.abc import Callable
from typing import TypeVar

from testbed.errors import SetupError
from testbed.processes import Process, ProcessGroup
from testbed.waiting import wait_until

T = TypeVar("T")

_STARTS = 3
_READY_SECONDS = 60.0
_BIND_FAILED = "address already in use"


class _PortTakenError(Exception):
    """Another process took a port between our look and our use."""


def start_group(prefix: str, start: Callable[[ProcessGroup], T]) -> T:
    """Call `start` with a new process group; with another one, up to three times, if a port was taken.

    Args:
        prefix: starts the name of the group's folder.
        start: starts servers on ports that it picks itself, and waits for them with `wait_ready`.

    Raises:
        SetupError: a server ended at its start. Nothing is left behind.
    """
    for attempt in range(1, _STARTS + 1):
        group = ProcessGroup(prefix=prefix)
        try:
            return start(group)
        except _PortTakenError as error:
            group.stop()
            if attempt == _STARTS:
                msg = f"no free ports found in {_STARTS} attempts: {error}"
                raise SetupError(msg) from error
        except BaseException:
            group.stop()
            raise
    raise AssertionError


def wait_ready(group: ProcessGroup, condition: Callable[[], bool], what: str) -> None:
    """Wait for the condition, but no longer than all processes of the group live.

    Raises:
        SetupError: a process ended; its last output is in the message.
        DeadlineExceededError: the condition did not become true within a minute.
    """
    wait_until(lambda: _dead(group) or condition(), what, seconds=_READY_SECONDS, every_seconds=0.05)
    for process in _dead(group):
        msg = f"{process.name} ended with status {process.exit_status}; the last it said:\n{process.tail()}"
        raise _PortTakenError(msg) if _BIND_FAILED in process.tail() else SetupError(msg)


def _dead(group: ProcessGroup) -> list[Process]:
    return [process for process in group.processes.values() if not process.running]
