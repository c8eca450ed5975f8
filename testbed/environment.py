"""Sets up `.venv` with everything that the project needs, from the lock files; the Makefile runs it.

Runs with the system's Python, before anything is installed, so it uses the standard library alone.
"""

import sys
from pathlib import Path

from testbed.errors import SetupError
from testbed.processes import ProcessGroup
from testbed.progress import say, ticking

_ROOT = Path(__file__).parent.parent
_LOCKS = ("dev", "build")


def set_up(folder: Path) -> None:
    """Create the virtual environment, or bring an existing one up to date.

    Raises:
        SetupError: Python can't make virtual environments, or pip failed; the message has pip's last lines.
    """
    python = folder / "bin" / "python"
    with ProcessGroup(prefix="pilotage-setup-") as group:
        if not _runs(group, python):
            with ticking(f"creating {folder.name} with Python {sys.version.split()[0]}"):
                group.run("venv", [sys.executable, "-m", "venv", "--clear", folder])
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
        locks = [argument for name in _LOCKS for argument in ("-r", str(_ROOT / "requirements" / f"{name}.txt"))]
        with ticking("installing the packages that requirements/ pins (1 to 2 minutes)"):
            group.run("pip", [*pip, "--require-hashes", *locks])
        with ticking("installing pilotage itself"):
            group.run("pip-pilotage", [*pip, "--no-deps", "--no-build-isolation", "-e", _ROOT])


def _runs(group: ProcessGroup, python: Path) -> bool:
    """Tell whether there is an environment whose Python is still there and new enough."""
    try:
        group.run("python", [python, "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"])
    except SetupError:
        return False
    return True


if __name__ == "__main__":
    try:
        set_up(_ROOT / ".venv")
    except SetupError as failure:
        say(f"{failure}\n(if `ensurepip` is missing: on Debian and Ubuntu, install python3-venv)")
        sys.exit(1)
