"""Run the flag service: it streams the flags of each namespace to the applications there. Start several: all serve."""

import argparse
import asyncio
from pathlib import Path

from pilotage.cli import options

HELP = "run the flag service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pilotage flags`."""
    options.add_cluster(parser)
    group = parser.add_argument_group("flagd.sync.v1")
    default = "(default: %(default)s)"
    group.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help=f"address to listen on {default}")
    group.add_argument(
        "--port", type=int, default=8015, metavar="PORT", help=f"port to listen on; 0 takes a free one {default}"
    )
    group.add_argument(
        "--tls-cert",
        type=Path,
        metavar="FILE",
        help="certificate chain to show; read again when it changes; without it, no TLS",
    )
    group.add_argument("--tls-key", type=Path, metavar="FILE", help="private key of --tls-cert")
    group.add_argument(
        "--operator-service-account",
        default="",
        metavar="NAMESPACE:NAME",
        help="the operator: it may read the flags of every namespace, others read those of their own",
    )
    group.add_argument(
        "--no-authentication",
        action="store_true",
        help="let callers read any namespace's flags by naming it; for development only",
    )
    options.add_process(parser, http_port=8081)


def execute(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    from pilotage.cli.serve import serve_flags  # noqa: PLC0415 - gRPC and more: only this command needs it

    return asyncio.run(serve_flags(arguments))
