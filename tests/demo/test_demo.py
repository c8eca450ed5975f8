"""The demo itself, as `make demo` runs it: the story happens, the report tells it, nothing is left running."""

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.cluster("etcd", "kube-apiserver", "kubectl", "prometheus"), pytest.mark.timeout(300)]


class Demo:
    """A run of the demo, with a mark in its environment by which all of its processes are found."""

    def __init__(self, folder: Path) -> None:
        self.report = folder / "report.html"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._mark = uuid.uuid4().hex
        self._process = subprocess.Popen(
            [sys.executable, "-m", "examples.shop.demo", f"--report={self.report}"],
            cwd=ROOT,
            env={**os.environ, "DEMO_MARK": self._mark, "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read_until(self, text: str) -> None:
        """Read what it prints up to a line with this text."""
        assert self._process.stdout
        lines: list[str] = []
        for line in self._process.stdout:
            lines.append(line)
            if text in line:
                return
        pytest.fail(f"the demo ended without saying {text!r}:\n{''.join(lines)}")

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Wait for its end; exit status and the rest of what it printed."""
        output, _ = self._process.communicate(timeout=280)
        return self._process.returncode, output

    def processes(self) -> list[psutil.Process]:
        """What runs of it, children and grandchildren included."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("DEMO_MARK") == self._mark and process.status() != psutil.STATUS_ZOMBIE
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            return False

    def left(self) -> list[str]:
        """What is left of it: processes and temporary files."""
        running = [" ".join(process.cmdline()) for process in self.processes()]
        return running + [str(path) for path in self.temporary.iterdir()]

    def assert_nothing_is_left(self) -> None:
        """The watchers of the process groups end a moment after the demo."""
        deadline = time.monotonic() + 10
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert self.left() == []


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    started = Demo(tmp_path)
    yield started
    for process in started.processes():
        process.kill()


def test_the_story_happens_and_the_report_tells_it_and_nothing_is_left_running(demo: Demo) -> None:
    status, output = demo.end()
    assert status == 0, output
    assert re.search(r"fault -> decision to roll back +\d", output)
    assert str(demo.report) in output
    page = demo.report.read_text()
    for decision in ("Start", "Advance", "Complete", "RollBack", "RolledBack"):
        assert f'<td class="action">{decision}</td>' in page
    for step in ("week-1", "week-2", "week-3", "week-4", "limited", "everyone", "phones", "tenth"):
        assert f"<td>{step}</td>" in page
    assert page.count("<svg") == 2
    assert "the treatment starts to fail (20% errors)" in page
    demo.assert_nothing_is_left()


def test_an_interrupted_demo_leaves_nothing_running(demo: Demo) -> None:
    demo.read_until("semantic-search: Start")
    assert len(demo.processes()) > 6
    demo.interrupt()
    status, output = demo.end()
    assert (status, "Interrupted; everything was ended." in output) == (130, True), output
    demo.assert_nothing_is_left()


def test_a_demo_whose_operator_dies_fails_and_says_so(demo: Demo) -> None:
    demo.read_until("semantic-search: Start")
    next(process for process in demo.processes() if process.cmdline()[2:4] == ["pilotage", "run"]).kill()
    status, output = demo.end()
    assert status == 1, output
    assert "The story did not happen: operator ended with status -9" in output
    demo.assert_nothing_is_left()
