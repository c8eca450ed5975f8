"""The sequential judge: has treatment an error ratio that it must not have, by the counts of all steps so far?

Two cumulative sums per fault size. The *evidence* says that treatment's ratio is above the null; while control is
elevated too, the null rises with it. The *guard* says that of the errors of a step treatment has more than 1.5 times
what its traffic explains. A rollback needs both: a shared incident moves the first, never the second. Sums that fall to
0 start anew, so that late faults are found; no step adds more than a `least_steps`-th of what decides. Steps without
data change nothing. Sources and formulas: `likelihood`; conditional test of two counts: Przyborowski and Wilenski 1940.

`advance` is a fold over steps: any split of them gives the same state, bit for bit.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf, log, sqrt
from typing import Final, Literal, NamedTuple, TypeAlias

from pilotage.judging.inference.likelihood import (
    ENOUGH,
    GREATEST_NULL,
    GRID,
    Settings,
    damping,
    divergence,
    each_weight,
    fault_ratio,
    grow,
    known_weights,
)
from pilotage.judging.inference.noise import NoiseProfile

__all__ = ["START", "ScrapeStep", "Settings", "State", "Verdict", "advance", "least_requests", "verdict_of"]

Outcome: TypeAlias = Literal["pass", "hold", "rollback"]

GUARD_MARGIN: Final = 1.5
"""Treatment may have this multiple of control's error ratio."""

GUARD_ENOUGH: Final = 6.0
_GUARD_LIMIT: Final = 2 * GUARD_ENOUGH

RAISED_BY: Final = ((4, 2.0), (40, 1.5))
"""The null is at least the multiple of control's ratio over so many last steps: sudden and lasting shared incidents."""

_SHORT, _LONG = RAISED_BY[0][0], RAISED_BY[-1][0]

FREEZE: Final = 0.2
"""Share of the cap that a step may take away only because control raised the null: a bad step of control alone must not
erase what was found."""

_GREATEST_ODDS: Final = 1e12
"""Beyond, sums of logarithms lose their digits, and control is as good as absent."""

_ROUNDING: Final = 1e-9
_NOTHING: Final = (0.0,) * len(GRID)
_LOGS: Final = tuple((size, log(size)) for size in GRID)


class ScrapeStep(NamedTuple):
    """What one scrape interval saw; counts may be fractional, `increase` extrapolates."""

    requests: float
    errors: float
    control_requests: float
    control_errors: float


@dataclass(frozen=True, slots=True)
class State:
    """What the steps so far amount to.

    Attributes:
        evidence: per fault size of GRID, at most its threshold.
        guard: per fault size.
        control: control's requests and errors counted up from the start, at the ends of the last 40 steps and before
            them: windows are differences of two, which no split of the steps changes.
        null_ratio: of the last step, raised by control or not; 0 before the first.
    """

    evidence: tuple[float, ...] = _NOTHING
    guard: tuple[float, ...] = _NOTHING
    control: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    null_ratio: float = 0.0


START: Final = State()
"""No evidence."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the state says.

    Attributes:
        outcome: `rollback` needs evidence and guard; half of the evidence is a `hold`.
        fault_size: the size that the evidence speaks for most, as a multiple of the null; telling only with evidence.
        fault_ratio: the error ratio that this stands for.
        evidence: its share of what is enough, 0 to 1. Without history 1 may be enough to hold only: see `outcome`.
        guard: share of what is enough, 0 to 2.
        null_ratio: the error ratio that is no fault.
        raised: control is elevated and raised the null: a shared incident is suspected.
        unguarded: control had no requests in the last 4 steps: nothing to compare with, so no rollback.
    """

    outcome: Outcome
    fault_size: float
    fault_ratio: float
    evidence: float
    guard: float
    null_ratio: float
    raised: bool
    unguarded: bool


def advance(
    settings: Settings, profile: NoiseProfile, steps: Iterable[ScrapeStep | None], state: State = START
) -> State:
    """The state after more steps.

    Args:
        settings: of the rollout.
        profile: of the service's noise; the same for all steps from `START` on.
        steps: in order of time. None and counts that are no counts (negative, NaN, infinite) are steps without data.
            Errors beyond the requests (extrapolation again) are counted as all requests.
        state: after the steps before.
    """
    sums = _Sums(settings, profile, state)
    for step in steps:
        if step is None:
            continue
        n, a, m, b = step
        if 0 <= a <= n < inf and 0 <= b <= m < inf:
            sums.add(n, a, m, b)
        elif all(0 <= count < inf for count in (n, a, m, b)):
            sums.add(n, min(a, n), m, min(b, m))
    return sums.state()


