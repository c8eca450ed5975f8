"""Cleans up after the process that started it, however that process ends.

Run as a script. It leads the process group that its parent starts all children in, and blocks on a pipe whose other
end only the parent holds. When that end closes (the parent closed it, crashed, or was killed with SIGKILL), the whole
group is killed, the folder removed and the teardown commands are run.

A process group, unlike a list of process ids, can't hit a stranger that got the id of a child that is gone: while the
watcher lives, the group's number is taken. And unlike PR_SET_PDEATHSIG, which hangs on the *thread* that forked, it
works from any thread, for grandchildren, and on macOS.

Imports nothing but the standard library: it is started with `python -I -S`, to be there within milliseconds.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

_FOLDER_SECONDS = 10.0


def main(folder: str, teardown: list[list[str]]) -> None:
    """Wait for the parent's end, then clean up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    group = os.getpgrp()
    if os.fork():
        while True:
            signal.pause()  # this process keeps the group's number taken, and dies with the group
    os.setpgid(0, 0)  # the cleaner must not be in the group that it kills
    with contextlib.suppress(PermissionError, ProcessLookupError):  # macOS says so of a group that is just dying
        os.killpg(group, signal.SIGKILL)
    for command in teardown:
        with contextlib.suppress(OSError):
            subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    _remove(folder)


def _remove(folder: str) -> None:
    """Remove the folder; a process that is just dying may still put a file into it, so try again for a while."""
    deadline = time.monotonic() + _FOLDER_SECONDS
    while os.path.lexists(folder) and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.01)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
