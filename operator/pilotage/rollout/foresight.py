"""Foresight: what each planned step can prove before it is left, by its traffic, and how long it would have to last.

A step is long enough if a fault of three times the objective, begun with the step, is seen within its hold nine times
of ten. Twice the objective would ask most pilots for weeks; ten times is what any rule sees. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, Literal

from pilotage.judging.evidence import Answered, Evidence
from pilotage.judging.inference.likelihood import ENOUGH, GRID
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.inference.power import GREATEST_RATIO, Traffic, time_to_breach, time_to_see
from pilotage.judging.objective import SequentialRule
from pilotage.judging.pace import LEAST_STEPS, pace_of
from pilotage.judging.rules import Rule
from pilotage.judging.standing import roughly
from pilotage.judging.units import format_value
from pilotage.resources.durations import format_duration
from pilotage.resources.status import OutlookStatus
from pilotage.rollout.admission import PlannedStep

REFERENCE_SIZE: Final = 3.0
"""Times the objective: the fault that a step has to be long enough for."""

TOLERANCE: Final = 1.25
"""A hold is too short if it is shorter by more than that: traffic is counted, the rest is estimated. Who holds for as
long as was advised is not warned again when a few requests less come."""

SIZES: Final = (2.0, 5.0, 10.0)
"""Times the objective: what is said of a step is the smallest of these faults that it sees."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a rollout's traffic.

    Attributes:
        requests_per_second: of treatment and control together, by the rules' names.
        profiles: the service's noise, by the rules' names; where none is known a calm service is assumed.
        population: users in all, where that is known.
        covered: the part of all users who were treatment or control when requests were counted.
        held_back: the part of all users who stay control.
        equal: whether control is as large as treatment, and not all others.
    """

    requests_per_second: Mapping[str, float]
    profiles: Mapping[str, NoiseProfile]
    population: int | None = None
    covered: float = 1.0
    held_back: float = 0.0
    equal: bool = False


@dataclass(frozen=True, slots=True)
class _View:
    """One step as one rule sees it."""

    step: PlannedStep
    rule: SequentialRule
    profile: NoiseProfile
    share: float | None
    requests_per_second: float | None
    equal: bool = False

    @property
    def traffic(self) -> Traffic | None:
        if self.share is None or self.requests_per_second is None:
            return None
        control = min(self.share, 1 - self.share) if self.equal else 1 - self.share
        return Traffic(self.requests_per_second * self.share, self.requests_per_second * control)

    def seconds(self, size: float) -> float | None:
        """Time within which nine of ten faults of so many times the objective are seen; None where nobody knows."""
        if self.share == 1:
            return self.seconds_without_control
        if self.traffic is None:
            return None
        ratio = min(size * self.rule.settings.objective_ratio, GREATEST_RATIO)
        step_seconds = self.rule.tail.step_seconds
        found = time_to_see(self.rule.settings, self.profile, self.traffic, ratio, step_seconds=step_seconds)
        return found.nine_of_ten_seconds

    @property
    def seconds_without_control(self) -> float:
        """Where everybody has the feature, the objective is judged by its `for`."""
        question = self.rule.by_time.question
        return time_to_breach(
            self.rule.by_time.for_seconds,
            window_seconds=question.window_seconds,
            step_seconds=question.step_seconds,
        )

    @property
    def sees(self) -> float | None:
        """The smallest of the sizes that the step's hold is long enough for."""
        return next((size for size in SIZES if (self.seconds(size) or inf) <= self.step.hold_seconds), None)


def foresee(steps: Sequence[PlannedStep], rules: Iterable[Rule], known: Known) -> tuple[OutlookStatus, ...]:
    """What each step can prove; by the rule that needs longest, where there are several.

    A last step without hold ends the rollout at once and proves nothing: it is left out. So are all where no objective
    is judged sequentially: other rules don't depend on traffic.
    """
    sequential = tuple(rule for rule in rules if isinstance(rule, SequentialRule))
    planned = steps[:-1] if steps and not steps[-1].hold_seconds else steps
    if not sequential:
        return ()
    return tuple(_outlook(max((_view(step, rule, known) for rule in sequential), key=_need)) for step in planned)


def requests_per_second(rules: Iterable[Rule], evidence: Evidence) -> dict[str, float]:
    """Requests of treatment and control together by the rules' names, as far as they were counted.

    They are rounded to two digits: what is estimated is no news at each judgement.
    """
    found: dict[str, float] = {}
    for rule in rules:
        if isinstance(rule, SequentialRule) and (rate := _rate_of(rule, evidence)):
            found[rule.name] = float(f"{rate:.2g}")
    return found


