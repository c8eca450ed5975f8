"""Child processes by name that never outlive this process, with a folder that goes with them.

A `ProcessGroup` has a temporary folder and any number of `Process`es. Each process can be stopped, killed, paused and
started again by name, which is what tests of faults need. However this process ends (return, exception, Ctrl-C,
SIGKILL), `watcher.py` kills what is left and removes the folder.
"""

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from testbed.errors import SetupError
from testbed.stopping import Stopping
from testbed.variables import variables

_WATCHER = Path(__file__).with_name("watcher.py")


class Process:
    """One child process: started with the group, then stopped, killed, paused and started again at will."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        group: int,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.argv = tuple(argv)
        self.log = log
        self._group = group
        self._env = env
        self._cwd = cwd
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the run that was started last."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether it is there (a paused process is)."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def exit_status(self) -> int | None:
        """The exit status of the last run, negative for a signal; None while it runs."""
        return None if self._popen is None else self._popen.poll()

    def start(self) -> None:
        """Start it; with the same arguments, if it ran before. Its output is appended to `log`."""
        if self.running:
            return
        with self.log.open("ab") as log:
            try:
                self._popen = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**variables(), **(self._env or {})},
                    cwd=self._cwd,
                    process_group=self._group,
                )
            except OSError as error:
                msg = f"{self.name} does not start: {error}"
                raise SetupError(msg) from error

    def wait(self) -> int:
        """Wait until it ends by itself and return its exit status."""
        return self._started().wait()

    def stop(self, *, grace_seconds: float = 5.0) -> None:
        """End it with SIGTERM, and with SIGKILL if it is still there after the grace period."""
        if self._popen is None or not self.running:
            return
        self._popen.terminate()
        self._popen.send_signal(signal.SIGCONT)  # a paused process sees SIGTERM only when it goes on
        try:
            self._popen.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.wait()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): it keeps its connections and answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of its output."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _started(self) -> subprocess.Popen[bytes]:
        if self._popen is None:
            msg = f"{self.name} was never started"
            raise RuntimeError(msg)
        return self._popen


class ProcessGroup(Stopping):
    """A folder and the processes that work in it; `stop()` or the end of this process ends them all.

    Args:
        prefix: starts the name of the temporary folder.
        parent: the folder to make it in, if not the system's one for temporary files.
        teardown: commands that are run at the very end, also when this process is killed (for what lives elsewhere,
            such as containers).
    """

    def __init__(
        self, *, prefix: str = "pilotage-", parent: Path | None = None, teardown: Sequence[Sequence[str]] = ()
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        self.processes: dict[str, Process] = {}
        arguments = [str(self.directory), json.dumps([list(command) for command in teardown])]
        self._watcher = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_WATCHER), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            env=variables(),
        )
        atexit.register(self.stop)

    def start(
        self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Process:
        """Start a process; its output goes to `<directory>/<name>.log`.

        Args:
            name: by which it is found in `processes`.
            argv: the program and its arguments.
            env: variables to set in addition to this process's own.
            cwd: the folder to start it in, if not this process's own.

        Raises:
            SetupError: the program can't be started.
        """
        log = self.directory / f"{name}.log"
        process = Process(name, list(map(str, argv)), group=self._watcher.pid, log=log, env=env, cwd=cwd)
        process.start()
        self.processes[name] = process
        return process

    def run(
        self, name: str, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> str:
        """Run a program to its end and return what it printed; arguments as for `start`.

        Raises:
            SetupError: it can't be started, or failed; the message has the command and the end of its output.
        """
        process = self.start(name, argv, env=env, cwd=cwd)
        status = process.wait()
        del self.processes[name]
        if status:
            msg = f"{' '.join(process.argv)}\nended with status {status}:\n{process.tail()}"
            raise SetupError(msg)
        return process.log.read_text(errors="replace")

    def stop(self) -> None:
        """End all processes, the last one started first, and remove the folder."""
        for process in reversed(self.processes.values()):
            process.stop()
        atexit.unregister(self.stop)
        with self._watcher, contextlib.suppress(BrokenPipeError):
            if self._watcher.stdin and self._watcher.stdout and not self._watcher.stdin.closed:
                self._watcher.stdin.close()
                self._watcher.stdout.read()  # ends when the cleaner has ended, and so the folder is gone
