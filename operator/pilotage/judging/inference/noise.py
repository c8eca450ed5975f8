"""Noise: how much evidence a fault of each size needs, learned from what the service did to itself before.

The detector is replayed over past hours at the size of the treatment. What it reaches there is noise, and a rollout's
evidence has to exceed it. A calm service keeps full speed; a noisy one slows down only for the sizes that its own noise
imitates. If past hours and those of the rollout are exchangeable, the d-th largest of n hourly maxima is exceeded with
probability d / (n + 1) at most (Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from statistics import median
from typing import Final

from pilotage.judging.inference.likelihood import (
    ENOUGH,
    GREATEST_NULL,
    GRID,
    LONG_RUN_FACTOR,
    Settings,
    grow,
    known_weights,
)
from pilotage.judging.inference.thinning import thinner

CEILINGS: Final = (13, 13, 13, 13, 7, 2, 2)
"""By fault size, in multiples of ENOUGH: no history can blind the judge to a big fault."""

LEAST_HOURS: Final = 6
"""With fewer hours nothing is learned."""

SURE_HOURS: Final = 24
"""From here on the margin is 1.25 and for every 24 h one noisy hour more is forgiven; below it is 2, and none is."""

MOST_FORGIVEN: Final = 2
LEAST_COVERAGE: Final = 0.9
FALLBACK_SIZE: Final = 5.0
"""Without a history smaller faults than this only hold: slow noise looks like them."""

Counts = tuple[float, float]
_UNLIMITED: Final = (inf,) * len(GRID)


@dataclass(frozen=True, slots=True)
class NoiseProfile:
    """What is known of a service's noise, for an arm of one size.

    Attributes:
        baseline_ratio: long-run error ratio: the median of the hours; 0 if nothing was learned.
        thresholds: evidence that a rollback needs, per fault size of GRID; never rising with the size; at least 9.
            `inf`: faults of that size never roll back, at 9 they are as certain as a hold needs.
        hours: how many past hours it rests on.
        learned: whether it was learned; else it is the fallback.
        note: for people: which fault sizes are slowed, and by which hour.
        worst_hour: which hour of the history (0 is the first) set the threshold that is raised most; None if none is.
    """

    baseline_ratio: float
    thresholds: tuple[float, ...]
    hours: int
    learned: bool
    note: str
    worst_hour: int | None = None

    def null_ratio(self, settings: Settings) -> float:
        """The error ratio that is no fault yet: the defended part of the objective, or 1.5 times the long-run ratio.

        Where nothing was learned it is the whole objective, whatever the sensitivity: half of it would need the
        thresholds that make it safe.
        """
        defended = settings.defended if self.learned else 1.0
        return min(max(defended * settings.objective_ratio, LONG_RUN_FACTOR * self.baseline_ratio), GREATEST_NULL)

    @property
    def limits(self) -> tuple[float, ...]:
        """The most evidence that is counted per fault size; half of it holds. It is finite where thresholds aren't."""
        if self.thresholds[0] < inf:  # they never rise with the size
            return self.thresholds
        return tuple(threshold if threshold < inf else ENOUGH for threshold in self.thresholds)


def fallback(settings: Settings, hours: int = 0) -> NoiseProfile:
    """What is assumed of a service without enough history: calm for faults of 5 times the objective and more."""
    thresholds = tuple(ENOUGH if size >= FALLBACK_SIZE else inf for size in GRID)
    by_error, by_request = known_weights(settings.objective_ratio)[GRID.index(FALLBACK_SIZE)]
    least = -by_request / by_error  # from here on errors are evidence for the smallest fault that rolls back
    note = (
        f"{hours} h of history are too few to learn the noise ({LEAST_HOURS} h are needed):"
        f" only error ratios above {100 * least:.2g}% roll back, smaller faults hold"
    )
    return NoiseProfile(0.0, thresholds, hours, learned=False, note=note)


