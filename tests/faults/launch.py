"""The operator's process with what a test machine can't show: a wall clock that steps, a name with many addresses.

`python -m tests.faults.launch run ...` is `python -m pilotage run ...`, but its wall clock is off by the seconds that
the file `$WALL_CLOCK_OFFSET` holds at that moment (the monotonic clock is not: a step never moves it), and a name in
`$KNOWN_HOSTS`, which is JSON, has the addresses given there, as a headless Service's name has those of its pods.
"""

import json
import os
import socket
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pilotage.cli import operate
from pilotage.cli.main import main
from pilotage.controller.clock import SystemClock

_OFFSET = Path(os.environ["WALL_CLOCK_OFFSET"])
_HOSTS: dict[str, list[str]] = json.loads(os.environ["KNOWN_HOSTS"])
_resolve = socket.getaddrinfo


class SteppedClock(SystemClock):
    """The machine's clock, and an offset."""

    def now(self) -> datetime:
        """The moment, in UTC."""
        return super().now() + timedelta(seconds=float(_OFFSET.read_text() or 0))


def _known(host: Any, port: Any, *arguments: Any, **options: Any) -> list[Any]:
    if host not in _HOSTS:
        return list(_resolve(host, port, *arguments, **options))
    return [found for address in _HOSTS[host] for found in _resolve(address, port, *arguments, **options)]


if __name__ == "__main__":
    setattr(operate, "SystemClock", SteppedClock)  # noqa: B010 - a plain assignment to a class is no type
    setattr(socket, "getaddrinfo", _known)  # noqa: B010
    sys.exit(main())
