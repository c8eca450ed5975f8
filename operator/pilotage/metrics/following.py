"""Follows the counts of a rollout's step, for the rules that the sequential judge judges.

What it remembers is a shortcut: where that is lost, all counts since the step began are asked for again, and amount to
the same. The service's noise is learned once for a step, from the time before it; status keeps it.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from pilotage.judging.evidence import PARTIAL, Answer, Evidence, Question, Stage, Unavailable
from pilotage.judging.incidents import Incident
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.objective import SequentialRule
from pilotage.judging.progress import Progress
from pilotage.judging.rules import Rule

LEARN_AGAIN = timedelta(minutes=1)
"""A history that could not be had is asked for again so often: it is a query over days."""

_REJECTS = ("rejects the query", "too many series")
"""What Prometheus will say again: it is the author's to mend, and no reason to wait."""


class Asks(Protocol):
    """Who answers questions."""

    async def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:
        """The answer to each question as of `now`; never raises for faults of who is asked."""
        ...


@dataclass(frozen=True, slots=True)
class Followed:
    """What is known of one rollout; to be given back at the next judgement.

    Attributes:
        evidence: all that its rules are judged by.
        learned: noise profiles that were learned now, by the rules' names.
        failed_at: when a history could not be had.
    """

    evidence: Evidence = field(default_factory=lambda: Evidence({}))
    learned: Mapping[str, NoiseProfile] = field(default_factory=dict)
    failed_at: datetime | None = None


async def follow(
    source: Asks,
    rules: Collection[Rule],
    questions: Collection[Question],
    *,
    stage: Stage,
    profiles: Mapping[str, NoiseProfile],
    before: Followed,
    now: datetime,
    incidents: Collection[Incident] = (),
) -> Followed:
    """Ask, and take the new counts in.

    Args:
        source: who is asked.
        rules: of the plan.
        questions: what has to be asked besides: those of the rules, and the population's.
        stage: where the rollout is.
        profiles: the noise that status knows for this stage.
        before: the last judgement's result; empty after a restart.
        now: the moment of the judgement.
        incidents: that were declared: nobody learns from them what is normal.
    """
    sequential = {rule.name: rule for rule in rules if isinstance(rule, SequentialRule)}
    failed_at = before.failed_at
    missing = {name: rule for name, rule in sequential.items() if name not in profiles}
    learned, failed_at = await _learn(source, missing, stage, incidents, failed_at=failed_at, now=now)
    evidence = Evidence({}, stage, profiles={**profiles, **learned})
    started = {
        name: known
        for name, rule in sequential.items()
        if (known := rule.started(stage, rule.profile(evidence), before.evidence.progress.get(name)))
    }
    more = {name: sequential[name].more(known, now) for name, known in started.items()}
    tails = (sequential[name].tail for name in started)
    answers = await source.ask({*questions, *tails, *more.values()}, now)
    progress: dict[str, Progress] = {}
    for name, known in started.items():
        rule, asked = sequential[name], more[name]
        found = rule.caught_up(known, asked, answers[asked], answers[rule.tail], now)
        progress[name] = await _counted(source, rule, found, now)
    return Followed(replace(evidence, answers=answers, progress=progress), learned, failed_at)


async def _counted(source: Asks, rule: SequentialRule, progress: Progress, now: datetime) -> Progress:
    """With the requests of a long step's beginning; they are asked for after a restart alone."""
    if (missing := rule.uncounted(progress)) is None:
        return progress
    question, as_of = missing
    answers = await source.ask([question], as_of)
    return rule.counted(progress, question, answers[question], now)


async def _learn(
    source: Asks,
    missing: Mapping[str, SequentialRule],
    stage: Stage,
    incidents: Collection[Incident],
    *,
    failed_at: datetime | None,
    now: datetime,
) -> tuple[dict[str, NoiseProfile], datetime | None]:
    """The profiles that are missing; those whose history can't be had are left for later."""
    if stage.since is None or not missing or (failed_at and now - failed_at < LEARN_AGAIN):
        return {}, failed_at if missing else None
    answers = await source.ask({rule.history for rule in missing.values()}, stage.since)
    known = {name: rule for name, rule in missing.items() if _is_final(answers[rule.history])}
    # It takes some ten milliseconds for a rule: not in the loop in which rollbacks wait.
    found = await asyncio.gather(
        *(
            asyncio.to_thread(rule.learned, answers[rule.history], stage, stage.since, incidents)
            for rule in known.values()
        )
    )
    learned = dict(zip(known, found, strict=True))
    return learned, None if len(known) == len(missing) else now


def _is_final(answer: Answer) -> bool:
    """Whether asking again would not tell more."""
    if isinstance(answer, Unavailable):
        return any(text in answer.reason for text in _REJECTS)
    return answer != PARTIAL
