"""Progress: what the sequential judge has made of a step's counts so far, and what it has to be told to go on.

The state is a fold over scrape steps, so that it may be kept between judgements or recomputed from the beginning of the
rollout's step with the same result: it is never the only place where something is known. The newest steps are folded
anew at each judgement: a scrape that was stored late is in the next time, and nothing is counted twice.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, TypeAlias

from pilotage.judging.evidence import PARTIAL, Answer, Answered, Question, Series, Stage, Unavailable
from pilotage.judging.inference.likelihood import Settings
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.inference.sequential import START, ScrapeStep, State, advance
from pilotage.resources.durations import HOUR

LONGEST_STEPS: Final = 5760
"""A day of 15 s steps. A rollout's step may last for weeks: what is older says nothing about a fault of today."""

LATE_STEPS: Final = 2
"""So many of the newest steps may still change: a scrape is stored when it ends, not when it begins."""

AWAITED_STEPS: Final = 240
"""For so long, steps without any data are asked for again; then they stay without."""

_ROUNDING: Final = 1e-3
"""Prometheus keeps milliseconds."""

Basis: TypeAlias = tuple[Question, "Arms", Settings]
"""What counts and sums depend on besides stage and noise."""


@dataclass(frozen=True, slots=True)
class Arms:
    """Whose counts are compared.

    Attributes:
        treatment: variant with the feature.
        control: variant without it.
        scale: of a window's count to its step's: a window is longer, so that no event falls between two.
    """

    treatment: str
    control: str
    scale: float


