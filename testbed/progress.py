"""Runs a long command and shows that it is still at work: what, for how long, and how long it may take."""

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed.errors import SetupError

_LINE_EVERY_SECONDS = 15.0


def say(text: str) -> None:
    """Print a line for people; to standard error, so that it never mixes with a command's output."""
    sys.stderr.write(f"testbed: {text}\n")
    sys.stderr.flush()


def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command to its end and return what it prints.

    Raises:
        SetupError: it failed; the message has the command and the end of its output.
    """
    with tempfile.TemporaryFile("w+") as output:
        try:
            status = subprocess.run(
                argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
            ).returncode
        except OSError as error:
            msg = f"{argv[0]} does not start: {error}"
            raise SetupError(msg) from error
        output.seek(0)
        text = output.read()
    if status:
        last = "\n".join(text.splitlines()[-20:])
        msg = f"{' '.join(map(str, argv))}\nended with status {status}:\n{last}"
        raise SetupError(msg)
    return text


@contextmanager
def ticking(what: str) -> Iterator[None]:
    """Show `what` and the elapsed time while the body runs: in place on a terminal, else a line every 15 s."""
    started = time.monotonic()
    done = threading.Event()
    tick = _tick_in_place if sys.stderr.isatty() else _tick_by_lines
    ticker = threading.Thread(target=tick, args=(what, started, done), daemon=True)
    ticker.start()
    finished = False
    try:
        yield
        finished = True
    finally:
        done.set()
        ticker.join()
        say(f"{what}: {'done' if finished else 'stopped'} after {_elapsed(started)}")


def _tick_in_place(what: str, started: float, done: threading.Event) -> None:
    while not done.wait(1):
        sys.stderr.write(f"\rtestbed: {what} ... {_elapsed(started)} ")
        sys.stderr.flush()
    sys.stderr.write("\r\033[K")


def _tick_by_lines(what: str, started: float, done: threading.Event) -> None:
    say(f"{what} ...")
    while not done.wait(_LINE_EVERY_SECONDS):
        say(f"{what} ... {_elapsed(started)}")


def _elapsed(started: float) -> str:
    seconds = int(time.monotonic() - started)
    return f"{seconds // 60} min {seconds % 60:02} s" if seconds >= 60 else f"{seconds} s"  # noqa: PLR2004 - seconds a minute
