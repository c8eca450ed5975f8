"""Shows people that a long piece of work goes on: what it is, and for how long it has been at it."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_LINE_EVERY_SECONDS = 15.0


def say(text: str) -> None:
    """Print a line for people; to standard error, so that it never mixes with a command's output."""
    sys.stderr.write(f"testbed: {text}\n")
    sys.stderr.flush()


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
