"""Run: one backtest from beginning to end, and what it found, as frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pilotage.backtest.healthy import Course, Healthy, Trials, course_of
from pilotage.backtest.history import History
from pilotage.backtest.observer import Records, Watcher, knows_treatment
from pilotage.backtest.proposal import Proposal, propose
from pilotage.backtest.replay import DeliveredAfter, Replay, fresh
from pilotage.judging.evidence import Answer, Answered
from pilotage.judging.incidents import Incident
from pilotage.judging.objective import SequentialRule
from pilotage.judging.questions import Resolved, over, resolve_indicators
from pilotage.resources.durations import DAY, HOUR
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import HistoryEntry
from pilotage.rollout.admission import User
from pilotage.rollout.plan import Plan, PlanError, read_plan

Arms = Literal["recorded", "healthy"]
"""Whose metrics are treatment's: its own, or a share of the service's (A/A)."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What is tried.

    Attributes:
        rollout: as it would be applied.
        templates: IndicatorTemplates by name.
        users: of the directory; None without one.
        incidents: that concerned the rollout.
        delivery_seconds: from a decision until its users have the feature.
        arms: whose metrics are treatment's; None finds out.
        every_seconds: between the starts of the A/A replays; 0 for none.
        follow_seconds: how long each of them is followed at most; a day if None, an hour where the sequential judge
            judges: it follows each start for itself.
    """

    rollout: PilotRollout
    templates: Mapping[str, IndicatorTemplateSpec] = field(default_factory=dict)
    users: tuple[User, ...] | None = None
    incidents: tuple[Incident, ...] = ()
    delivery_seconds: float = 0.0
    arms: Arms | None = None
    every_seconds: float = 3600.0
    follow_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Indicator:
    """How an indicator went over the range, in at most 500 steps.

    Attributes:
        resolved: the indicator.
        answer: its series, as recorded.
        coverage: part of the steps with a value of any variant.
    """

    resolved: Resolved
    answer: Answer
    coverage: float


@dataclass(frozen=True, slots=True)
class Backtest:
    """What was found.

    Attributes:
        setting: what was tried.
        since: the first moment.
        until: the last one.
        arms: whose metrics were treatment's in the one replay.
        rollout: in the end, with all decisions in its history.
        course: how the one replay went.
        record: its decisions.
        indicators: in the spec's order.
        healthy: what A/A replays found; None where they were not wanted.
        proposal: how to set what broke in them; None where nothing did.
    """

    setting: Setting
    since: datetime
    until: datetime
    arms: Arms
    rollout: PilotRollout
    course: Course
    record: tuple[HistoryEntry, ...]
    indicators: tuple[Indicator, ...]
    healthy: Healthy | None = None
    proposal: Proposal | None = None


def check(setting: Setting) -> Plan:
    """The plan of what is tried.

    Raises:
        PlanError: it can't be carried out.
    """
    plan = read_plan(fresh(setting.rollout), setting.templates)
    if plan.problem is not None:
        raise plan.problem
    audience = setting.rollout.spec.audience
    if audience.directory is not None and setting.users is None:
        raise PlanError("spec.audience.directory", "its users are not known")
    return plan


def backtest(setting: Setting, history: History, *, tell: Trials | None = None) -> Backtest:
    """Replay the rollout once from the beginning of the range, and from many starts as a healthy feature.

    Args:
        setting: what is tried.
        history: of the range.
        tell: the A/A replays, where the caller wants to follow their progress; made here if None.

    Raises:
        PlanError: the rollout can't be carried out.
        HistoryError: the history can't be read.
        UnfitError: a query that no history can answer.
    """
    plan, feature = check(setting), setting.rollout.spec.feature
    arms = setting.arms or ("recorded" if knows_treatment(history, plan, feature) else "healthy")
    watcher = Watcher(Records(history, feature if arms == "healthy" else None), setting.users, setting.incidents)
    delivery = DeliveredAfter(setting.delivery_seconds)
    replay = Replay(fresh(setting.rollout), setting.templates, watcher, history.since, delivery, thorough=False)
    replay.run(history.until)
    trials = tell or trials_of(setting, history)
    found = trials.run(setting.rollout) if setting.every_seconds else None
    return Backtest(
        setting=setting,
        since=history.since,
        until=history.until,
        arms=arms,
        rollout=with_record(replay),
        course=course_of(replay, history.since),
        record=tuple(replay.record),
        indicators=tuple(_indicators(setting, history)),
        healthy=found,
        proposal=_proposal(setting.rollout, found, trials) if found and found.rolled_back else None,
    )


def _proposal(rollout: PilotRollout, found: Healthy, trials: Trials) -> Proposal:
    """What to change; what broke before is tried first: most attempts end there."""
    bad = {course.started_at for course in found.rolled_back}
    return propose(rollout, found, lambda tried: trials.run(tried, first=bad, only_one=True))


def trials_of(setting: Setting, history: History) -> Trials:
    """The A/A replays of a setting."""
    rules = read_plan(setting.rollout, setting.templates).rules
    default = HOUR if any(isinstance(rule, SequentialRule) for rule in rules) else DAY
    return Trials(
        history,
        setting.templates,
        setting.users,
        every_seconds=setting.every_seconds,
        follow_seconds=setting.follow_seconds or default,
        delivery_seconds=setting.delivery_seconds,
        incidents=setting.incidents,
    )


def with_record(replay: Replay) -> PilotRollout:
    """The rollout in the end, with all decisions in its history and not only the last ones."""
    status = replay.rollout.status.model_copy(update={"history": tuple(replay.record)})
    return replay.rollout.model_copy(update={"status": status})


def _indicators(setting: Setting, history: History) -> list[Indicator]:
    meta, span = setting.rollout.metadata, (history.until - history.since).total_seconds()
    resolved = resolve_indicators(
        setting.rollout.spec, setting.templates, namespace=meta.namespace, name=meta.name
    ).values()
    made = []
    for one in resolved:
        if not isinstance(one, Resolved):
            continue
        question = over(one, one.window_seconds, span)
        answer = history.answer(question, history.until.timestamp())
        made.append(Indicator(one, answer, _coverage(answer, question.steps + 1)))
    return made


def _coverage(answer: Answer, steps: int) -> float:
    if not isinstance(answer, Answered):
        return 0.0
    return min(len({at for _, series in answer.by_variant for at in series.times}) / steps, 1.0)
