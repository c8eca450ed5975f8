"""Story: a backtest as text that a person can read, and as JSON that a program can."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pilotage.backtest.healthy import Course, Healthy
from pilotage.backtest.proposal import Proposal
from pilotage.backtest.run import Backtest, Indicator
from pilotage.judging.evidence import Answered
from pilotage.resources.durations import DAY, format_duration

_ENOUGH_COVERAGE = 0.8


def tell(found: Backtest) -> str:
    """The story, its lines ended."""
    return "".join(f"{line}\n" for line in _lines(found))


def _lines(found: Backtest) -> Iterator[str]:
    meta, spec = found.rollout.metadata, found.rollout.spec
    length = format_duration((found.until - found.since).total_seconds())
    span = f"{_clock(found.since)} to {_clock(found.until)} ({length})"
    yield f"{meta.namespace}/{meta.name}: {span}, judged every {spec.interval}"
    yield from notes(found)
    yield ""
    for entry in found.record:
        what = f"{entry.action:<10} {entry.step:<16} {entry.admitted:<24} {entry.message}"
        yield f"{_elapsed(found.since, entry.time)}  {what}".rstrip()
    if not found.record:
        yield f"nothing was decided: {found.rollout.status.message or 'no judgement lies in the range'}"
    yield ""
    yield outcome_of(found)
    if found.healthy is not None:
        yield ""
        yield from healthy_lines(found.healthy, [step.name for step in spec.steps])
    if found.proposal is not None:
        yield from proposal_lines(found.proposal)


def notes(found: Backtest) -> Iterator[str]:
    """What a reader must know of the replay, one sentence each."""
    treatment = found.rollout.spec.feature.treatment
    if found.arms == "recorded":
        yield f"Treatment is the variant {treatment}, as it was recorded."
    else:
        yield (
            f"The history knows no variant {treatment}: the service stands for it, split in two healthy arms."
            " Counts of errors and total are thinned to the step's share; other values are the service's in both arms."
        )
    for indicator in found.indicators:
        if (text := _missing(indicator)) is not None:
            yield text


def _missing(indicator: Indicator) -> str | None:
    if not isinstance(indicator.answer, Answered):
        return f"{indicator.resolved.name}: {indicator.answer.reason}, in all of the range."
    if indicator.coverage < _ENOUGH_COVERAGE:
        return f"{indicator.resolved.name}: there are data for {indicator.coverage:.0%} of the range only."
    return None


def outcome_of(found: Backtest) -> str:
    """How it ended, in a sentence."""
    status, course = found.rollout.status, found.course
    after = format_duration(course.seconds)
    if status.phase == "Completed":
        text = f"The rollout completed after {after}"
    elif course.rolled_back is not None:
        text = f"The rollout rolled back after {after}"
    elif status.step is not None:
        text = f"When the range ended the rollout was {status.phase} in step {status.step.name}: {status.message}"
    else:
        text = f"The rollout never began: {status.message}"
    held = f"; it was held for {format_duration(course.held_seconds)}" if course.held_seconds else ""
    return f"{text}{held}."


def healthy_lines(found: Healthy, steps: list[str]) -> Iterator[str]:
    """What the A/A replays found."""
    count, broken = len(found.courses), len(found.rolled_back)
    every, follow = format_duration(found.every_seconds), format_duration(found.follow_seconds)
    yield f"A healthy feature, started every {every} and followed for at most {follow} ({count} starts, which overlap):"
    yield f"  would have been rolled back {broken} of {count} times"
    yield f"  would have been held {found.held_share:.1%} of the time"
    unfinished = count - broken - found.completed
    yield f"  would have completed {found.completed} times; {unfinished} were not followed to their end"
    for step in steps:
        if (seconds := found.median_seconds(step)) is not None:
            yield f"  would have left step {step} after {format_duration(seconds)} (median)"
    for field, times in sorted(found.breaking.items(), key=lambda each: -each[1]):
        yield f"  {field} broke {times} times, such as at {_clock(_example(found, field).ended_at)}"


def proposal_lines(found: Proposal) -> Iterator[str]:
    """What to change."""
    if found.changes:
        yield "With this, none would have been rolled back:"
        for change in found.changes:
            yield f"  {change.field}: {change.proposed}    (was {change.written})"
        return
    yield f"No longer `for` was found that rolls back none ({found.remaining} were): look at"
    for field in found.hopeless:
        yield f"  {field}: the bound lies within what the service does by itself; loosen it, or let it hold only"


def _example(found: Healthy, field: str) -> Course:
    return next(course for course in found.rolled_back if course.field == field)


def to_json(found: Backtest) -> dict[str, Any]:
    """The same for programs: times in RFC 3339, durations in seconds, shares from 0 to 1."""
    status, course = found.rollout.status, found.course
    return {
        "rollout": {"namespace": found.rollout.metadata.namespace, "name": found.rollout.metadata.name},
        "from": _wire(found.since),
        "to": _wire(found.until),
        "interval": found.rollout.spec.interval,
        "arms": found.arms,
        "outcome": {
            "phase": status.phase,
            "step": status.step.name if status.step else None,
            "message": status.message,
            "seconds": course.seconds,
            "heldSeconds": course.held_seconds,
        },
        "decisions": [entry.to_wire() for entry in found.record],
        "indicators": [_indicator_json(indicator) for indicator in found.indicators],
        "healthy": _healthy_json(found.healthy) if found.healthy else None,
        "proposal": _proposal_json(found.proposal) if found.proposal else None,
    }


def _indicator_json(indicator: Indicator) -> dict[str, Any]:
    reason = "" if isinstance(indicator.answer, Answered) else indicator.answer.reason
    return {"name": indicator.resolved.name, "coverage": indicator.coverage, "missing": reason}


def _healthy_json(found: Healthy) -> dict[str, Any]:
    return {
        "starts": len(found.courses),
        "everySeconds": found.every_seconds,
        "followSeconds": found.follow_seconds,
        "rolledBack": len(found.rolled_back),
        "completed": found.completed,
        "heldShare": found.held_share,
        "breaking": found.breaking,
        "rollbacks": [
            {"started": _wire(course.started_at), "decided": _wire(course.rolled_back.time), "field": course.field}
            for course in found.courses
            if course.rolled_back
        ],
    }


def _proposal_json(found: Proposal) -> dict[str, Any]:
    return {
        "changes": [{"field": c.field, "written": c.written, "proposed": c.proposed} for c in found.changes],
        "remaining": found.remaining,
        "hopeless": list(found.hopeless),
    }


def _clock(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _wire(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _elapsed(since: datetime, at: datetime) -> str:
    return f"day {int((at - since).total_seconds() // DAY):<3} {at.astimezone(UTC):%H:%M:%S}"
