"""Explain a rollout: where it stands, on what evidence, what would change it, and what its steps can prove.

With -f, explain a plan before it is applied: no cluster is asked.
"""

import argparse
import asyncio
import json
import sys
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path

from pilotage.cli import options

HELP = "explain where a rollout stands, or what a plan can prove"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pilotage explain`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = (
        "examples:\n  pilotage explain semantic-search -n shop\n"
        "  pilotage explain -f rollout.yaml --requests-per-second 2 --baseline 0.1%"
    )
    parser.add_argument("rollout", nargs="?", metavar="ROLLOUT", help="name of the PilotRollout, or NAMESPACE/NAME")
    parser.add_argument("-n", "--namespace", metavar="NAME", help="its namespace (default: default)")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form (default: %(default)s)")
    options.add_cluster(parser)
    plan = parser.add_argument_group("a plan")
    plan.add_argument(
        *("-f", "--file"),
        type=Path,
        action="append",
        metavar="FILE",
        help="YAML with the PilotRollout, and with the IndicatorTemplates that it names; may be given again",
    )
    plan.add_argument("--requests-per-second", type=_positive, metavar="N", help="that all users make together")
    plan.add_argument(
        "--baseline", type=_ratio, metavar="RATIO", help="errors of the service itself, such as 0.1%% (default: none)"
    )
    plan.add_argument("--population", type=int, metavar="N", help="users in all, where the plan does not say it")


def execute(arguments: argparse.Namespace) -> int:
    """Print the explanation."""
    if bool(arguments.rollout) == bool(arguments.file):
        return _misused("name a rollout of the cluster, or give the file of a plan with -f")
    assumptions = (arguments.requests_per_second, arguments.baseline, arguments.population)
    if arguments.rollout and any(given is not None for given in assumptions):
        return _misused("what is assumed goes with -f: the operator counts requests of a rollout itself")
    if arguments.file:
        return _explain_plan(arguments)
    namespace, slash, name = arguments.rollout.rpartition("/")
    if not name or (slash and not namespace) or "/" in namespace or (namespace and arguments.namespace):
        return _misused(f"{arguments.rollout!r}: write NAME and -n NAMESPACE, or NAMESPACE/NAME")
    return asyncio.run(_explain_rollout(arguments, namespace or arguments.namespace or "default", name))


def _misused(message: str) -> int:
    print(message, file=sys.stderr)
    return 2


async def _explain_rollout(arguments: argparse.Namespace, namespace: str, name: str) -> int:
    from pilotage.cli.report import explained  # noqa: PLC0415 - heavy: only this command needs them
    from pilotage.kube import Kube, KubeError  # noqa: PLC0415
    from pilotage.reports.explanation import as_document, explain  # noqa: PLC0415
    from pilotage.resources.rollout import PilotRollout  # noqa: PLC0415

    try:
        async with await Kube.connect(arguments.kubeconfig) as kube:
            rollout = PilotRollout.model_validate(await kube.get(PilotRollout.path(namespace, name)))
    except KubeError as error:
        print(f"can't explain: {explained(error.reason, namespace, name) or error}", file=sys.stderr)
        return 1
    if arguments.output == "json":
        print(json.dumps(as_document(rollout), indent=2, ensure_ascii=False))
    else:
        print(explain(rollout, datetime.now(UTC)), end="")
    return 0


def _explain_plan(arguments: argparse.Namespace) -> int:
    from pilotage.backtest.manifests import ManifestError, read_manifests  # noqa: PLC0415 - heavy
    from pilotage.reports.prospect import Assumed, look_ahead, prospect_document, write_prospect  # noqa: PLC0415

    try:
        found = read_manifests([(str(file), file.read_text(encoding="utf-8")) for file in arguments.file])
    except (ManifestError, OSError, UnicodeError) as error:
        return _misused(f"can't explain: {error}")
    if not found.rollouts:
        return _misused(f"can't explain: there is no PilotRollout in {', '.join(map(str, arguments.file))}")
    assumed = Assumed(arguments.requests_per_second, arguments.baseline or 0.0, arguments.population)
    prospects = [look_ahead(rollout, found.templates, assumed) for rollout in found.rollouts]
    if arguments.output == "json":
        documents = [prospect_document(one) for one in prospects]
        print(json.dumps(documents if len(documents) > 1 else documents[0], indent=2, ensure_ascii=False))
    else:
        print("\n".join(write_prospect(one) for one in prospects), end="")
    return 1 if any(one.problem for one in prospects) else 0


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not (isfinite(value) and value > 0):
        msg = f"{text!r} is no number above 0"
        raise argparse.ArgumentTypeError(msg)
    return value


def _ratio(text: str) -> float:
    """`0.1%` or `0.001`.

    Raises:
        ArgumentTypeError: it is something else, or no share of requests.
    """
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        msg = f"{text!r} is no ratio of errors, such as 0.1%"
        raise argparse.ArgumentTypeError(msg)
    return value
