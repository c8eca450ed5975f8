"""Write the report of one rollout: exposure and indicators over time, with the decisions marked, as one HTML file."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from pilotage.cli import options

HELP = "write a rollout's report as HTML"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pilotage report`."""
    parser.add_argument("rollout", metavar="NAMESPACE/NAME", help="the PilotRollout")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the HTML file to write")
    options.add_cluster(parser)
    options.add_prometheus(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Write the report and print where it is."""
    namespace, slash, name = arguments.rollout.partition("/")
    if not (namespace and slash and name):
        print(f"{arguments.rollout!r} is not NAMESPACE/NAME", file=sys.stderr)
        return 2
    return asyncio.run(_write(arguments, namespace, name))


async def _write(arguments: argparse.Namespace, namespace: str, name: str) -> int:
    from pilotage.kube import Kube, KubeError  # noqa: PLC0415 - heavy: only this command needs it
    from pilotage.metrics.source import PrometheusSource  # noqa: PLC0415
    from pilotage.reports.command import write_report  # noqa: PLC0415 - draws, an optional extra

    source = PrometheusSource(
        arguments.prometheus, token_file=arguments.prometheus_token_file, ca_file=arguments.prometheus_ca_file
    )
    try:
        kube = await Kube.connect(arguments.kubeconfig)
        try:
            await write_report(
                kube, source.ask, namespace=namespace, name=name, output=arguments.output, now=datetime.now(UTC)
            )
        finally:
            await kube.close()
    except KubeError as error:
        print(f"no report was written: {_explained(error.reason, namespace, name) or error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"no report was written: {error}", file=sys.stderr)
        return 1
    finally:
        await source.close()
    print(arguments.output)
    return 0


def _explained(reason: str, namespace: str, name: str) -> str:
    """The remedy where it is a person's; empty where the error says enough."""
    match reason:
        case "NoConfiguration":
            return "no cluster is known: give --kubeconfig, or set KUBECONFIG"
        case "NotFound":
            return f"there is no PilotRollout {name} in the namespace {namespace}"
        case "Forbidden":
            return f"you may not read PilotRollouts in the namespace {namespace}"
    return ""
