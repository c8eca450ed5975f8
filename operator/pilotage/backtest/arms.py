"""Arms: whose metrics stand for the treatment where nobody had the feature yet. Pure.

The service's own history is split in two, both healthy (A/A): what the rules do then, they do to a feature that changes
nothing. Of errors and total, treatment gets the share that it would have had: its requests are scaled, and of the
errors a binomial number is drawn, so that its small numbers are as noisy as those of a small arm. Control is the rest.
What is no count (a latency, a score) can't be split afterwards: both arms have it as it is.
"""

import hashlib
from collections.abc import Hashable
from dataclasses import dataclass

from pilotage.backtest.lanes import Change
from pilotage.judging.evidence import Answered, Question, Series
from pilotage.judging.inference.thinning import thinned_at
from pilotage.resources.rollout import Feature

_BITS = 53
"""As many as a float has."""


@dataclass(frozen=True, slots=True)
class Split:
    """How a history is split.

    Attributes:
        treatment: name of the variant.
        control: name of the variant; its history is split, or that without a variant.
        share: of the counts that treatment gets, in (0, 1].
        block_seconds: counts of so long have one quantile: windows that overlap keep what they have in common.
    """

    treatment: str
    control: str
    share: float
    block_seconds: float

    @property
    def key(self) -> Hashable:
        """Tells one split from another."""
        return (self.share, self.block_seconds)


def split_for(question: Question, feature: Feature, share: float) -> Split:
    """The split for a question: steps of an aligned one are counted apart, windows of any other overlap."""
    block = question.step_seconds if question.aligned else max(question.window_seconds, question.step_seconds)
    return Split(feature.treatment, feature.control, share, block)


def change_of(split: Split) -> Change:
    """What makes of a history two arms that are alike."""

    def change(answer: Answered) -> Answered:
        base = _base(answer, split)
        if base is None:
            return answer
        if not base.weights or split.share >= 1:
            arms = ((split.treatment, base),) if base.weights else ((split.treatment, base), (split.control, base))
        else:
            arms = _thinned(base, split)
        return Answered(tuple(sorted((name, series) for name, series in arms if series.times)))

    return change


def _base(answer: Answered, split: Split) -> Series | None:
    """The healthy history: control's, that without a variant, or, where all had the feature, treatment's."""
    found = dict(answer.by_variant)
    return next((found[name] for name in (split.control, "", split.treatment) if name in found), None)


def _thinned(base: Series, split: Split) -> tuple[tuple[str, Series], tuple[str, Series]]:
    treatment: list[tuple[float, float, float]] = []
    control: list[tuple[float, float, float]] = []
    uniform = _Uniform(split)
    for at, ratio, total in zip(base.times, base.values, base.weights, strict=True):
        requests, all_errors = total * split.share, ratio * total
        errors = min(thinned_at(all_errors, split.share, uniform.at(at)), requests)
        rest = total - requests
        treatment.append((at, errors / requests, requests))
        control.append((at, min(max(all_errors - errors, 0.0) / rest, 1.0), rest))
    return (split.treatment, _series(treatment)), (split.control, _series(control))


def _series(points: list[tuple[float, float, float]]) -> Series:
    times, values, weights = zip(*points, strict=True) if points else ((), (), ())
    return Series(times, values, weights)


class _Uniform:
    """A quantile for each block of time, always the same one: a backtest says the same when it is run again."""

    def __init__(self, split: Split) -> None:
        self._seconds = split.block_seconds
        self._salt = f"{split.share:.9f}"
        self._block = -1
        self._value = 0.5

    def at(self, time: float) -> float:
        """The quantile of the block that a time (Unix seconds) lies in, in (0, 1)."""
        block = int(time // self._seconds)
        if block != self._block:
            digest = hashlib.blake2b(f"{self._salt}/{block}".encode(), digest_size=8).digest()
            self._block = block
            self._value = ((int.from_bytes(digest) >> (64 - _BITS)) + 0.5) / 2**_BITS
        return self._value
