"""Judgement: what evidence means for a plan; the operator and a backtest take it from here alike."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from pilotage.judging.evidence import Answer, Answered, Evidence, Question
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.rollout.foresight import requests_per_second
from pilotage.rollout.plan import Plan
from pilotage.rollout.situation import Seen
from pilotage.rollout.tenant_needs import rates_of


def judged(
    seen: Seen, plan: Plan, evidence: Evidence, now: datetime, *, learned: Mapping[str, NoiseProfile] | None = None
) -> Seen:
    """The same, with what the rules and scores of the plan say.

    Args:
        seen: what was observed besides.
        plan: of the rollout.
        evidence: with answers to all of the plan's questions, asked at `now`.
        now: the moment of the judgement.
        learned: noise profiles that were learned now.
    """
    return replace(
        seen,
        findings=tuple(rule.judge(evidence, now) for rule in plan.rules),
        population=population_of(plan, evidence.answers),
        profiles=learned or {},
        scores=tuple(score.present(evidence, now) for score in plan.scores),
        traffic=requests_per_second(plan.rules, evidence),
        rates=rates_of(plan.needs, evidence.answers, plan.variants),
    )


def population_of(plan: Plan, answers: Mapping[Question, Answer]) -> int | None:
    """The newest value of the population's indicator; None without one or without data."""
    answer = answers.get(plan.population) if plan.population else None
    series = answer.series_of("") if isinstance(answer, Answered) else None
    users = round(series.values[-1]) if series and series.values else 0
    return users if users > 0 else None
