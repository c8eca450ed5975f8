"""Write a report: of one rollout, of what tenants are charged with, or of how the platform is governed."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from pilotage.cli import options, report_chargeback, report_governance
from pilotage.cli.report_tenants import NO_CLUSTER

HELP = "write a report of a rollout, of cost (chargeback) or of all tenants (governance)"

_KINDS = {"chargeback": report_chargeback.execute, "governance": report_governance.execute}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pilotage report`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "examples:\n  pilotage report shop/semantic-search --output report.html --prometheus http://localhost:9090\n"
        "  pilotage report chargeback --month 2026-11 --format csv > november.csv\n"
        "  pilotage report governance --format html --output governance.html"
    )
    parser.add_argument(
        "subject", metavar="NAMESPACE/NAME | chargeback | governance", help="the PilotRollout, or the kind of report"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="the file to write (a rollout's must be named)")
    options.add_cluster(parser)
    options.add_prometheus(parser, required=False)
    tenants = parser.add_argument_group("chargeback and governance")
    tenants.add_argument("--month", metavar="YYYY-MM", help="month in UTC (default: this one)")
    tenants.add_argument(
        "--format", choices=("csv", "json", "markdown", "html"), help="csv or json lines; markdown or html"
    )
    tenants.add_argument(
        "--accounts",
        default="pilotage-system",
        metavar="NAMESPACE",
        help="the operator's namespace, where it keeps the accounts (default: %(default)s)",
    )
    tenants.add_argument(
        "--organization", default="Platform", metavar="NAME", help="who bills, by name (default: %(default)s)"
    )
    options.add_tenant_roles(tenants)


def execute(arguments: argparse.Namespace) -> int:
    """Write the report and print where it is."""
    if arguments.subject in _KINDS:
        return _KINDS[arguments.subject](arguments)
    namespace, slash, name = arguments.subject.partition("/")
    if not (namespace and slash and name):
        return misused(f"{arguments.subject!r} is not NAMESPACE/NAME, chargeback or governance")
    if arguments.month or arguments.format:
        return misused("--month and --format are for chargeback and governance")
    missing = [option for option in ("output", "prometheus") if getattr(arguments, option) is None]
    if missing:
        return misused(f"a rollout's report needs --{' and --'.join(missing)}")
    return asyncio.run(_write(arguments, namespace, name))


def misused(message: str) -> int:
    """Say what is wrong with the options."""
    print(message, file=sys.stderr)
    return 2


async def _write(arguments: argparse.Namespace, namespace: str, name: str) -> int:
    from pilotage.kube import Kube, KubeError  # noqa: PLC0415 - heavy: only this command needs it
    from pilotage.metrics.source import PrometheusSource  # noqa: PLC0415
    from pilotage.reports.command import write_report  # noqa: PLC0415 - draws, an optional extra

    source = PrometheusSource(
        arguments.prometheus, token_file=arguments.prometheus_token_file, ca_file=arguments.prometheus_ca_file
    )
    try:
        async with await Kube.connect(arguments.kubeconfig) as kube:
            await write_report(
                kube, source.ask, namespace=namespace, name=name, output=arguments.output, now=datetime.now(UTC)
            )
    except KubeError as error:
        print(f"no report was written: {explained(error.reason, namespace, name) or error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"no report was written: {error}", file=sys.stderr)
        return 1
    finally:
        await source.close()
    print(arguments.output)
    return 0


def explained(reason: str, namespace: str, name: str) -> str:
    """The remedy where it is a person's; empty where the error says enough."""
    match reason:
        case "NoConfiguration":
            return NO_CLUSTER
        case "NotFound":
            return f"there is no PilotRollout {name} in the namespace {namespace}"
        case "Forbidden":
            return f"you may not read PilotRollouts in the namespace {namespace}"
    return ""
