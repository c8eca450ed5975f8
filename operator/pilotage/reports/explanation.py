"""Explains a rollout from its status, as a page of plain text: where it stands, on what evidence, what would change it.

Pure: what it says is what the operator wrote, nothing is asked again.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pilotage.judging.standing import roughly
from pilotage.resources.durations import format_duration
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import WORST_FIRST, Finding, NoiseStatus, OutlookStatus, PilotRolloutStatus

_DECISIONS = 5
_WIDTH = 110
_EXACT_SECONDS = 120.0


def explain(rollout: PilotRollout, now: datetime) -> str:
    """The page.

    Args:
        rollout: as it is in the API server.
        now: the time of the page.
    """
    status = rollout.status
    parts = [
        _where(rollout, now),
        section("Criteria", [*_judged_when(status, now), *_criteria(status.criteria, now)]),
        section("Steps", write_outlook(status.outlook)),
        section("Noise", [line for one in status.noise for line in _noise(one)]),
        section(f"Last {_DECISIONS} decisions", _decisions(status)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def as_document(rollout: PilotRollout) -> dict[str, Any]:
    """The same for programs, with the names of status."""
    status = rollout.status.to_wire()
    kept = ("phase", "message", "summary", "step", "nextCheckTime", "judgedTime", "criteria", "outlook", "noise")
    return {
        "namespace": rollout.metadata.namespace,
        "name": rollout.metadata.name,
        **{name: status[name] for name in kept if name in status},
        "conditions": status["conditions"],
        "history": status["history"][-_DECISIONS:],
    }


def _where(rollout: PilotRollout, now: datetime) -> str:
    status, meta = rollout.status, rollout.metadata
    lines = [f"{meta.namespace}/{meta.name}: {status.phase or 'not looked at yet'}"]
    if status.message:
        lines += wrapped(status.message)
    if status.step and status.summary:
        since = status.step.verified_time or status.step.entered_time
        seen = "in force" if status.step.verified_time else "decided, not seen in force yet,"
        lines.append(f"  step {status.summary.step}, {seen} since {_moment(since, now)}")
    if status.summary:
        lines.append(f"  admitted: {_admitted(status)}")
        if status.summary.waits_for:
            lines += wrapped(f"waits for: {status.summary.waits_for}")
    if status.next_check_time:
        lines.append(f"  can go on at the earliest: {_moment(status.next_check_time, now)}")
    if status.observed_generation < meta.generation:
        lines.append("  the spec was edited since: what follows speaks of the one before")
    return "\n".join(lines)


def _admitted(status: PilotRolloutStatus) -> str:
    assert status.summary is not None
    users, percent = status.summary.users, status.summary.percent
    return f"{users} users ({percent})" if users != "?" else f"{percent} of users"


def _judged_when(status: PilotRolloutStatus, now: datetime) -> Iterator[str]:
    if status.judged_time and status.criteria:
        yield f"  as judged at {_moment(status.judged_time, now)}; renewed with each new verdict, else every 5m"


def _criteria(findings: Sequence[Finding], now: datetime) -> Iterator[str]:
    """The worst first; each with all that it says."""
    for finding in sorted(findings, key=lambda one: WORST_FIRST.index(one.verdict)):
        yield f"  {finding.verdict:<11} {finding.role}: {finding.rule}"
        said = (
            ("value", finding.value),
            ("bound", finding.bound),
            ("evidence", finding.evidence),
            ("since", _moment(finding.since, now) if finding.since else ""),
            ("distance", finding.distance),
            ("met by", _moment(finding.earliest, now) if finding.earliest else ""),
            ("needs", finding.remedy),
            ("says", finding.message),
        )
        for name, text in said:
            if text:
                yield from wrapped(f"{name + ':':<10} {text}", indent=14, hang=11)


def write_outlook(outlook: Iterable[OutlookStatus]) -> list[str]:
    """A table of what each step can prove, and the warnings below it."""
    rows = [("step", "lasts", "traffic", "sees within that", "to see 3 times the objective")]
    warnings: list[str] = []
    for one in outlook:
        needs = {"Enough": "", "TooLittle": " (too short)", "Unknown": "unknown"}[one.proves]
        sees = one.sees or ("unknown" if one.proves == "Unknown" else "not even 10 times the objective")
        rows.append((one.step, one.lasts, one.traffic or "unknown", sees, f"{one.needs}{needs}".strip() or "never"))
        if one.message:
            message = one.message if one.message.startswith("spec.") else f"step {one.step}: {one.message}"
            warnings += wrapped(f"! {message}", hang=2)
    return [*table(rows), *warnings] if len(rows) > 1 else []


def _noise(noise: NoiseStatus) -> list[str]:
    baseline = f"{float(noise.baseline) * 100:.4g}%"
    return wrapped(f"{noise.rule}: long-run errors {baseline} over {noise.hours} h; {noise.note}", hang=2)


def _decisions(status: PilotRolloutStatus) -> list[str]:
    lines: list[str] = []
    for entry in status.history[-_DECISIONS:]:
        what = f"{_clock(entry.time)}  {entry.action:<10} {entry.step} ({entry.admitted}): {entry.message}"
        lines += wrapped(what, hang=4)
    return lines


def _moment(at: datetime, now: datetime) -> str:
    """A moment, and how far it is from now."""
    apart = (at - now).total_seconds()
    if abs(apart) < 1:
        return f"{_clock(at)} (now)"
    far = format_duration(abs(apart)) if abs(apart) < _EXACT_SECONDS else roughly(abs(apart))
    return f"{_clock(at)} ({far} ago)" if apart < 0 else f"{_clock(at)} (in {far})"


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def section(title: str, lines: Iterable[str]) -> str:
    """Lines under a title; nothing where there are none."""
    body = "\n".join(lines)
    return f"{title}\n{body}" if body else ""


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns of equal width."""
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def wrapped(text: str, *, indent: int = 2, hang: int = 0) -> list[str]:
    """A text in lines that fit a terminal; words are never broken."""
    lines, line = [], " " * indent
    for word in text.split(" "):
        if len(line) + 1 + len(word) > _WIDTH and line.strip():
            lines.append(line.rstrip())
            line = " " * (indent + hang)
        line += word + " "
    return [*lines, line.rstrip()]
