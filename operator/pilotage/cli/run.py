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
        metavar="HOST:PORT",
        help="asked whether a decision is in force; without it, what is written counts as in force",
    )
    flags.add_argument("--flag-service-ca", type=Path, metavar="FILE", help="certificates to trust; without it, no TLS")
    flags.add_argument(
        "--flag-service-token-file", type=Path, metavar="FILE", help="bearer token to send; read anew for each request"
    )
    lease = parser.add_argument_group("leader election")
    default = "(default: %(default)s)"
    lease.add_argument("--lease-namespace", default=options.default_namespace(), metavar="NAME", help=default)
    lease.add_argument("--lease-name", default="pilotage-operator", metavar="NAME", help=default)
    lease.add_argument("--identity", default=options.default_identity(), metavar="NAME", help=default)
    options.add_process(parser, http_port=8080)
    parser.add_argument("--workers", type=int, default=64, metavar="N", help="runs at once (default: %(default)s)")


def execute(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    from pilotage.cli.operate import operate  # noqa: PLC0415 - all of the operator: only this command needs it

    return asyncio.run(operate(arguments))
