"""Brings Prometheus from the Debian or Ubuntu archive: without root, without installing, within seconds.

Only the package's file is downloaded (apt checks its signature as always) and unpacked; no service is set up, nothing
outside the cache changes.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from testbed import cache
from testbed.errors import SetupError
from testbed.progress import run, say, ticking


def fetch_prometheus(target: Path) -> bool:
    """Put the archive's Prometheus at `target`; return False, having said why, where that does not work."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return False
    try:
        with (
            tempfile.TemporaryDirectory(prefix="apt-", dir=cache.root()) as folder,
            ticking("fetching prometheus from the Debian archive"),
        ):
            program = _unpack(Path(folder))
            run([program, "--version"])
            program.replace(target)
    except SetupError as error:
        say(f"the Debian package of Prometheus is of no use here: {error}")
        return False
    return True


def _unpack(folder: Path) -> Path:
    lists, archives = folder / "lists", folder / "cache"
    for partial in (lists / "partial", archives / "archives" / "partial"):
        partial.mkdir(parents=True)
    options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={archives}", "-o", "APT::Sandbox::User=root"]
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", *options, "update"], cwd=folder, env=quiet)
    run(["apt-get", *options, "download", "prometheus"], cwd=folder, env=quiet)
    package = next(folder.glob("prometheus_*.deb"), None)
    if package is None:
        msg = "apt-get downloaded no file named prometheus_*.deb"
        raise SetupError(msg)
    run(["dpkg-deb", "-x", package, folder / "unpacked"], cwd=folder)
    return folder / "unpacked" / "usr" / "bin" / "prometheus"


def runs(program: Path) -> bool:
    """Tell whether the program starts on this machine."""
    try:
        return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
