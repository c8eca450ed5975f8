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
    options.add_process(parser, http_port=8080)
    parser.add_argument("--workers", type=int, default=64, metavar="N", help=f"rollouts to work on at once {default}")


def execute(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    from pilotage.cli.operate import operate  # noqa: PLC0415 - all of the operator: only this command needs it

    return asyncio.run(operate(arguments))
