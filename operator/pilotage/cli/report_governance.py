"""`pilotage report governance`: tenants, utilisation, cost and compliance, as Markdown or as an HTML page."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime

from pilotage.cli.report_tenants import NO_CLUSTER, month_of
from pilotage.tenancy.cost import Month


def execute(arguments: argparse.Namespace) -> int:
    """Write the report to a file or to standard output."""
    by_name = "html" if arguments.output is not None and arguments.output.suffix in (".html", ".htm") else "markdown"
    form = arguments.format or by_name
    if form not in ("markdown", "html"):
        print(f"governance is written as markdown or html, not as {form}", file=sys.stderr)
        return 2
    try:
        month = month_of(arguments)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return asyncio.run(_write(arguments, month, form))


async def _write(arguments: argparse.Namespace, month: Month, form: str) -> int:
    from pilotage.kube import Kube, KubeError  # noqa: PLC0415 - heavy: only this command needs it
    from pilotage.reports.governance_command import collect_governance  # noqa: PLC0415
    from pilotage.tenancy.accounts import AccountError  # noqa: PLC0415

    try:
        async with await Kube.connect(arguments.kubeconfig) as kube:
            report = await collect_governance(
                kube,
                organization=arguments.organization,
                month=month,
                system=arguments.accounts,
                roles=arguments.tenant_roles,
                now=datetime.now(UTC),
            )
        if form == "html":
            from pilotage.reports.governance_page import render_governance  # noqa: PLC0415 - draws: an optional extra

            text = await asyncio.to_thread(render_governance, report)
        else:
            from pilotage.reports.governance_markdown import to_markdown  # noqa: PLC0415

            text = to_markdown(report)
        if arguments.output is not None:
            await asyncio.to_thread(arguments.output.write_text, text, encoding="utf-8")
    except (KubeError, AccountError, OSError) as error:
        print(f"no report was written: {_explained(error)}", file=sys.stderr)
        return 1
    print(text if arguments.output is None else arguments.output, end="\n" if arguments.output else "")
    return 0


def _explained(error: Exception) -> str:
    match getattr(error, "reason", ""):
        case "NoConfiguration":
            return NO_CLUSTER
        case "Forbidden":
            return f"you may not read what it needs ({error})"
    return str(error)
