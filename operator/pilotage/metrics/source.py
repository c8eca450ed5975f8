"""The source of evidence: asks Prometheus each thing once, however many rollouts want to know it.

Questions of one call that ask the same PromQL on the same grid share one range query, the longest; so do calls that
come within the same grid step. One answer serves all who ask for their group's part of it. Requests run against a
deadline: what has not come by then is `Unavailable`, and nothing here ever raises for Prometheus' faults.
"""

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from pilotage.judging.evidence import Answer, Question, Unavailable
from pilotage.metrics.asking import LONG_CONCURRENCY, Asker
from pilotage.metrics.client import IN_TIME, PrometheusClient, QueryError, TooLargeError
from pilotage.metrics.fetching import Outcome
from pilotage.metrics.grouping import fold
from pilotage.metrics.members import Members
from pilotage.metrics.streams import Stream, stream_of

DEADLINE_SECONDS = 10.0
CONCURRENCY = 8

_RESERVE = 0.05
"""Requests end by this part of the deadline before those who wait for them, so that what became of them is known."""

_LONGEST_KEPT_SECONDS = 300.0

_ALONE_SECONDS = 3600.0
"""For so long, what was too large for all groups at once is asked for each alone."""

_SWEEP_SECONDS = 1.0
"""Old answers are thrown away so often: to look through all of them for each request costs more than the requests."""


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A request under way or answered, shared until it is too old."""

    span_seconds: float
    outcome: "asyncio.Task[Outcome]"
    expires_at: float

    def is_shared_at(self, now: float) -> bool:
        """Whether it still answers those who ask now; a failure answers only those who ask while it is under way."""
        if not self.outcome.done():
            return True
        failed = self.outcome.cancelled() or isinstance(self.outcome.result(), QueryError)
        return not failed and now < self.expires_at


@dataclass(frozen=True, slots=True)
class _TooLarge:
    """From how many steps on one answer for all groups is too large, and until when (monotonic) that is believed."""

    steps: int
    until: float


class PrometheusSource:
    """Answers questions from one Prometheus, or from what speaks its API."""

    def __init__(
        self,
        url: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
        concurrency: int = CONCURRENCY,
    ) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: of Prometheus, with its path prefix if it has one.
            token_file: holds a bearer token; read anew for each request.
            ca_file: certificates that are trusted instead of the system's.
            deadline_seconds: by when a call to `ask` is answered.
            concurrency: requests at once.
        """
        connections = concurrency + LONG_CONCURRENCY
        self._client = PrometheusClient(url, token_file=token_file, ca_file=ca_file, connections=connections)
        self._asker = Asker(self._client, concurrency)
        self._deadline_seconds = deadline_seconds
        self._fetches: dict[Stream, _Fetch] = {}
        self._members = Members()
        self._too_large: dict[tuple[str, ...], _TooLarge] = {}
        self._swept_at = 0.0

    async def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:
        """The answer to each question as of `now`.

        Judge the answers by the same `now`: they end on a grid just before it.
        """
        at, until = now.timestamp(), time.monotonic() + self._deadline_seconds
        streams = {question: self._stream(question, at) for question in questions}
        outcomes = await self._outcomes(streams, until)
        # What is too much for all at once is asked for each alone, now and for a while.
        if too_large := [
            q for q, found in outcomes.items() if isinstance(found, TooLargeError) and streams[q].is_shared
        ]:
            self._remember(too_large, at)
            outcomes |= await self._outcomes({question: self._stream(question, at) for question in too_large}, until)
        return {question: _answer(question, at, outcome) for question, outcome in outcomes.items()}

    async def close(self) -> None:
        """Give up what is under way, and the connections."""
        for fetched in self._fetches.values():
            fetched.outcome.cancel()
        await asyncio.gather(*(fetched.outcome for fetched in self._fetches.values()), return_exceptions=True)
        self._fetches.clear()
        await self._asker.close()
        self._client.close()

    async def __aenter__(self) -> Self:
        """Use as a context: closed at the end."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def _outcomes(self, streams: Mapping[Question, Stream], until: float) -> dict[Question, Outcome]:
        """What came of the questions by the deadline; those of a stream share its longest span."""
        spans: dict[Stream, float] = {}
        for question, stream in streams.items():
            spans[stream] = max(question.steps * question.step_seconds, spans.get(stream, 0.0))
        fetches = {stream: self._fetch(stream, span, until) for stream, span in spans.items()}
        if fetches:
            await asyncio.wait([each.outcome for each in fetches.values()], timeout=until - time.monotonic())
        return {question: _outcome(fetches[stream]) for question, stream in streams.items()}

    def _stream(self, question: Question, now: float) -> Stream:
        everybody = stream_of(question, now)
        group = question.measurement.group
        if group is None or not everybody.is_shared:
            return everybody
        known = self._too_large.get(everybody.queries)
        if known is not None and question.steps >= known.steps and time.monotonic() < known.until:
            return stream_of(question, now, alone=True)
        names = self._members.named(everybody.queries, group.value, end=everybody.end, step=everybody.step)
        return stream_of(question, now, names=names) if names else everybody

    def _remember(self, questions: Collection[Question], now: float) -> None:
        """That one answer for all is too large for the longest of these."""
        until = time.monotonic() + _ALONE_SECONDS
        for question in sorted(questions, key=lambda each: each.steps):
            self._too_large[stream_of(question, now).queries] = _TooLarge(question.steps, until)

    def _fetch(self, stream: Stream, span: float, until: float) -> _Fetch:
        """The fetch of a stream: one that covers the span and is young enough, else a new one."""
        now = time.monotonic()
        known = self._fetches.get(stream)
        if known is not None and known.span_seconds >= span and known.is_shared_at(now):
            return known
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._fetches = {key: kept for key, kept in self._fetches.items() if kept.is_shared_at(now)}
            self._swept_at = now
        task = asyncio.create_task(self._asker.ask(stream, span, until - _RESERVE * self._deadline_seconds))
        made = _Fetch(span, task, now + _kept_seconds(stream))
        self._fetches[stream] = made
        return made


def _kept_seconds(stream: Stream) -> float:
    """For how long an answer is shared after it was asked for."""
    if stream.is_long and stream.step < _LONGEST_KEPT_SECONDS:
        return 0.0  # a history is large and asked for once: nobody else comes for it
    return min(max(stream.step, 1.0), _LONGEST_KEPT_SECONDS)


def _outcome(fetched: _Fetch) -> Outcome:
    return fetched.outcome.result() if fetched.outcome.done() else QueryError("timeout", IN_TIME)


def _answer(question: Question, now: float, outcome: Outcome) -> Answer:
    if isinstance(outcome, QueryError):
        return Unavailable(outcome.reason)
    return fold(question.measurement, outcome, start=question.end_at(now) - question.span_seconds)
