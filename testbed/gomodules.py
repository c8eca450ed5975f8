"""Builds programs from our Go modules into the cache: once, at once for several callers, with progress shown.

The modules in `modules/` pin every version with go.sum. A built program is stored under a name that contains a hash of
what it is made of, so a changed pin is a new file and an old one is never wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed import cache, gotoolchain
from testbed.processes import ProcessGroup
from testbed.progress import say, ticking

_MODULES = Path(__file__).with_name("modules")
_STRIP = "-s -w"
# Helm and kubectl refuse a server whose version they can't parse, and only the linker can set it.
_VERSION = "k8s.io/component-base/version"
_STAMP = f"{_STRIP} -X {_VERSION}.gitVersion=v1.36.3 -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36"


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module of ours.

    Attributes:
        folder: where its go.mod is.
        packages: for each program, the Go package that it is built from.
        minutes: for each program, how long its first build takes on 2 cores (measured; with what it shares built).
        linker_flags: for `-ldflags`.
    """

    folder: Path
    packages: Mapping[str, str]
    minutes: Mapping[str, float]
    linker_flags: str = _STRIP

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    def cached(self, program: str) -> Path:
        """Return the path in the cache where this program is, or will be once it is built."""
        files = [self.folder / "go.mod", self.folder / "go.sum", *(self.folder / "cmd").glob(f"{program}/*.go")]
        return cache.root() / f"{program}-{cache.key(files, self.packages[program], self.linker_flags)}"


_COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")

MODULES = (
    Module(
        _MODULES / "controlplane",
        {name: f"./cmd/{name}" for name in _COMPONENTS},
        {
            "etcd": 1.0,
            "kube-apiserver": 5.0,
            "kube-controller-manager": 1.0,
            "kube-scheduler": 0.3,
            "kubectl": 0.5,
        },
        _STAMP,
    ),
    Module(_MODULES / "kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, {"kwok": 2.8}),
    Module(_MODULES / "helm", {"helm": "helm.sh/helm/v4/cmd/helm"}, {"helm": 3.6}),
    Module(
        _MODULES / "prometheus", {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"}, {"prometheus": 7.0}
    ),
)


def module_of(program: str) -> Module:
    """Return the module that a program is built from."""
    return next(module for module in MODULES if program in module.packages)


def build(module: Module, programs: Sequence[str]) -> dict[str, Path]:
    """Build these programs of a module, as far as the cache lacks them, and return their paths.

    Safe when two processes do it at once: the second waits for the first and then finds everything built.

    Raises:
        SetupError: there is no Go and none can be fetched, or the build failed.
    """
    paths = {program: module.cached(program) for program in programs}
    if all(path.exists() for path in paths.values()):
        return paths
    with cache.lock(module.name, say):
        missing = [program for program, path in paths.items() if not path.exists()]
        if missing:
            _compile(module, missing)
    return paths


def _compile(module: Module, programs: Sequence[str]) -> None:
    go = gotoolchain.find() or gotoolchain.bring()
    packages = [module.packages[program] for program in programs]
    with (
        ProcessGroup(prefix="build-", parent=cache.root()) as group,
        ticking(f"building {', '.join(programs)}"),
    ):
        output = group.directory / "programs"
        output.mkdir()
        flags = ["-mod=readonly", "-trimpath", "-ldflags", module.linker_flags, "-o", f"{output}/"]
        command: list[str | Path] = [go, "-C", module.folder, "build", *flags, *packages]
        group.run("go-build", command, env={**gotoolchain.STEADY, "CGO_ENABLED": "0"})
        for program in programs:
            # Moved only when complete: whoever finds the file can run it.
            (output / program).replace(module.cached(program))
