"""Run the operator: watch all PilotRollouts, judge them, and bring the decisions about. Start several: one leads."""

import argparse
import asyncio
from pathlib import Path

from pilotage.cli import options

HELP = "run the operator"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pilotage run`."""
    options.add_cluster(parser)
    options.add_prometheus(parser)
    flags = parser.add_argument_group("flag service")
    flags.add_argument(
        "--flag-service",
        type=options.address,
        metavar="HOST:PORT",
        help="where to ask whether a decision is in force; without it, what was written counts as in force",
    )
    flags.add_argument(
        "--flag-service-ca", type=Path, metavar="FILE", help="certificates to trust; without them, no TLS"
    )
    flags.add_argument(
        "--flag-service-token-file",
        type=Path,
        metavar="FILE",
        help="holds the bearer token to send; read anew for each request",
    )
    lease = parser.add_argument_group("leader election")
    default = "(default: %(default)s)"
    lease.add_argument(
        "--lease-namespace", default=options.default_namespace(), metavar="NAME", help=f"where the Lease is {default}"
    )
    lease.add_argument(
        "--lease-name", default="pilotage-operator", metavar="NAME", help=f"the Lease whose holder leads {default}"
    )
    lease.add_argument(
        "--identity", default=options.default_identity(), metavar="NAME", help=f"name of this replica {default}"
    )
    tenants = parser.add_argument_group("tenants")
    options.add_tenant_roles(tenants)
    tenants.add_argument(
        "--tenant-label",
        type=options.label,
        default="",
        metavar="LABEL",
        help="label of all series that has their namespace's name, such as namespace: rollouts' own PromQL is kept to"
        " their namespace by it; without it, only where a TenantQuota says so",
    )
    _add_record(parser)
    _add_limits(parser)
    options.add_process(parser, http_port=8080)
    parser.add_argument("--workers", type=int, default=1024, metavar="N", help=f"rollouts to work on at once {default}")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    limits = parser.add_argument_group("limits")
    limits.add_argument(
        "--max-advancing",
        type=options.natural,
        default=0,
        metavar="N",
        help="rollouts that advance at once in the cluster, with users in a step that is not proven; 0 for any number"
        " (default: %(default)s)",
    )


def _add_record(parser: argparse.ArgumentParser) -> None:
    default = "(default: %(default)s)"
    record = parser.add_argument_group("record", "Every decision goes to standard output, as a CloudEvent a line.")
    record.add_argument("--record", type=Path, metavar="FILE", help="append them to this file as well, each once")
    record.add_argument(
        "--record-rotate-mebibytes",
        type=options.natural,
        default=64,
        metavar="N",
        help=f"begin a new part of the file at this size; 0 for never {default}",
    )
    record.add_argument(
        "--record-keep", type=options.natural, default=20, metavar="N", help=f"older parts to keep {default}"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    from pilotage.cli.operate import operate  # noqa: PLC0415 - all of the operator: only this command needs it

    return asyncio.run(operate(arguments))
