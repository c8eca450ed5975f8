"""`pilotage report chargeback`: who is charged with what in a month, by day and meter, in FOCUS-shaped columns."""

import argparse
import asyncio
import sys

from pilotage.cli.report_tenants import NO_CLUSTER, month_of
from pilotage.tenancy.cost import Month


def execute(arguments: argparse.Namespace) -> int:
    """Write the rows to a file or to standard output; what a reader should know goes to standard error."""
    form = arguments.format or "csv"
    if form not in ("csv", "json"):
        print(f"chargeback is written as csv or json, not as {form}", file=sys.stderr)
        return 2
    try:
        month = month_of(arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(_write(arguments, month, form))


async def _write(arguments: argparse.Namespace, month: Month, form: str) -> int:
    from pilotage.kube import Kube, KubeError  # noqa: PLC0415 - heavy: only this command needs it
    from pilotage.reports.chargeback import Organization  # noqa: PLC0415
    from pilotage.reports.chargeback_command import NoAccountsError, chargeback  # noqa: PLC0415
    from pilotage.tenancy.accounts import AccountError  # noqa: PLC0415

    name = arguments.organization
    organization = Organization(id=name.lower().replace(" ", "-"), name=name)
    try:
        async with await Kube.connect(arguments.kubeconfig) as kube:
            made = await chargeback(
                kube,
                namespace=arguments.accounts,
                month=month,
                form="csv" if form == "csv" else "json",
                organization=organization,
            )
        if arguments.output is not None:
            await asyncio.to_thread(arguments.output.write_text, made.text, encoding="utf-8")
    except (KubeError, AccountError, NoAccountsError, OSError) as error:
        print(f"no report was written: {_explained(error, arguments.accounts)}", file=sys.stderr)
        return 1
    if arguments.output is None:
        sys.stdout.write(made.text)
    for note in made.notes:
        print(f"note: {note}", file=sys.stderr)
    totals = ", ".join(f"{total} {currency}" for currency, total in sorted(made.totals.items()))
    print(f"{made.rows} rows, {totals}", file=sys.stderr)
    return 0


def _explained(error: Exception, namespace: str) -> str:
    match getattr(error, "reason", ""):
        case "NoConfiguration":
            return NO_CLUSTER
        case "Forbidden":
            return f"you may not list ConfigMaps in the namespace {namespace}"
    return str(error)
