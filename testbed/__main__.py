"""The testbed's commands: `python -m testbed cluster | build | doctor`."""

import argparse
import signal
import sys
import time

from testbed import binaries, cache, gomodules, gotoolchain
from testbed.cluster import Cluster
from testbed.controlplane import ALL_COMPONENTS
from testbed.errors import SetupError
from testbed.processes import Process
from testbed.progress import say
from testbed.prometheus import start_prometheus
from testbed.providers import choose, open_cluster

_EPILOG = """
CLUSTER chooses where the cluster comes from: `current` (the current kubeconfig, used as it is), `kind`, `testbed`;
unset, kind is used where a Docker engine answers and kind is on PATH, else the testbed's own control plane.
KUBEBUILDER_ASSETS names a folder with etcd, kube-apiserver and kubectl to use; what it lacks is built.
"""


def main() -> int:
    """Run one command; return its exit status."""
    arguments = _parser().parse_args()
    # A job control system ends with SIGTERM what a person ends with Ctrl-C: both shall clean up alike.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if arguments.command == "cluster":
            return _cluster(arguments.components, prometheus=arguments.prometheus)
        if arguments.command == "build":
            return _build(arguments.programs or list(binaries.PROGRAMS))
        return _doctor()
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("stopped")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m testbed",
        description="A real Kubernetes control plane and Prometheus on loopback, without Docker.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    cluster = commands.add_parser("cluster", help="start a cluster, print how to use it, and keep it until Ctrl-C")
    cluster.add_argument(
        "--components",
        type=lambda text: tuple(filter(None, text.split(","))),
        default=ALL_COMPONENTS,
        help=f"comma-separated; etcd and kube-apiserver always run (default: {','.join(ALL_COMPONENTS)})",
    )
    cluster.add_argument("--prometheus", action="store_true", help="start a Prometheus too")
    build = commands.add_parser("build", help="build or fetch programs into the cache, as far as they are missing")
    build.add_argument(
        "programs", nargs="*", metavar="PROGRAM", help=f"some of {', '.join(binaries.PROGRAMS)} (default: all)"
    )
    commands.add_parser("doctor", help="say what is found where, and what would be built or fetched")
    return parser


def _cluster(components: tuple[str, ...], *, prometheus: bool) -> int:
    with open_cluster(components, echo=say) as cluster:
        processes, instructions = dict(cluster.components), _instructions(cluster)
        if not prometheus:
            _watch(processes, instructions)
            return 0
        with start_prometheus() as server:
            instructions += f"Prometheus: {server.url}  (targets: {server.directory / 'targets.json'})\n"
            _watch(processes | {"prometheus": server.process}, instructions)
    return 0


def _instructions(cluster: Cluster) -> str:
    return f"""
  export KUBECONFIG={cluster.kubeconfig}
  {cluster.kubectl_path} get namespaces
  {cluster.kubectl_path} apply --server-side -f crds/

API server: {cluster.server}
Logs:       {cluster.directory}/*.log
Ctrl-C ends it and removes all of it.
"""


def _watch(processes: dict[str, Process], instructions: str) -> None:
    """Print the instructions, and stay until Ctrl-C; say it when a process ends.

    From the instructions on, Ctrl-C is the end that they name, and no failure.
    """
    try:
        sys.stdout.write(instructions)
        sys.stdout.flush()
        while True:
            for name, process in list(processes.items()):
                if not process.running:
                    say(f"{name} ended with status {process.exit_status}; the last it said:\n{process.tail()}")
                    del processes[name]
            time.sleep(1)
    except KeyboardInterrupt:
        say("stopping")


def _build(programs: list[str]) -> int:
    for program, path in binaries.provide(programs).items():
        sys.stdout.write(f"{program:<24} {path}\n")
    return 0


def _doctor() -> int:
    for program in binaries.PROGRAMS:
        found = binaries.find(program)
        minutes = gomodules.module_of(program).minutes[program]
        text = f"{found.path}  ({found.source})" if found else f"missing: {_remedy(program, minutes)}"
        sys.stdout.write(f"{program:<24} {text}\n")
    go = gotoolchain.find()
    sys.stdout.write(f"{'go':<24} {go or 'missing: fetched from its Python package when something is built'}\n")
    sys.stdout.write(f"{'cache':<24} {cache.root()}\n")
    sys.stdout.write(f"{'provider':<24} {choose()}\n")
    return 0


def _remedy(program: str, minutes: float) -> str:
    if program in binaries.FETCHED:
        return f"fetched from {binaries.FETCHED[program]} within seconds, or built (about {minutes:g} min)"
    return f"built from source, about {minutes:g} min on 2 cores"


if __name__ == "__main__":
    sys.exit(main())
