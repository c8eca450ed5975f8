"""What is asked of Prometheus and what came back, as plain frozen data.

A `Question` is hashable: rollouts that ask the same share one answer. An answer is one of three, never a bare number:
`Answered`, `NoData` (Prometheus answered, but with nothing to judge by) and `Unavailable` (it could not be asked).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pilotage.judging.incidents import Incident
from pilotage.resources.durations import HOUR, MINUTE

if TYPE_CHECKING:
    from pilotage.judging.inference.noise import NoiseProfile
    from pilotage.judging.progress import Progress


SETTLING_SECONDS = 1.0
"""A scrape is stored so long after its time at the latest; what is counted once must be complete."""


@dataclass(frozen=True, slots=True)
class Series:
    """Values at times, ascending; no gaps are filled in.

    Attributes:
        times: Unix seconds; the value at a time speaks of the window that ends there.
        values: finite numbers, in the indicator's unit.
        weights: how many events each value rests on, where that is known (errors and total); else empty.
    """

    times: tuple[float, ...]
    values: tuple[float, ...]
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Which series are one rollout's, where one query answers for many: those whose label has exactly this value."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """An indicator's queries after `$namespace`, `$rollout`, `$flag` are filled in; `$window` is still open.

    Exactly one of `query`, `buckets` and the pairs `errors`, `total` and `good`, `total` is set; of buckets, what lies
    above `above` counts as errors. Where there is a group, `$group`
    is open too: it stands for every value of the label where all are asked at once, for the group's own where it is
    asked alone.
    """

    query: str = ""
    errors: str = ""
    total: str = ""
    variant_label: str = "variant"
    group: Group | None = None
    good: str = ""
    buckets: str = ""
    above: float | None = None

    @property
    def counts_errors(self) -> bool:
        """Whether its answers are errors over total."""
        return bool(self.errors) or self.above is not None

    @property
    def queries(self) -> tuple[str, ...]:
        """The query, the buckets', or errors (or good) and total."""
        one = self.query or self.buckets
        return (one,) if one else (self.errors or self.good, self.total)


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: the measurement over a window, at each step of the last `span_seconds`.

    `span_seconds` 0 asks for the present value alone. Identical questions are asked once. Steps of an `aligned`
    question lie just before multiples of `step_seconds` (Unix time): whenever it is asked, a step is the same stretch
    of time, and its scrape has been stored.
    """

    measurement: Measurement
    window_seconds: float
    span_seconds: float
    step_seconds: float
    aligned: bool = False

    @property
    def has_its_moments(self) -> bool:
        """Whether it is best asked at multiples of its step: then others ask the same, or a step has just ended."""
        return self.aligned or self.measurement.group is not None

    @property
    def steps(self) -> int:
        """How many steps reach back over the span."""
        return math.ceil(self.span_seconds / self.step_seconds - 1e-9)

    def end_at(self, now: float) -> float:
        """The last step's time (Unix seconds) when asked at `now`.

        It lies on a grid, so that rollouts that are due together ask for the same: the full second or the step where
        that is shorter, up to the full hour (UTC) for steps of hours. Where one query answers for many, it is the step,
        up to a minute: those who are late in an interval still ask what the first ones asked.
        """
        step = self.step_seconds
        if self.aligned:
            # Who is asked at a multiple of the step, as judgements are, has the newest scrape by then.
            settling = min(SETTLING_SECONDS, step / 5)
            return float((now + 1e-6) // step * step - settling)
        shared = MINUTE if self.measurement.group else 1.0
        grid = HOUR if step >= HOUR else max(min(step, shared), step // 12)
        return float(now // grid * grid)


@dataclass(frozen=True, slots=True)
class Answered:
    """Prometheus answered with data.

    `by_variant` maps a variant's name to its series; the key is "" where the answer has no variant label. For errors
    (or good) and total the values are ratios; steps at which total was 0 or absent are left out.
    """

    by_variant: tuple[tuple[str, Series], ...]

    def series_of(self, variant: str) -> Series | None:
        """The variant's series; the only one, where it carries no variant; else None."""
        found = dict(self.by_variant)
        if variant in found:
            return found[variant]
        # Beside labelled series, an unlabelled one is the rest (traffic that no flag was asked for), not the treatment.
        return found.get("") if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class NoData:
    """Prometheus answered, and there is nothing to judge by: empty, NaN, stale, doubled series, a partial response."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Prometheus could not be asked: refused, timed out, an error status, a query that it rejects."""

    reason: str


PARTIAL = NoData("Prometheus warns that its response is partial")
"""Another time the answer may be whole."""

Answer = Answered | NoData | Unavailable


@dataclass(frozen=True, slots=True)
class Stage:
    """The step that a rollout is in, as far as judging has to know it.

    Attributes:
        name: of the step; empty before the first.
        since: when its users were in force, or decided while that is not known; None before the first.
        counted_since: from when on counts tell of the feature among growing users: the steps before are counted too,
            back to the first one or to the last way back; None for `since`.
        share: of the audience that has the feature, 0 to 1; None where it is not known.
        settled_since: from when on its users were in force without a break; None for `since`.
        balance: treatment's part of both arms where they are equal, 0 to 1; None where it is not known.
    """

    name: str = ""
    since: datetime | None = None
    share: float | None = None
    counted_since: datetime | None = None
    balance: float | None = None
    settled_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that rules are judged by.

    Attributes:
        answers: to the questions of the rules.
        stage: where the rollout is.
        profiles: by the name of a sequential rule, what was learned of the service's noise for this stage.
        progress: by the name of a sequential rule, what its counts since the beginning of the stage amount to.
        incidents: that concern the rollout; None while they are not listed.
        recorded_since: incidents were recorded for the rollout from here on; None if they always were.
    """

    answers: Mapping[Question, Answer]
    stage: Stage = field(default_factory=Stage)
    profiles: "Mapping[str, NoiseProfile]" = field(default_factory=dict)
    progress: "Mapping[str, Progress]" = field(default_factory=dict)
    incidents: tuple[Incident, ...] | None = None
    recorded_since: datetime | None = None