@dataclass(frozen=True, slots=True)
class Tally:
    """What the steps up to a moment amount to.

    Attributes:
        until: Unix seconds; what is later is not in.
        state: evidence and guard.
        requests: of treatment, in all.
        heard_at: Unix seconds of the last step in which treatment had requests; None before the first.
        recent: the last four steps, newest last.
    """

    until: float
    state: State = START
    requests: float = 0.0
    heard_at: float | None = None
    recent: tuple[ScrapeStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the counts of a step were followed.

    Attributes:
        stage: the step of the rollout that they belong to.
        profile: the noise that they were judged by.
        basis: what was asked, for whom, by which settings.
        settled: what will not be asked for again.
        newest: with the steps that may still change.
        retry_at: Unix seconds; the beginning of the step could not be asked for, and is then asked for again.
        uncounted_until: Unix seconds; the step is longer than what is judged, and its requests up to then are missing.
    """

    stage: Stage
    profile: NoiseProfile
    basis: Basis
    settled: Tally
    newest: Tally
    retry_at: float | None = None
    uncounted_until: float | None = None


def begun(stage: Stage, profile: NoiseProfile, basis: Basis) -> Progress:
    """Nothing is known yet: the step has just begun, or all that it counts is to be asked for."""
    tally = Tally(_first_end(stage.counted_since or stage.since, basis[0]))
    return Progress(stage, profile, basis, tally, tally)


def _first_end(since: datetime | None, tail: Question) -> float:
    """Unix seconds of the first count: a window that reaches back before `since` tells of other users."""
    assert since is not None
    return since.timestamp() + tail.window_seconds - _ROUNDING


def question_for(tail: Question, until: float, now: float) -> Question:
    """What has to be asked to go on from `until`: the tail where it reaches back so far, else all since then.

    The span grows by whole tails, so that rollouts that began together ask the same.

    Args:
        tail: asked for at every judgement.
        until: Unix seconds up to which all is known.
        now: Unix seconds.
    """
    missing = tail.end_at(now) - until
    if missing <= tail.span_seconds:
        return tail
    span = -(-missing // tail.span_seconds) * tail.span_seconds
    return replace(tail, span_seconds=min(span, LONGEST_STEPS * tail.step_seconds))


def earlier_question(tail: Question, since: float, until: float) -> Question | None:
    """Asks for the full hours of a step before `until`, as of then; None where there is none.

    They are asked only for the number of requests: a step of few users may take weeks to see enough of them.
    """
    window = HOUR + tail.step_seconds  # overlaps the one before by a scrape
    hours = (until // HOUR * HOUR - since - window) // HOUR
    return Question(tail.measurement, window, hours * HOUR, HOUR) if hours >= 1 else None


def earlier_requests(question: Question, answer: Answer, treatment: str) -> float:
    """Treatment's requests in the hours that `earlier_question` asks for."""
    series = dict(answer.by_variant).get(treatment) if isinstance(answer, Answered) else None
    return sum(series.weights) * question.step_seconds / question.window_seconds if series else 0.0


def counted_before(progress: Progress, requests: float) -> Progress:
    """With the requests of the time that is not judged any more."""
    settled, newest = (
        replace(tally, requests=tally.requests + requests) for tally in (progress.settled, progress.newest)
    )
    return replace(progress, settled=settled, newest=newest, uncounted_until=None)


def caught_up(progress: Progress, answer: Answer, *, end: float) -> Progress:
    """The progress after all new steps of an answer; the same where it could not be had.

    Args:
        progress: so far.
        answer: to a question that reaches back to `progress.settled.until`, or to the longest that is asked.
        end: the question's last step, in Unix seconds.
    """
    if isinstance(answer, Unavailable) or answer == PARTIAL:
        return progress
    tail, arms, _ = progress.basis
    settled = progress.settled
    times, steps = _steps(answer, arms, after=settled.until) if isinstance(answer, Answered) else ((), ())
    step = tail.step_seconds
    boundary = end - AWAITED_STEPS * step
    if times:
        boundary = max(boundary, times[-1] - LATE_STEPS * step)
    count = bisect_right(times, boundary + _ROUNDING)
    if count:
        settled = _added(progress, settled, times[:count], steps[:count])
    if settled.until < end - AWAITED_STEPS * step:
        settled = replace(settled, until=end - AWAITED_STEPS * step)
    if not times:
        return progress if settled is progress.settled else replace(progress, settled=settled)
    newest = _added(progress, settled, times[count:], steps[count:]) if count < len(times) else settled
    return replace(progress, settled=settled, newest=newest)


def _added(progress: Progress, tally: Tally, times: Sequence[float], steps: Sequence[ScrapeStep]) -> Tally:
    """Evidence is of all steps, requests are of those of this stage: each has to see enough of them itself."""
    tail, _, settings = progress.basis
    since = _first_end(progress.stage.since, tail)
    requests, heard_at = tally.requests, tally.heard_at
    for at, (heard, *_) in zip(times, steps, strict=True):
        if heard > 0:
            requests += heard if at >= since else 0.0
            heard_at = at
    state = advance(settings, progress.profile, steps, tally.state)
    return Tally(times[-1], state, requests, heard_at, (*tally.recent, *steps[-4:])[-4:])


def _steps(answer: Answered, arms: Arms, *, after: float) -> tuple[Sequence[float], Sequence[ScrapeStep]]:
    """The counts of both arms at each time after `after` at which either has some; one without any is no step.

    Series that carry no variant are nobody's: what they say would change when labels come up.
    """
    found = dict(answer.by_variant)
    times, treatment = _counts(found.get(arms.treatment), arms.scale, after)
    control_times, control = _counts(found.get(arms.control), arms.scale, after)
    if times == control_times:
        return times, [ScrapeStep(n, a, m, b) for (n, a), (m, b) in zip(treatment, control, strict=True)]
    ours, theirs = dict(zip(times, treatment, strict=True)), dict(zip(control_times, control, strict=True))
    both, nothing = sorted(ours.keys() | theirs.keys()), (0.0, 0.0)
    return both, [ScrapeStep(*ours.get(at, nothing), *theirs.get(at, nothing)) for at in both]


def _counts(series: Series | None, scale: float, after: float) -> tuple[Sequence[float], list[tuple[float, float]]]:
    """Requests and errors by time: a ratio and the total that it rests on; errors that are negative by rounding are 0.

    Errors are often a difference, such as all requests less the quick ones.
    """
    if series is None:
        return (), []
    first = bisect_right(series.times, after + _ROUNDING / 2)
    pairs = zip(series.values[first:], series.weights[first:], strict=True)
    return series.times[first:], [
        (total * scale, ratio * total * scale if ratio > 0 else 0.0) for ratio, total in pairs
    ]


def history_counts(
    answer: Answer, arms: Arms, *, end: float, step: float, steps: int
) -> list[tuple[float, float] | None]:
    """What the service did without the treatment, one entry for each step, oldest first; None where nothing is known.

    Control and what carries no variant are the service; an earlier treatment is not.
    """
    if not isinstance(answer, Answered):
        return []
    places: list[tuple[float, float] | None] = [None] * steps
    for variant, series in answer.by_variant:
        if variant == arms.treatment:
            continue
        times, counts = _counts(series, arms.scale, float("-inf"))
        for at, (requests, errors) in zip(times, counts, strict=True):
            place = steps - 1 - round((end - at) / step)
            if 0 <= place < steps:
                known = places[place] or (0.0, 0.0)
                places[place] = (known[0] + requests, known[1] + errors)
    return places