class _Sums:
    """The sums while steps are added: they change in place, which is what makes judging cheap."""

    __slots__ = (
        "_active",
        "_calm",
        "_cap",
        "_control",
        "_evidence",
        "_guard",
        "_guarding",
        "_limits",
        "_null",
        "_start",
    )

    def __init__(self, settings: Settings, profile: NoiseProfile, state: State) -> None:
        self._start = state
        self._null, self._cap, self._limits = profile.null_ratio(settings), settings.cap, profile.limits
        self._calm = known_weights(self._null)
        self._evidence, self._guard, self._control = list(state.evidence), list(state.guard), list(state.control)
        self._active = len(GRID) if any(state.evidence) else 0
        self._guarding = len(GRID) if any(state.guard) else 0

    def add(self, n: float, a: float, m: float, b: float) -> None:
        """Add a step: treatment's requests n and errors a, control's m and b."""
        requests, errors = self._control[-1]
        self._control.append((requests + m, errors + b))
        # Sums can't rise while treatment's ratio is below the null's, or its part of the errors below the guard's.
        if self._active or a > self._null * n:
            raised = _raised(self._null, self._control)
            if raised > self._null:
                self._add_raised(n, a, raised)
            else:
                self._active = grow(self._evidence, self._active, a, n, self._calm, self._limits, self._cap)
        if n and m and (a or b):
            odds = min(GUARD_MARGIN * n / m, _GREATEST_ODDS)
            if self._guarding or a > b * odds:
                self._add_guard(a, a + b, odds)

    def _add_raised(self, n: float, a: float, raised: float) -> None:
        """As `grow`, but only what speaks against the raised null is positive.

        What is negative only because of the raise takes FREEZE of the cap at most.
        """
        sums, limits, cap, damped = self._evidence, self._limits, self._cap, damping(a)
        active, self._active = self._active, 0
        freeze = -FREEZE * cap
        for index, (by_error, by_request) in enumerate(each_weight(raised)):
            added = a * by_error + n * by_request
            if added > 0:
                added = min(added / damped, cap)
            elif index >= active:
                break
            elif added < freeze:
                calm_error, calm_request = self._calm[index]
                added = max(added, min(a * calm_error + n * calm_request, 0.0) + freeze)
            total = min(max(sums[index] + added, 0.0), limits[index])
            sums[index] = total
            if total > 0:
                self._active = index + 1

    def _add_guard(self, a: float, both: float, odds: float) -> None:
        """Is treatment's part of the errors r times what the odds say?

        Given a + b errors, a is binomial with odds o = 1.5 n/m if treatment has 1.5 times control's ratio. For Poisson
        counts the exponential of a ln(r(1+o)/(1+ro)) + b ln((1+o)/(1+ro)) has a mean of at most 1 up to there. It is
        concave in ln r, so that the same shortcut holds as in `grow`.
        """
        sums, cap, damped = self._guard, self._cap, damping(both)
        active, self._guarding = self._guarding, 0
        whole = 1 + odds
        for index, (size, log_size) in enumerate(_LOGS):
            added = a * log_size + both * log(whole / (1 + size * odds))
            if added > 0:
                added /= damped
                if added > cap:  # noqa: PLR1730 min() costs three times as much
                    added = cap
            elif index >= active:
                break
            total = sums[index] + added
            if total > 0:
                sums[index] = min(_GUARD_LIMIT, total)
                self._guarding = index + 1
            else:
                sums[index] = 0.0

    def state(self) -> State:
        """What the steps amount to; the state that it began with if there was none."""
        control = self._control
        if len(control) == len(self._start.control):
            return self._start
        raised = _raised(self._null, control)
        return State(tuple(self._evidence), tuple(self._guard), tuple(control[-_LONG - 1 :]), raised)


def _raised(null: float, control: list[tuple[float, float]]) -> float:
    """The null, raised by a lower bound of control's ratio now: (B - sqrt B) / M over each window.

    One standard deviation of Poisson counts is taken off, so that control's own counting noise raises nothing.
    """
    requests_now, errors_now = control[-1]
    last = len(control) - 1
    for window, multiple in RAISED_BY:
        requests, errors = control[last - window] if window < last else control[0]
        errors, requests = errors_now - errors, requests_now - requests
        if errors > 1 and multiple * errors > null * requests:  # else the bound can't exceed the null
            null = max(null, multiple * (errors - sqrt(errors)) / max(requests, 1.0))
    return min(null, GREATEST_NULL)


def verdict_of(settings: Settings, profile: NoiseProfile, state: State) -> Verdict:
    """What to make of the state; `settings` and `profile` are those that it was advanced with."""
    null = profile.null_ratio(settings)
    elevated = max(state.null_ratio, null)
    reached = [found / limit for found, limit in zip(state.evidence, profile.limits, strict=True)]
    deciding = [found / threshold for found, threshold in zip(state.evidence, profile.thresholds, strict=True)]
    guard = max(state.guard) / GUARD_ENOUGH
    unguarded = _unguarded(state)
    enough = 1 - _ROUNDING
    outcome: Outcome = "hold" if max(reached) >= 1 / 2 else "pass"
    if max(deciding) >= enough and guard >= enough and not unguarded:
        outcome, reached = "rollback", deciding
    index = max(range(len(GRID)), key=reached.__getitem__)
    return Verdict(
        outcome=outcome,
        fault_size=GRID[index],
        fault_ratio=fault_ratio(GRID[index], elevated),
        evidence=reached[index],
        guard=guard,
        null_ratio=elevated,
        raised=elevated > null,
        unguarded=unguarded,
    )


def _unguarded(state: State) -> bool:
    """Whether control had no requests of late, though there were steps."""
    control = state.control
    return len(control) > 1 and control[-1][0] == control[max(len(control) - 1 - _SHORT, 0)][0]


def least_requests(settings: Settings, profile: NoiseProfile, size: float = 5.0) -> int:
    """Treatment's requests after which a fault of `size` times the null would have shown on average: h / KL(r p || p).

    Before that many a step has proved nothing and must not advance: 218 for 5 x 1 %.
    """
    null = profile.null_ratio(settings)
    return ceil(ENOUGH / divergence(fault_ratio(size, null), null))