def _rate_of(rule: SequentialRule, evidence: Evidence) -> float:
    """By the counts of the step; before the first, by those that were asked for last; 0 where there are none."""
    progress = evidence.progress.get(rule.name)
    if progress is not None and (pace := pace_of(progress)):
        return pace.treatment + pace.control
    answer = evidence.answers.get(rule.tail)
    if not isinstance(answer, Answered):
        return 0.0
    counted = [series for variant, series in answer.by_variant if variant in (rule.arms.treatment, rule.arms.control)]
    steps = len({at for series in counted for at in series.times})
    requests = sum(sum(series.weights) for series in counted) * rule.arms.scale
    return requests / (steps * rule.tail.step_seconds) if steps >= LEAST_STEPS else 0.0


def _need(view: _View) -> float:
    return view.seconds(REFERENCE_SIZE) or 0.0


def _view(step: PlannedStep, rule: SequentialRule, known: Known) -> _View:
    profile = known.profiles.get(rule.name) or NoiseProfile(0.0, (ENOUGH,) * len(GRID), 0, learned=True, note="")
    share = _share(step, known.population)
    share = min(share, 1 - known.held_back) if share is not None else None
    counted = known.requests_per_second.get(rule.name)
    of_all = counted / known.covered if counted is not None and known.covered else None
    return _View(step, rule, profile, share, of_all, known.equal)


def _share(step: PlannedStep, population: int | None) -> float | None:
    """The step's share of all users; None where nobody knows how many a cohort or the population are."""
    if step.cohorts:
        return None
    if step.share is not None:
        return float(step.share)
    return min((step.users or 0) / population, 1.0) if population else None


def _outlook(view: _View) -> OutlookStatus:
    needed, sees, traffic = view.seconds(REFERENCE_SIZE), view.sees, view.traffic
    proves: Literal["Enough", "TooLittle", "Unknown"] = "Unknown"
    if needed is not None:
        proves = "Enough" if needed <= TOLERANCE * view.step.hold_seconds else "TooLittle"
    return OutlookStatus(
        step=view.step.name,
        rule=view.rule.text,
        proves=proves,
        lasts=format_duration(view.step.hold_seconds),
        traffic=_rate(traffic.treatment) if traffic else "",
        sees=_fault(view.rule, sees) if sees else "",
        needs=roughly(needed) if needed is not None and needed < inf else "",
        message=_why_unknown(view) if needed is None else _warning(view, needed) if proves == "TooLittle" else "",
    )


def _why_unknown(view: _View) -> str:
    if view.share is not None:
        return "its requests are not counted yet"
    if view.step.cohorts:
        return "nobody knows how much of the traffic its cohorts make"
    return "nobody knows how many users there are"


def _warning(view: _View, needed: float) -> str:
    """Why the hold is too short, and how long it should be."""
    field = f"spec.steps[{view.step.index}].hold"
    fault = format_value(REFERENCE_SIZE * view.rule.settings.objective_ratio, "ratio")
    calm = view.profile.baseline_ratio
    rise = f"a rise from {format_value(calm, 'ratio')} to {fault} {view.rule.indicator}" if calm else ""
    rise = rise or f"a rise to {fault} {view.rule.indicator}"
    if needed == inf:
        return f"{field}: {rise} can't be told from what the service does itself: no hold is long enough"
    who = f"{view.step.users} users" if view.step.users is not None else f"{float(view.step.share or 0) * 100:.4g}%"
    seen = f"with {who} and {_rate(view.traffic.treatment)}" if view.traffic else f"with {who}"
    return (
        f"{field}: {seen}, {rise} shows after about {roughly(needed)} (9 times of 10);"
        f" it holds for {format_duration(view.step.hold_seconds)}: hold at least {roughly(needed)}"
    )


def _fault(rule: SequentialRule, size: float) -> str:
    ratio = min(size * rule.settings.objective_ratio, GREATEST_RATIO)
    return f"{format_value(ratio, 'ratio')} ({size:g} times the objective)"


def _rate(per_second: float) -> str:
    """Requests in the unit in which they are a number that people can picture."""
    for unit, seconds in (("second", 1), ("minute", 60), ("hour", 3600)):
        if per_second * seconds >= 1 or unit == "hour":
            return f"{_two_digits(per_second * seconds)} requests a {unit}"
    raise AssertionError


def _two_digits(value: float) -> str:
    return f"{float(f'{value:.2g}'):.15g}"
