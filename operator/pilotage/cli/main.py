"""The command line's entry. What a command needs is imported when it runs, so that `--help` is quick and light."""

import argparse
import sys
from collections.abc import Sequence

from pilotage import __version__
from pilotage.cli import backtest, explain, flags, imports, report, run

_COMMANDS = {"run": run, "flags": flags, "report": report, "explain": explain, "backtest": backtest, "import": imports}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0 well, 1 failed, 2 misused."""
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.execute(parsed))
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pilotage",
        description="Let features reach real users step by step, judge every step, and take back what breaks.",
    )
    parser.add_argument("--version", action="version", version=f"pilotage {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in _COMMANDS.items():
        added = commands.add_parser(name, help=command.HELP, description=command.__doc__)
        command.add_arguments(added)
        added.set_defaults(execute=command.execute)
    return parser


if __name__ == "__main__":
    sys.exit(main())
