"""Brings programs that the machine lacks from Python packages, pinned by hash in `requirements/`."""

import sys
from pathlib import Path

from testbed import cache
from testbed.errors import SetupError
from testbed.processes import ProcessGroup
from testbed.progress import ticking

_REQUIREMENTS = Path(__file__).parent.parent / "requirements"


def folder(name: str) -> Path:
    """Return the folder in the cache that `requirements/<name>.txt` is (or will be) installed into."""
    return cache.root() / f"{name}-{cache.key([_REQUIREMENTS / f'{name}.txt'])}"


def install(name: str, *, remedy: str) -> None:
    """Install `requirements/<name>.txt` into its folder; the caller holds the lock.

    Raises:
        SetupError: pip failed; the message ends with the remedy.
    """
    cache.root().mkdir(parents=True, exist_ok=True)
    with ProcessGroup(prefix="pip-", parent=cache.root()) as group, ticking(f"fetching {name}"):
        staging = group.directory / name
        command = [sys.executable, "-m", "pip", "install", "--require-hashes", "--no-deps", "--only-binary=:all:"]
        try:
            group.run("pip", [*command, "--target", staging, "-r", _REQUIREMENTS / f"{name}.txt"])
        except SetupError as error:
            msg = f"{name} is missing and its Python package can't be installed: {remedy}.\n{error}"
            raise SetupError(msg) from error
        staging.replace(folder(name))
