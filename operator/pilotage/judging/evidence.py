"""What is asked of Prometheus and what came back, as plain frozen data.

A `Question` is hashable: rollouts that ask the same share one answer. An answer is one of three, never a bare number:
`Answered`, `NoData` (Prometheus answered, but with nothing to judge by) and `Unavailable` (it could not be asked).
"""

from dataclasses import dataclass

from pilotage.resources.durations import HOUR


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
class Measurement:
    """An indicator's queries after `$namespace`, `$rollout`, `$flag` are filled in; `$window` is still open.

    Exactly one of `query` and the pair `errors`, `total` is set.
    """

    query: str = ""
    errors: str = ""
    total: str = ""
    variant_label: str = "variant"


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask: the measurement over a window, at each step of the last `span_seconds`.

    `span_seconds` 0 asks for the present value alone. Identical questions are asked once.
    """

    measurement: Measurement
    window_seconds: float
    span_seconds: float
    step_seconds: float

    def end_at(self, now: float) -> float:
        """The last step's time (Unix seconds) when asked at `now`.

        It lies on a grid, so that rollouts that are due together ask for the same: 5 s or the step where that is
        shorter, up to the full hour (UTC) for steps of hours.
        """
        step = self.step_seconds
        grid = HOUR if step >= HOUR else max(min(step, 5.0), step / 12)
        return float(now // grid * grid)


@dataclass(frozen=True, slots=True)
class Answered:
    """Prometheus answered with data.

    `by_variant` maps a variant's name to its series; the key is "" where the answer has no variant label. For errors
    and total the values are ratios; steps at which total was 0 or absent are left out.
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


Answer = Answered | NoData | Unavailable
