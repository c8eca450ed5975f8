"""Gathers what one decision needs to see: answers from Prometheus, the population, what the flag service serves."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from pilotage.controller.clock import Clock
from pilotage.controller.directory import NOT_READ, DirectoryError, read_directory
from pilotage.controller.telemetry import count_findings
from pilotage.judging.evidence import Answer, Answered, Question
from pilotage.judging.judge import judge
from pilotage.kube import Kube
from pilotage.resources.rollout import PilotRollout
from pilotage.rollout.decide import needs_judging
from pilotage.rollout.plan import Plan
from pilotage.rollout.situation import Seen


class Source(Protocol):
    """Where questions are answered; identical ones that come close together share a request."""

    async def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:
        """The answer to each question as of `now`; never raises for faults of who is asked."""
        ...


class Gatherer:
    """Gathers evidence for one rollout at a time."""

    def __init__(self, kube: Kube, source: Source, clock: Clock) -> None:
        self._kube = kube
        self._source = source
        self._clock = clock

    async def judge(self, rollout: PilotRollout, plan: Plan) -> Seen:
        """What Prometheus says; nothing is asked where nothing can follow from it."""
        deleting = rollout.metadata.deletion_timestamp is not None
        seen = Seen(unread=NOT_READ if rollout.spec.audience.directory else "", deleting=deleting)
        if not needs_judging(rollout):
            return seen
        now = self._clock.now()
        wanted = {*plan.questions, *((plan.population,) if plan.population else ())}
        answers = await self._source.ask(wanted, now) if wanted else {}
        findings = tuple(judge(rule, answers[rule.question], now) for rule in plan.rules)
        count_findings(findings)
        return replace(seen, findings=findings, population=_population(plan, answers))

    async def read_directory(self, rollout: PilotRollout, seen: Seen) -> Seen:
        """The same, with the users of the directory; or why they can't be read."""
        directory = rollout.spec.audience.directory
        assert directory is not None
        try:
            users = await read_directory(self._kube, rollout.metadata.namespace, directory.config_map)
        except DirectoryError as error:
            return replace(seen, unread=str(error))
        return replace(seen, users=users, unread="")


def _population(plan: Plan, answers: Mapping[Question, Answer]) -> int | None:
    """The newest value of the population's indicator; None without one or without data."""
    answer = answers.get(plan.population) if plan.population else None
    series = answer.series_of("") if isinstance(answer, Answered) else None
    users = round(series.values[-1]) if series and series.values else 0
    return users if users > 0 else None