def learn(history: Sequence[Counts | None], *, share: float, settings: Settings, steps_per_hour: int) -> NoiseProfile:
    """Learn the thresholds from the past.

    From 72 h on the third largest hourly maximum x 1.25 is taken, from 48 h the second, from 24 h the largest: each
    time about 1 hour in 24 exceeds what is taken, so that short histories are no less strict. From 6 h on it is the
    largest x 2 (measured with 6 h: 5 to 9 % false at 1.25, 1 to 5 % at 2). Less gives the fallback.

    Args:
        history: requests and errors of each step, oldest first; None where there are no data. It should be of something
            as small as the treatment: an average over many pods hides the noise of few.
        share: that treatment has of the history's traffic, in (0, 1]; 1 if the history is of its size already.
        settings: of the judge that will use the thresholds.
        steps_per_hour: scrape steps in an hour. Hours with data for less than 90 % of them, or without a request, are
            left out; so is what remains at the end.

    Raises:
        ValueError: `share` or `steps_per_hour` is out of its range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share: {share} is not in (0, 1]")
    if steps_per_hour < 1:
        raise ValueError(f"steps_per_hour: {steps_per_hour} is not at least 1")
    hours = dict(_hours(history, steps_per_hour))
    if len(hours) < LEAST_HOURS:
        return fallback(settings, len(hours))
    baseline = median(_ratio(steps) for steps in hours.values())
    null = NoiseProfile(baseline, (), 0, learned=True, note="").null_ratio(settings)
    maxima = _replay(hours, share=share, null=null, cap=settings.cap)
    return _profile(baseline, maxima, tuple(hours))


def _hours(history: Sequence[Counts | None], steps_per_hour: int) -> Iterator[tuple[int, list[Counts]]]:
    """The hours that can be learned from, by their place."""
    for place, start in enumerate(range(0, len(history), steps_per_hour)):
        steps = [step for step in history[start : start + steps_per_hour] if step is not None]
        if len(steps) >= LEAST_COVERAGE * steps_per_hour and any(requests > 0 for requests, _ in steps):
            yield place, steps


def _ratio(steps: list[Counts]) -> float:
    return sum(errors for _, errors in steps) / max(1.0, sum(requests for requests, _ in steps))


def _replay(hours: dict[int, list[Counts]], *, share: float, null: float, cap: float) -> list[tuple[float, ...]]:
    """Greatest evidence of each hour per fault size; each hour starts without evidence, as a rollout does.

    Carried over, one long incident would spoil the hours after it too.
    """
    ratios, thin = known_weights(null), thinner(share)
    maxima: list[tuple[float, ...]] = []
    for steps in hours.values():
        sums, top, active = [0.0] * len(GRID), [0.0] * len(GRID), 0
        for requests, errors in steps:
            arm_requests, arm_errors = requests * share, thin(errors)
            if active or arm_errors > null * arm_requests:
                active = grow(sums, active, arm_errors, arm_requests, ratios, _UNLIMITED, cap)
                for index in range(active):
                    if sums[index] > top[index]:  # noqa: PLR1730 max() costs three times as much
                        top[index] = sums[index]
        maxima.append(tuple(top))
    return maxima


def _profile(baseline: float, maxima: list[tuple[float, ...]], places: tuple[int, ...]) -> NoiseProfile:
    count = len(maxima)
    forgiven = min(max(count // SURE_HOURS - 1, 0), MOST_FORGIVEN)
    margin = 1.25 if count >= SURE_HOURS else 2.0
    thresholds: list[float] = []
    for index, ceiling in enumerate(CEILINGS):
        reached = sorted((hour[index] for hour in maxima), reverse=True)[forgiven]
        thresholds.append(min(max(ENOUGH, margin * reached), ceiling * ENOUGH))
    for index in reversed(range(len(GRID) - 1)):  # what a bigger fault needs, a smaller one needs too
        thresholds[index] = max(thresholds[index], thresholds[index + 1])
    slowed = [index for index, threshold in enumerate(thresholds) if threshold > ENOUGH]
    if not slowed:
        return NoiseProfile(baseline, tuple(thresholds), count, learned=True, note=f"calm over {count} h")
    hour = sorted(range(count), key=lambda place: maxima[place][slowed[-1]], reverse=True)[forgiven]
    needs = ", ".join(f"{GRID[index]:g}x need {thresholds[index]:.3g}" for index in slowed)
    note = (
        f"faults of {needs} instead of {ENOUGH:g}: in hour {places[hour] + 1} of the history the service did the like"
    )
    return NoiseProfile(baseline, tuple(thresholds), count, learned=True, note=note, worst_hour=places[hour])
