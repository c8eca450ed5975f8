"""Brings Prometheus from the Debian or Ubuntu archive: without root, without installing, within seconds.

Only the package's file is downloaded (apt checks its signature as always) and unpacked; no service is set up, nothing
outside the cache changes.
"""

import shutil
from pathlib import Path

from testbed import cache
from testbed.errors import SetupError
from testbed.processes import ProcessGroup
from testbed.progress import say, ticking


def fetch_prometheus(target: Path) -> bool:
    """Put the archive's Prometheus at `target`; return False, having said why, where that does not work."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return False
    try:
        with (
            ProcessGroup(prefix="apt-", parent=cache.root()) as group,
            ticking("fetching prometheus from the Debian archive"),
        ):
            program = _unpack(group)
            group.run("prometheus", [program, "--version"])
            program.replace(target)
    except SetupError as error:
        say(f"the Debian package of Prometheus is of no use here: {error}")
        return False
    return True


def _unpack(group: ProcessGroup) -> Path:
    folder = group.directory
    lists, archives = folder / "lists", folder / "cache"
    for partial in (lists / "partial", archives / "archives" / "partial"):
        partial.mkdir(parents=True)
    options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={archives}"]
    # As root, apt would download as a user of its own, who can't write here, and warn of that.
    options += ["-o", "APT::Sandbox::User=root"]
    group.run("apt-get-update", ["apt-get", *options, "update"], cwd=folder)
    group.run("apt-get-download", ["apt-get", *options, "download", "prometheus"], cwd=folder)
    package = next(folder.glob("prometheus_*.deb"), None)
    if package is None:
        msg = "apt-get downloaded no file named prometheus_*.deb"
        raise SetupError(msg)
    group.run("dpkg-deb", ["dpkg-deb", "-x", package, folder / "unpacked"])
    return folder / "unpacked" / "usr" / "bin" / "prometheus"
