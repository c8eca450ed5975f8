"""`pilotage report`: writes the report of one rollout to a file."""

import asyncio
from datetime import datetime
from pathlib import Path

from pilotage.kube import Kube
from pilotage.reports.collect import Ask, collect
from pilotage.reports.record import Report
from pilotage.reports.report import render


async def write_report(kube: Kube, ask: Ask, *, namespace: str, name: str, output: Path, now: datetime) -> None:
    """Collect a rollout's record and write its report.

    Args:
        kube: the cluster.
        ask: `PrometheusSource.ask`.
        namespace: of the rollout.
        name: of the rollout.
        output: the HTML file; folders on the way are made.
        now: the time of the report.

    Raises:
        KubeError: the rollout could not be read.
        OSError: the file could not be written.
    """
    record = await collect(kube, ask, namespace=namespace, name=name, now=now)
    report = Report(title=f"Rollout of {name}", written_at=now, records=(record,))
    await asyncio.to_thread(write_page, report, output)


def write_page(report: Report, output: Path) -> None:
    """Render a report and write it to a file."""
    page = render(report)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(page, encoding="utf-8")
