"""Page: a backtest as the report that rollouts have, with its plots; what was not real is said above."""

from datetime import UTC, datetime
from pathlib import Path

from pilotage.backtest.run import Backtest, Indicator
from pilotage.backtest.story import healthy_lines, notes, outcome_of, proposal_lines
from pilotage.judging.rules import Rule
from pilotage.reports.collect import indicator_record
from pilotage.reports.command import write_page
from pilotage.reports.record import IndicatorRecord, Report, RolloutRecord
from pilotage.rollout.plan import read_plan


def write_report(found: Backtest, output: Path) -> None:
    """Write the page.

    Raises:
        OSError: the file could not be written.
    """
    write_page(report_of(found, datetime.now(UTC)), output)


def report_of(found: Backtest, written_at: datetime) -> Report:
    """What the page shows."""
    rules = read_plan(found.rollout, found.setting.templates).rules
    record = RolloutRecord(
        rollout=found.rollout,
        since=found.since,
        until=found.until,
        indicators=tuple(_indicator(indicator, rules) for indicator in found.indicators),
    )
    told = ["This is a backtest: the decisions below were replayed on recorded metrics, and nobody was let in."]
    told += [*notes(found), outcome_of(found)]
    if found.healthy is not None:
        told.append(_sentence(list(healthy_lines(found.healthy, [step.name for step in found.rollout.spec.steps]))))
    if found.proposal is not None:
        told.append(_sentence(list(proposal_lines(found.proposal))))
    return Report(f"Backtest of {found.rollout.metadata.name}", written_at, (record,), tuple(told))


def _indicator(indicator: Indicator, rules: tuple[Rule, ...]) -> IndicatorRecord:
    return indicator_record(indicator.resolved, indicator.answer, rules)


def _sentence(lines: list[str]) -> str:
    """Lines of the story as one paragraph."""
    head, *rest = lines
    return f"{head} {'; '.join(line.strip() for line in rest)}."
