"""Lanes: the recorded history of one query on one grid, and the answer that a moment would have had from it. Pure.

A question that is asked at two moments shares all points that lie on the same grid; so its history is fetched once, as
one long range, and each moment's answer is a slice. That a slice of the folded history equals the folded slice holds
where variants are told apart cleanly everywhere; elsewhere the slice is folded for itself, as the operator's source
does.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pilotage.judging.evidence import PARTIAL, Answer, Answered, Measurement, Series, Unavailable
from pilotage.metrics.chunks import concatenated
from pilotage.metrics.client import QueryError, Reply, Sampled
from pilotage.metrics.grouping import Parts, fold

_ROUNDING_SECONDS = 0.001
"""Prometheus tells times in milliseconds."""

_LONG_AGO = -1e12

Change = Callable[[Answered], Answered]
"""What is made of a whole history before it is sliced, such as control in the place of treatment."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What came of one range of a lane.

    Attributes:
        start: of the range, Unix milliseconds.
        end: of the range, included.
        outcome: a reply to each query, or why there is none.
    """

    start: int
    end: int
    outcome: tuple[Parts, ...] | QueryError


@dataclass(slots=True)
class Lane:
    """Successive pieces of the history of a measurement's queries on one grid."""

    measurement: Measurement
    pieces: list[Piece] = field(default_factory=list)
    _whole: tuple[Parts, ...] = ()
    _folded: dict[object, "_Folded"] = field(default_factory=dict)

    def add(self, pieces: Sequence[Piece]) -> None:
        """Take more pieces in, wherever they lie."""
        self.pieces = sorted((*self.pieces, *pieces), key=lambda piece: piece.start)
        answered = [piece.outcome for piece in self.pieces if not isinstance(piece.outcome, QueryError)]
        self._whole = tuple(_joined(parts) for parts in zip(*answered, strict=True))
        self._folded.clear()

    def answer(self, start: float, end: float, *, key: object = None, change: Change | None = None) -> Answer:
        """What Prometheus would have answered for the steps from start to end (Unix seconds, both included).

        Args:
            start: samples before it are left out.
            end: the last step.
            key: tells one `change` from another.
            change: what is made of the history first.
        """
        if (wrong := self._wrong(start, end)) is not None:
            return wrong
        folded = self._folded.get(key)
        if folded is None:
            folded = self._folded[key] = _fold(self.measurement, self._whole, change)
        if folded.is_clean:
            sliced = folded.slice(start, end)
            if sliced is not None:
                return sliced
        answer = fold(self.measurement, [_cut(parts, start, end) for parts in self._whole], start=start)
        return change(answer) if change is not None and isinstance(answer, Answered) else answer

    def has_variant(self, variant: str, since: float) -> bool:
        """Whether a variant has a sample from some time on."""
        label = self.measurement.variant_label
        every = (one for parts in self._whole for series in parts.by_value.values() for one in series)
        return any(one.labels.get(label) == variant and one.times[-1] >= since for one in every)

    def _wrong(self, start: float, end: float) -> Answer | None:
        """Why the range has no answer: it was refused there, or the response was partial."""
        for piece in self.pieces:
            if piece.end < start * 1000 - 1 or piece.start > end * 1000 + 1:
                continue
            if isinstance(piece.outcome, QueryError):
                return Unavailable(piece.outcome.reason)
            if any(parts.partial for parts in piece.outcome):
                return PARTIAL
        return None


@dataclass(frozen=True, slots=True)
class _Folded:
    """A whole history, folded once.

    Attributes:
        by_variant: as an answer for all of it would have.
        is_clean: whether a slice of it is what folding the slice would give, wherever it is not empty.
    """

    by_variant: tuple[tuple[str, Series], ...] = ()
    is_clean: bool = False

    def slice(self, start: float, end: float) -> Answered | None:
        """The part from start to end; None where it is empty."""
        cut = ((variant, _slice(series, start, end)) for variant, series in self.by_variant)
        kept = tuple((variant, series) for variant, series in cut if series.times)
        return Answered(kept) if kept else None


def _fold(measurement: Measurement, whole: tuple[Parts, ...], change: Change | None) -> _Folded:
    if not whole or not _are_clean(measurement, whole):
        return _Folded()
    # Partial pieces are told by their times; the rest of the history is whole.
    complete = [Parts(parts.by_value, partial=False) for parts in whole]
    answer = fold(measurement, complete, start=_LONG_AGO)
    if not isinstance(answer, Answered):
        return _Folded()
    return _Folded((change(answer) if change else answer).by_variant, is_clean=True)


def _are_clean(measurement: Measurement, whole: Sequence[Parts]) -> bool:
    """Whether in all of the history each variant has one series, and either all series carry a variant or none does."""
    group = measurement.group
    variants: list[list[str]] = []
    for parts in whole:
        if group is not None and parts.by_value.keys() - {group.value}:
            return False
        series = parts.of(group.value if group else "").series
        variants.append([one.labels.get(measurement.variant_label, "") for one in series])
    if any(len(set(found)) < len(found) for found in variants):
        return False
    known = {variant for found in variants for variant in found}
    return known == {""} or "" not in known


def _slice(series: Series, start: float, end: float) -> Series:
    first = bisect_left(series.times, start - _ROUNDING_SECONDS)
    last = bisect_right(series.times, end + _ROUNDING_SECONDS)
    weights = series.weights[first:last] if series.weights else ()
    return Series(series.times[first:last], series.values[first:last], weights)


def _cut(parts: Parts, start: float, end: float) -> Parts:
    """The samples of a range, as a reply to it would have them; series without any are not in it."""
    cut = {value: tuple(_cut_series(one, start, end) for one in series) for value, series in parts.by_value.items()}
    kept: Mapping[str, tuple[Sampled, ...]] = {
        value: found for value, series in cut.items() if (found := tuple(one for one in series if one.times))
    }
    return Parts(kept, partial=False)


def _cut_series(series: Sampled, start: float, end: float) -> Sampled:
    first = bisect_left(series.times, start - _ROUNDING_SECONDS)
    last = bisect_right(series.times, end + _ROUNDING_SECONDS)
    return Sampled(series.labels, series.times[first:last], series.values[first:last])


def _joined(pieces: Sequence[Parts]) -> Parts:
    """Successive replies to one query as one."""
    values = dict.fromkeys(value for parts in pieces for value in parts.by_value)
    joined = {
        value: concatenated([Reply(parts.by_value.get(value, ()), partial=parts.partial) for parts in pieces]).series
        for value in values
    }
    return Parts(joined, partial=any(parts.partial for parts in pieces))
