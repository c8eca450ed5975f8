"""History: answers questions as of any moment of a range, from few large range queries.

What the operator would have been told at a moment is a slice of what Prometheus tells for all of the range: its grids
are fetched whole, in pieces of at most 11,000 points, and only once.
"""

import math
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from pilotage.backtest.lanes import Change, Lane, Piece
from pilotage.judging.evidence import Answer, Measurement, Question
from pilotage.metrics.chunks import MOST_POINTS
from pilotage.metrics.client import QueryError, TooLargeError
from pilotage.metrics.fetching import QueryApi, fetch
from pilotage.metrics.streams import Stream, stream_of

REQUEST_SECONDS = 120.0
"""What one range may take; the operator's deadline is for short ones."""

_LEAST_POINTS = 8
_OF_THE_RANGE = re.compile(r"@\s*(start|end)\s*\(")

Tell = Callable[[str], None]
"""Is told what is being fetched."""


class HistoryError(Exception):
    """The history can't be read; the message says why."""


class UnfitError(Exception):
    """A query that no recorded history can answer; the message says why."""


@dataclass(frozen=True, slots=True)
class _Key:
    """Of a lane: the queries on one grid, which is its step and where it lies; times in milliseconds."""

    measurement: Measurement
    queries: tuple[str, ...]
    step: int
    phase: int
    lookback_seconds: float | None


@dataclass
class History:
    """What Prometheus knows of a range.

    Attributes:
        api: Prometheus, or a file.
        since: the first moment that may be asked about.
        until: the last one.
        tell: is told what is fetched, for people who wait.
        requests: ranges that were asked for so far.
    """

    api: QueryApi
    since: datetime
    until: datetime
    tell: Tell = lambda _text: None
    requests: int = 0
    _lanes: dict[_Key, Lane] = field(default_factory=dict)
    _recent: dict[Question, tuple[int, int, float, Lane]] = field(default_factory=dict)
    _streams: dict[Question, Stream] = field(default_factory=dict)

    def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:
        """The answer to each question as Prometheus would have given it at `now`.

        Raises:
            HistoryError: Prometheus can't be asked.
            UnfitError: a query depends on the range that it is asked for.
        """
        return {question: self.answer(question, now.timestamp()) for question in questions}

    def answer(self, question: Question, now: float, *, key: object = None, change: Change | None = None) -> Answer:
        """The answer to one question at a moment in Unix seconds; `change` is made of its history first."""
        end = question.end_at(now)
        start = end - question.steps * question.step_seconds
        return self._lane(question, start, end).answer(end - question.span_seconds, end, key=key, change=change)

    def has_variant(self, question: Question, variant: str) -> bool:
        """Whether a variant has a series of its own somewhere in the range."""
        end = question.end_at(self.until.timestamp())
        lane = self._lane(question, end - question.steps * question.step_seconds, end)
        return lane.has_variant(variant, self.since.timestamp())

    def _lane(self, question: Question, start: float, end: float) -> Lane:
        known = self._recent.get(question)
        if known is not None and (round(end * 1000) - known[0]) % known[1] == 0 and known[2] <= start:
            return known[3]
        stream = self._streams.get(question)
        if stream is None:
            # For its own group alone: a history of all rollouts would fit nowhere.
            stream = self._streams[question] = stream_of(question, end, alone=True)
            _check(stream)
        step = round(question.step_seconds * 1000)
        last = round(end * 1000)
        key = _Key(question.measurement, stream.queries, step, last % step, stream.lookback_seconds)
        lane = self._lanes.setdefault(key, Lane(question.measurement))
        lowest = min(question.end_at(self.since.timestamp()) - question.steps * question.step_seconds, start)
        highest = max(self.until.timestamp(), end)
        self._extend(lane, stream, key, _floor(lowest, key), _floor(highest, key))
        self._recent[question] = last, step, lowest, lane
        return lane

    def _extend(self, lane: Lane, stream: Stream, key: _Key, lowest: int, highest: int) -> None:
        """Fetch what the lane lacks of a range."""
        if not lane.pieces:
            lane.add(self._fetch(stream, lowest, highest))
            return
        first, last = lane.pieces[0].start, lane.pieces[-1].end
        if lowest < first:
            lane.add(self._fetch(stream, lowest, first - key.step))
        if highest > last:
            lane.add(self._fetch(stream, last + key.step, highest))

    def _fetch(self, stream: Stream, first: int, last: int) -> list[Piece]:
        step = round(stream.step * 1000)
        points = MOST_POINTS
        found: list[Piece] = []
        while first <= last:
            end = min(first + (points - 1) * step, last)
            piece = self._ask(stream, first, end)
            if isinstance(piece.outcome, QueryError):
                if _is_too_much(piece.outcome) and end - first > _LEAST_POINTS * step:
                    points = max((end - first) // step // 2, _LEAST_POINTS)
                    continue
                if piece.outcome.kind != "rejected":
                    raise HistoryError(piece.outcome.reason)
            found.append(piece)
            first = end + step
        return found

    def _ask(self, stream: Stream, first: int, last: int) -> Piece:
        self.requests += 1
        self.tell(f"{(last - first) / stream.step / 1000 + 1:.0f} points of {' '.join(stream.queries[-1].split())}")
        asked = replace(stream, end=last / 1000)
        until = time.monotonic() + REQUEST_SECONDS
        fetched = fetch(self.api, asked, (last - first) / 1000, until, as_vector=False)
        return Piece(first, last, fetched.outcome)


def _floor(at: float, key: _Key) -> int:
    """The last point of the grid up to a time, in milliseconds."""
    found = math.floor(at * 1000 + 0.5)
    return found - (found - key.phase) % key.step


def _is_too_much(error: QueryError) -> bool:
    return isinstance(error, TooLargeError) or error.kind == "timeout"


def _check(stream: Stream) -> None:
    for query in stream.queries:
        if _OF_THE_RANGE.search(query):
            msg = f"@ start() and @ end() mean another moment at each judgement: {query}"
            raise UnfitError(msg)
