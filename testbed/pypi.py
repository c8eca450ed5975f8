"""Brings programs that the machine lacks from Python packages, pinned by hash in `requirements/`."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from testbed import cache
from testbed.errors import SetupError
from testbed.progress import run, ticking

_REQUIREMENTS = Path(__file__).parent.parent / "requirements"


def folder(name: str) -> Path:
    """Return the folder in the cache that `requirements/<name>.txt` is (or will be) installed into."""
    return cache.root() / f"{name}-{cache.key([_REQUIREMENTS / f'{name}.txt'])}"


def install(name: str, *, remedy: str) -> None:
    """Install `requirements/<name>.txt` into its folder; the caller holds the lock.

    Raises:
        SetupError: pip failed; the message ends with the remedy.
    """
    target = folder(name)
    cache.root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pip-", dir=cache.root()) as temporary, ticking(f"fetching {name}"):
        staging = Path(temporary) / name
        requirements = _REQUIREMENTS / f"{name}.txt"
        command = [sys.executable, "-m", "pip", "install", "--require-hashes", "--no-deps", "--only-binary=:all:"]
        try:
            run([*command, "--target", staging, "-r", requirements], env={**os.environ, "PIP_NO_INPUT": "1"})
        except SetupError as error:
            msg = f"{name} is missing and its Python package can't be installed: {remedy}.\n{error}"
            raise SetupError(msg) from error
        shutil.rmtree(target, ignore_errors=True)
        staging.replace(target)
