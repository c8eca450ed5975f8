"""Explains a plan before it is applied, as a page of text: what each step can prove, when each rule decides. Pure.

What the operator will count, such as requests and the service's own errors, is assumed as the reader says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pilotage.judging.inference.likelihood import ENOUGH, GRID
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.inference.power import time_to_breach
from pilotage.judging.objective import SequentialRule
from pilotage.judging.rules import Rule
from pilotage.judging.threshold import ThresholdRule
from pilotage.judging.units import format_value
from pilotage.reports.explanation import section, wrapped, write_outlook
from pilotage.resources.durations import format_duration
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import OutlookStatus
from pilotage.rollout.foresight import Known, foresee
from pilotage.rollout.outlook import provable_condition
from pilotage.rollout.plan import Plan, PlanError, read_plan


@dataclass(frozen=True, slots=True)
class Assumed:
    """What is taken for granted.

    Attributes:
        requests_per_second: of all users together; None if not said.
        baseline_ratio: long-run error ratio of the service.
        population: users in all, where the spec doesn't say it.
    """

    requests_per_second: float | None = None
    baseline_ratio: float = 0.0
    population: int | None = None


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a plan comes to.

    Attributes:
        rollout: whose plan it is.
        assumed: what it rests on.
        outlook: what each step can prove.
        rules: how each rule decides, by its field.
        problem: what is wrong with the spec; None if it can be carried out.
    """

    rollout: PilotRollout
    assumed: Assumed
    outlook: tuple[OutlookStatus, ...]
    rules: tuple[tuple[Rule, str], ...]
    problem: PlanError | None = None


def look_ahead(rollout: PilotRollout, templates: Mapping[str, IndicatorTemplateSpec], assumed: Assumed) -> Prospect:
    """What the plan of a rollout comes to."""
    plan = read_plan(rollout, templates)
    profile = calm(assumed.baseline_ratio)
    named = [rule.name for rule in plan.rules if isinstance(rule, SequentialRule)]
    traffic = {} if assumed.requests_per_second is None else dict.fromkeys(named, assumed.requests_per_second)
    known = Known(traffic, dict.fromkeys(named, profile), _population(rollout) or assumed.population)
    return Prospect(
        rollout,
        assumed,
        foresee(plan.steps, plan.rules, known),
        tuple((rule, _decides(rule, plan, profile)) for rule in plan.rules),
        plan.problem,
    )


def calm(baseline_ratio: float) -> NoiseProfile:
    """A service whose errors come one by one, at this long-run ratio."""
    return NoiseProfile(baseline_ratio, (ENOUGH,) * len(GRID), 0, learned=True, note="assumed")


def write_prospect(prospect: Prospect) -> str:
    """The page."""
    name, steps = prospect.rollout.metadata.name, prospect.rollout.spec.steps
    lines = [f"{name}: {len(steps)} steps, judged every {prospect.rollout.spec.interval}"]
    if prospect.problem:
        lines += wrapped(f"! {prospect.problem}", hang=2)
    lines += wrapped(f"assumed: {_assumptions(prospect)}", hang=2)
    rules = [line for rule, text in prospect.rules for line in wrapped(f"{rule.role}: {rule.text}: {text}", hang=4)]
    parts = ["\n".join(lines), section("Steps", write_outlook(prospect.outlook)), section("Rules", rules)]
    return "\n\n".join(part for part in parts if part) + "\n"


def prospect_document(prospect: Prospect) -> dict[str, Any]:
    """The same for programs."""
    assumed, condition = prospect.assumed, provable_condition(prospect.outlook)
    return {
        "name": prospect.rollout.metadata.name,
        "problem": str(prospect.problem) if prospect.problem else None,
        "assumed": {
            "requestsPerSecond": assumed.requests_per_second,
            "baseline": assumed.baseline_ratio,
            "population": _population(prospect.rollout) or assumed.population,
        },
        "stepsProvable": condition[0] if condition else None,
        "outlook": [one.to_wire() for one in prospect.outlook],
        "rules": [
            {"rule": rule.text, "role": rule.role, "field": rule.field, "onBreach": rule.on_breach, "decides": text}
            for rule, text in prospect.rules
        ],
    }


def _population(rollout: PilotRollout) -> int | None:
    population = rollout.spec.audience.population
    return population.users if population else None


def _assumptions(prospect: Prospect) -> str:
    assumed = prospect.assumed
    per_second = assumed.requests_per_second
    users = _population(prospect.rollout) or assumed.population
    said = [
        f"{per_second:g} requests a second of all users" if per_second is not None else "",
        f"{users} users" if users else "",
        f"{format_value(assumed.baseline_ratio, 'ratio')} errors of the service itself, and no other noise",
    ]
    return ", ".join(text for text in said if text)


def _decides(rule: Rule, plan: Plan, profile: NoiseProfile) -> str:
    """When the rule says something, and what follows."""
    follows = {"rollback": "rolls back", "hold": "holds", "throttle": "sheds users", "tell": "is told"}[rule.on_breach]
    if isinstance(rule, SequentialRule):
        time = format_duration(rule.by_time.for_seconds)
        return (
            f"weighs each request against control; what breaks it {follows} after {time} at the earliest;"
            f" a step is left after {rule.least(profile)} requests"
        )
    if rule.role == "go":
        held = f" for {format_duration(rule.for_seconds)}" if rule.for_seconds else ""
        return f"has to hold{held} before a step is left"
    if not isinstance(rule, ThresholdRule):
        return f"{follows} when it applies"
    seconds = time_to_breach(
        rule.for_seconds, window_seconds=rule.question.window_seconds, step_seconds=plan.interval_seconds
    )
    return f"{follows} at most {format_duration(seconds)} after it begins to apply"
