"""Child processes and their folder are gone when their parent is, whatever ended it."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from testbed import ProcessGroup, SetupError, wait_until

# A child that ignores the polite signal and has a child of its own, as a shell script that runs a server has.
_STUBBORN = "trap '' TERM; sleep 1000 & echo $! > grandchild; wait; wait"

_PARENT = f"""
import sys, time
from testbed import ProcessGroup
group = ProcessGroup(prefix="pilotage-test-", teardown=[["touch", sys.argv[1]]])
process = group.start("stubborn", ["sh", "-c", {_STUBBORN!r}], cwd=group.directory)
print(group.directory, process.pid, flush=True)
try:
    sys.stdin.read()
except KeyboardInterrupt:
    process.kill()
"""


@dataclass
class Parent:
    """A process that has started a group with a child and a grandchild."""

    popen: subprocess.Popen[str]
    directory: Path
    descendants: list[psutil.Process]
    torn_down: Path


@contextmanager
def _parent(tmp_path: Path) -> Iterator[Parent]:
    torn_down = tmp_path / "torn-down"
    command = [sys.executable, "-c", textwrap.dedent(_PARENT), str(torn_down)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as popen:
        assert popen.stdout is not None
        directory, child = popen.stdout.readline().split()
        grandchild = wait_until((Path(directory) / "grandchild").read_text, "the grandchild to start")
        descendants = [psutil.Process(int(child)), psutil.Process(int(grandchild))]
        yield Parent(popen, Path(directory), descendants, torn_down)


def _is_there(process: psutil.Process) -> bool:
    # Where nothing reaps orphans (a container without init), what is gone stays a zombie for ever.
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _kill(popen: subprocess.Popen[str]) -> None:
    popen.kill()


def _interrupt(popen: subprocess.Popen[str]) -> None:
    popen.send_signal(signal.SIGINT)


def _terminate(popen: subprocess.Popen[str]) -> None:
    popen.terminate()


def _let_it_return(popen: subprocess.Popen[str]) -> None:
    assert popen.stdin is not None
    popen.stdin.close()


@pytest.mark.parametrize("end", [_kill, _interrupt, _terminate, _let_it_return])
def test_no_process_and_no_folder_outlives_the_parent(
    tmp_path: Path, end: Callable[[subprocess.Popen[str]], None]
) -> None:
    with _parent(tmp_path) as parent:
        assert all(process.is_running() for process in parent.descendants)
        end(parent.popen)
        parent.popen.wait(30)
        wait_until(lambda: not any(map(_is_there, parent.descendants)), "all descendants to end", seconds=15)
        wait_until(lambda: not parent.directory.exists(), "the folder to be removed", seconds=15)
        wait_until(parent.torn_down.exists, "the teardown command to have run", seconds=15)


def test_ctrl_c_at_the_terminal_does_not_reach_the_children_directly() -> None:
    # They are not in the terminal's foreground group: whoever started them ends them in order.
    with ProcessGroup() as group:
        process = group.start("sleeper", ["sleep", "1000"])
        assert os.getpgid(process.pid) != os.getpgrp()


def test_a_process_can_be_stopped_paused_killed_and_started_again_by_name() -> None:
    with ProcessGroup() as group:
        process = group.start("sleeper", ["sleep", "1000"])
        assert group.processes["sleeper"] is process
        process.pause()
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "the process to be paused")
        assert process.running
        process.stop()  # a paused process can't take the polite signal by itself
        assert process.exit_status == -signal.SIGTERM
        first = process.pid
        process.start()
        assert process.running
        assert process.pid != first
        process.kill()
        assert process.exit_status == -signal.SIGKILL


def test_a_process_that_ignores_the_polite_signal_is_killed_after_the_grace_period() -> None:
    with ProcessGroup() as group:
        process = group.start("stubborn", ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"])
        wait_until(lambda: "ready" in process.tail(), "the trap to be set")
        process.stop(grace_seconds=0.3)
        assert process.exit_status == -signal.SIGKILL


def test_the_output_of_all_runs_is_in_one_log() -> None:
    with ProcessGroup() as group:
        process = group.start("speaker", ["sh", "-c", "echo out; echo err >&2"])
        process.wait()
        process.start()
        process.wait()
        assert process.tail() == "out\nerr\nout\nerr"


def test_a_program_that_is_not_there_is_named() -> None:
    with ProcessGroup() as group, pytest.raises(SetupError, match=r"ghost does not start: .*no-such-program"):
        group.start("ghost", ["no-such-program"])


def test_a_command_that_fails_shows_itself_and_the_end_of_its_output() -> None:
    with ProcessGroup() as group, pytest.raises(SetupError, match=r"(?s)sh -c .*ended with status 3:\nno luck"):
        group.run("unlucky", ["sh", "-c", "echo no luck; exit 3"])
