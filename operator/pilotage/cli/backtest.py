"""Try a rollout's rules on recorded metrics: when would it have advanced, held, rolled back?

Replays the rollout over what Prometheus remembers, with the operator's own code, and changes nothing anywhere. Where
nobody had the feature yet, the service's own metrics stand for a healthy feature; started again and again over the
range, that shows how often the rules would have taken a healthy feature back, and how to set them so that they don't.
"""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pilotage.cli import options

HELP = "try a rollout's rules on recorded metrics"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pilotage backtest`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "exit status: 0 replayed (whatever the rollout would have done), 2 wrong input, 3 Prometheus can't be asked\n\n"
        "example:\n  pilotage backtest rollout.yaml --prometheus http://localhost:9090 --from 7d --report backtest.html"
    )
    parser.add_argument("rollout", type=Path, metavar="ROLLOUT.yaml", help="the PilotRollout, as it would be applied")
    _add_range(parser)
    _add_inputs(parser)
    _add_replays(parser)
    _add_output(parser)
    options.add_prometheus(parser, required=False)
    options.add_cluster(parser)


def _add_range(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("range")
    when = "a time such as 2026-03-02T09:00:00Z (UTC if no zone is given), or how long ago, such as 7d"
    group.add_argument("--from", dest="since", type=_moment, metavar="TIME", help=f"when to begin: {when}")
    group.add_argument(
        "--to", dest="until", type=_moment, metavar="TIME", help="when to end, alike (default: now, or the file's end)"
    )


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("input")
    group.add_argument(
        "--templates",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="YAML with the IndicatorTemplates (and the ConfigMap of users) that the rollout names, and with"
        " PilotIncidents of that time; templates and users that are in no file are read from the current cluster",
    )
    group.add_argument(
        "--users",
        type=Path,
        metavar="FILE",
        help='users of the directory as JSON: [{"key": "anna", "orders": 12}, ...]',
    )
    group.add_argument("--namespace", metavar="NAME", help="namespace of the rollout, where its file names none")
    group.add_argument(
        "--replay", type=Path, metavar="FILE", help="run from a file that --record wrote, without Prometheus"
    )


def _add_replays(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("replays")
    default = "(default: %(default)s)"
    group.add_argument(
        "--treatment",
        choices=("auto", "recorded", "healthy"),
        default="auto",
        help="whose metrics are the treatment's: its own as they were recorded, or a share of the service's, as if the"
        f" feature changed nothing; auto takes its own where there are any {default}",
    )
    group.add_argument(
        "--every",
        type=_duration,
        default=timedelta(hours=1),
        metavar="DURATION",
        help="start a healthy feature so often; 0s leaves that out (default: 1h)",
    )
    group.add_argument(
        "--follow",
        type=_duration,
        metavar="DURATION",
        help="follow each of these for so long at most (default: 1d; 1h where an objective is judged by its counts,"
        " which takes about a minute for a week)",
    )
    group.add_argument(
        "--delivery-delay",
        type=_duration,
        default=timedelta(0),
        metavar="DURATION",
        help="from a decision until its users have the feature (default: 0s)",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--format", choices=("text", "json"), default="text", help="of what is printed (default: %(default)s)"
    )
    group.add_argument("--report", type=Path, metavar="FILE.html", help="also write a page with plots")
    group.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        help="also write all that was fetched, to run from it again (JSON lines; gzipped if it ends with .gz)",
    )
    group.add_argument("--quiet", action="store_true", help="don't tell on stderr how far it is")


def execute(arguments: argparse.Namespace) -> int:
    """Replay, and print what would have happened."""
    from pilotage.cli.replay import run_backtest  # noqa: PLC0415 - all that judges: only this command needs it

    return run_backtest(arguments)


def _duration(text: str) -> timedelta:
    from pilotage.resources.durations import parse_duration  # noqa: PLC0415 - light, but of a room that isn't

    try:
        return timedelta(seconds=parse_duration(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _moment(text: str) -> datetime:
    """A time, or how long ago.

    Raises:
        ArgumentTypeError: it is neither.
    """
    if text == "now":
        return datetime.now(UTC)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        try:
            return datetime.now(UTC) - _duration(text)
        except (argparse.ArgumentTypeError, OverflowError):
            msg = f"{text!r} is neither a time such as 2026-03-02T09:00:00Z nor a duration such as 7d"
            raise argparse.ArgumentTypeError(msg) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
