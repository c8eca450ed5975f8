"""Renders records into one self-contained HTML page: summary, chart, decisions with evidence, criteria. Pure.

>>> page = render(Report("Semantic search", written_at, (record,)))     # doctest: +SKIP
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from pilotage.reports import timeline
from pilotage.reports.charts import draw
from pilotage.reports.matrix import Matrix, matrix_of
from pilotage.reports.numbers import write_count, write_elapsed
from pilotage.reports.record import Report, RolloutRecord
from pilotage.resources.scores import ScoreStatus
from pilotage.resources.status import Finding, HistoryEntry, OutlookStatus

_OUTCOMES: Mapping[str, tuple[str, str]] = {
    "Completed": ("good", "Completed"),
    "RolledBack": ("bad", "Rolled back"),
    "RollingBack": ("bad", "Rolling back"),
    "Holding": ("caution", "Holding"),
    "AwaitingApproval": ("caution", "Awaiting approval"),
    "Paused": ("caution", "Paused"),
}
_TONES = {
    "RollBack": "bad",
    "RolledBack": "bad",
    "Throttle": "caution",
    "Hold": "caution",
    "Stall": "caution",
    "Pause": "caution",
    "Complete": "good",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One number of the summary with what it says."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One decision of the table."""

    entry: HistoryEntry
    elapsed: str
    tone: str


@dataclass(frozen=True, slots=True)
class Section:
    """One rollout as the template shows it."""

    record: RolloutRecord
    tone: str
    outcome: str
    sentence: str
    plan: str
    facts: tuple[Fact, ...]
    rows: tuple[Row, ...]
    findings: tuple[Finding, ...]
    outlook: tuple[OutlookStatus, ...]
    matrix: Matrix | None
    scores: tuple[ScoreStatus, ...]
    chart: Markup
    spec: str


def render(report: Report) -> str:
    """The page; everything that comes from a cluster is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["clock"] = _clock
    files = resources.files("pilotage.reports")
    template = environment.from_string(files.joinpath("report.html.j2").read_text("utf-8"))
    style = Markup(files.joinpath("report.css").read_text("utf-8"))  # noqa: S704 - our own file
    sections = [make_section(record) for record in report.records]
    return template.render(report=report, sections=sections, style=style)


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def make_section(record: RolloutRecord) -> Section:
    """Read one record for the template."""
    status = record.rollout.status
    tone, outcome = _OUTCOMES.get(status.phase or "", ("neutral", status.phase or "Not started"))
    return Section(
        record=record,
        tone=tone,
        outcome=outcome,
        sentence=_sentence(record),
        plan=timeline.plan_text(record),
        facts=_facts(record),
        rows=_rows(record),
        findings=status.criteria,
        outlook=status.outlook,
        matrix=matrix_of(status),
        scores=status.scores,
        chart=Markup(draw(record)),  # noqa: S704 - matplotlib escapes the texts that it draws
        spec=json.dumps(record.rollout.spec.to_wire(), indent=2, ensure_ascii=False),
    )


def _sentence(record: RolloutRecord) -> str:
    status, steps = record.rollout.status, record.rollout.spec.steps
    if status.phase == "Completed":
        return f"The feature reached everybody in {len(steps)} steps; every step was proven before the next."
    if status.rollback is not None:
        told = [entry.message for entry in status.history if entry.action == "RollBack"]
        evidence = told[-1] if told else status.rollback.message
        return f"Step {status.rollback.from_step} broke: {evidence.removeprefix('breach: ')}"
    return status.message


def _facts(record: RolloutRecord) -> tuple[Fact, ...]:
    status = record.rollout.status
    facts = [_reach(record)]
    entered = {entry.step for entry in status.history if entry.action in ("Start", "Advance")}
    facts.append(Fact("Steps", f"{len(entered)} of {len(record.rollout.spec.steps)}", timeline.plan_text(record)))
    if status.history:
        facts.append(
            Fact("From first to last decision", write_elapsed(status.history[-1].time - status.history[0].time))
        )
    if (seconds := timeline.fault_to_decision(record)) is not None:
        facts.append(Fact("Fault → decision", write_elapsed(seconds), "as Prometheus and operator see it"))
    if (seconds := timeline.decision_to_verified(record)) is not None:
        facts.append(Fact("Decision → verified off", write_elapsed(seconds), "asked of the flag service"))
    return tuple(facts)


def _reach(record: RolloutRecord) -> Fact:
    found = timeline.levels(record)
    if not found:
        return Fact("Users", "not counted")
    most = max(level.users for level in found)
    detail = f"now {write_count(found[-1].users)}" if found[-1].users != most else "and they keep it"
    return Fact("Most users", write_count(most), detail)


def _rows(record: RolloutRecord) -> tuple[Row, ...]:
    history = record.rollout.status.history
    begin = history[0].time if history else record.since
    return tuple(
        Row(entry, "+" + write_elapsed(entry.time - begin), _TONES.get(entry.action, "neutral")) for entry in history
    )
