"""The folder outside the checkout where built and fetched programs stay, and the lock that keeps builders apart."""

import fcntl
import hashlib
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """Return the testbed's cache folder: `$XDG_CACHE_HOME/pilotage/testbed`, else `~/.cache/pilotage/testbed`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pilotage" / "testbed"


def key(files: Iterable[Path], *words: str) -> str:
    """Return a short hash of these files' names and contents, these words and the kind of machine."""
    digest = hashlib.sha256()
    for part in (platform.system(), platform.machine(), *words):
        digest.update(part.encode() + b"\0")
    for file in sorted(files):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@contextmanager
def lock(name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock `name`; another process that wants it waits, and says so.

    The kernel releases it when the holder dies, so a crashed build blocks nobody.
    """
    folder = root() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{name}: another process is building it, waiting for that")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
