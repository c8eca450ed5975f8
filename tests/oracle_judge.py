"""The oracle: the sequential judge's rule once more, written for being read, as the prototype had it.

Tests compare the operator's judge with it. It shares no code with the operator, takes no shortcut and recomputes all
weights and windows in every step. Its thinning draws one random number per error, so thresholds of thinned histories
agree in law only; at share 1 nothing is drawn and they are equal.
"""

from collections.abc import Iterator
from math import log, sqrt
from random import Random
from statistics import median

GRID = (1.5, 2.0, 3.0, 5.0, 10.0, 25.0, 80.0)
CEILINGS = (13, 13, 13, 13, 7, 2, 2)
ENOUGH, GUARD_ENOUGH = 9.0, 6.0
WINDOWS = ((4, 2.0), (40, 1.5))
FREEZE = 0.2


def shrink(added: float, errors: float, cap: float) -> float:
    """Positive evidence only: less for errors of one step, which are correlated, and never more than the cap."""
    return min(added / (1 + 0.02 * max(errors - 1, 0)), cap) if added > 0 else added


def weights(null: float) -> Iterator[tuple[float, float]]:
    """What an error and a request are worth, per fault size."""
    for size in GRID:
        ratio = min(size * null, 1 - (1 - null) * 0.02)
        by_request = log((1 - ratio) / (1 - null))
        yield log(ratio / null) - by_request, by_request


def learn(
    history: list[tuple[float, int]], share: float, objective: float, *, phi: float = 0.5, drop: int = 2, factor: float
) -> tuple[float, list[float]]:
    """The long-run ratio and the threshold per fault size; 240 steps are an hour, and each starts at zero."""
    hours = [history[start : start + 240] for start in range(0, len(history) - 239, 240)]
    base = median(sum(e for _, e in hour) / max(1, sum(n for n, _ in hour)) for hour in hours)
    worth = list(weights(max(phi * objective, 1.5 * base)))
    random = Random(1)
    maxima: list[list[float]] = [[] for _ in GRID]
    for hour in hours:
        top, sums = [0.0] * len(GRID), [0.0] * len(GRID)
        for requests, errors in hour:
            kept = sum(random.random() < share for _ in range(errors))
            for j, (by_error, by_request) in enumerate(worth):
                added = shrink(kept * by_error + requests * share * by_request, kept, ENOUGH / 6)
                sums[j] = max(0.0, sums[j] + added)
                top[j] = max(top[j], sums[j])
        for j, value in enumerate(top):
            maxima[j].append(value)
    reached = [factor * sorted(values)[-1 - drop] for values in maxima]
    found = [min(max(ENOUGH, value), ceiling * ENOUGH) for value, ceiling in zip(reached, CEILINGS, strict=True)]
    for j in range(len(found) - 2, -1, -1):
        found[j] = max(found[j], found[j + 1])
    return base, found


class Oracle:
    """The judge of one stage."""

    def __init__(
        self, objective: float, base: float, thresholds: list[float], *, phi: float = 0.5, least_steps: int = 6
    ) -> None:
        """Start without evidence."""
        self.null = min(max(phi * objective, 1.5 * base), 0.95)
        self.thresholds, self.cap = thresholds, ENOUGH / least_steps
        self.control: list[tuple[float, float]] = []
        self.evidence, self.guard = [0.0] * len(GRID), [0.0] * len(GRID)

    def step(self, n: float, a: float, m: float, b: float) -> tuple[str, float, float, float]:
        """One scrape: requests and errors of treatment and control. -> outcome, fault ratio, evidence, guard."""
        self.control = [*self.control, (m, b)][-WINDOWS[-1][0] :]
        raised = self.null
        for length, multiple in WINDOWS:
            requests = sum(x for x, _ in self.control[-length:])
            errors = sum(y for _, y in self.control[-length:])
            raised = min(max(raised, multiple * max(0.0, errors - sqrt(errors)) / max(requests, 1)), 0.95)
        both = zip(weights(raised), weights(self.null), strict=True)
        for j, ((error, request), (null_error, null_request)) in enumerate(both):
            added = shrink(a * error + n * request, a, self.cap)
            unraised = min(shrink(a * null_error + n * null_request, a, self.cap), 0.0)
            added = max(added, unraised - FREEZE * self.cap)
            self.evidence[j] = min(max(0.0, self.evidence[j] + added), self.thresholds[j])
            if n and m:
                odds, size = 1.5 * n / m, GRID[j]
                added = a * log(size * (1 + odds) / (1 + size * odds)) + b * log((1 + odds) / (1 + size * odds))
                self.guard[j] = min(max(0.0, self.guard[j] + shrink(added, a + b, self.cap)), 2 * GUARD_ENOUGH)
        k = max(range(len(GRID)), key=lambda j: self.evidence[j] / self.thresholds[j])
        x, y = self.evidence[k] / self.thresholds[k], max(self.guard) / GUARD_ENOUGH
        outcome = "rollback" if x >= 1 - 1e-9 and y >= 1 - 1e-9 else "hold" if x >= 0.5 else "pass"
        return outcome, GRID[k] * raised, x, y
