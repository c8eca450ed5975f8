"""The source of evidence: asks Prometheus each thing once, however many rollouts want to know it.

Questions of one call that ask the same PromQL on the same grid share one range query, the longest; so do calls that
come within the same grid step. Requests run in a bounded pool of threads and against a deadline: what has not come by
then is `Unavailable`, and nothing here ever raises for Prometheus' faults.
"""

import asyncio
import math
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from pilotage.judging.evidence import Answer, Question, Unavailable
from pilotage.judging.questions import WINDOW
from pilotage.metrics.breaker import Breaker
from pilotage.metrics.client import IN_TIME, PrometheusClient, QueryError, Reply
from pilotage.metrics.fold import fold_query, fold_ratio
from pilotage.metrics.telemetry import QUERIES, QUERY_SECONDS

DEADLINE_SECONDS = 10.0
CONCURRENCY = 8

_REQUEST_SHARE = 0.95
"""Requests end a little before those who wait for them, so that what became of them is known by then."""

_LONGEST_KEPT_SECONDS = 300.0
_PROMETHEUS_LOOKBACK_SECONDS = 300.0

_Outcome = Reply | QueryError


@dataclass(frozen=True, slots=True)
class _Stream:
    """One PromQL on one grid; spans of any length are parts of it."""

    promql: str
    end: float
    step: float
    lookback_seconds: float | None


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A request under way or answered, shared until it is too old."""

    span_seconds: float
    outcome: "asyncio.Task[_Outcome]"
    expires_at: float

    def is_shared_at(self, now: float) -> bool:
        """Whether it still answers those who ask now; a failure answers only those who ask while it is under way."""
        if not self.outcome.done():
            return True
        failed = self.outcome.cancelled() or isinstance(self.outcome.result(), QueryError)
        return not failed and now < self.expires_at


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
        self._client = PrometheusClient(url, token_file=token_file, ca_file=ca_file, connections=concurrency)
        self._pool = ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="prometheus")
        self._deadline_seconds = deadline_seconds
        self._breaker = Breaker()
        self._fetches: dict[_Stream, _Fetch] = {}

    async def ask(self, questions: Collection[Question], now: datetime) -> dict[Question, Answer]:
        """The answer to each question as of `now`.

        Judge the answers by the same `now`: they end on a grid just before it.
        """
        wanted = self._wanted(set(questions), now.timestamp())
        fetches = {stream: self._fetch(stream, span) for stream, span in wanted.items()}
        if fetches:
            await asyncio.wait([fetch.outcome for fetch in fetches.values()], timeout=self._deadline_seconds)
        outcomes = {stream: _outcome(fetch) for stream, fetch in fetches.items()}
        return {question: _answer(question, now.timestamp(), outcomes) for question in questions}

    async def close(self) -> None:
        """Give up what is under way, and the connections."""
        for fetch in self._fetches.values():
            fetch.outcome.cancel()
        await asyncio.gather(*(fetch.outcome for fetch in self._fetches.values()), return_exceptions=True)
        self._fetches.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def __aenter__(self) -> Self:
        """Use as a context: closed at the end."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    @staticmethod
    def _wanted(questions: set[Question], now: float) -> dict[_Stream, float]:
        """What has to be fetched, each stream with the longest span that is asked of it."""
        wanted: dict[_Stream, float] = {}
        for question in questions:
            for stream in _streams(question, now):
                steps = math.ceil(question.span_seconds / question.step_seconds - 1e-9)
                wanted[stream] = max(steps * question.step_seconds, wanted.get(stream, 0.0))
        return wanted

    def _fetch(self, stream: _Stream, span: float) -> _Fetch:
        """The fetch of a stream: one that covers the span and is young enough, else a new one."""
        now = time.monotonic()
        known = self._fetches.get(stream)
        if known is not None and known.span_seconds >= span and known.is_shared_at(now):
            return known
        self._fetches = {key: kept for key, kept in self._fetches.items() if kept.is_shared_at(now)}
        task = asyncio.create_task(self._request(stream, span, now + _REQUEST_SHARE * self._deadline_seconds))
        fetch = _Fetch(span, task, now + min(max(stream.step, 1.0), _LONGEST_KEPT_SECONDS))
        self._fetches[stream] = fetch
        return fetch

    async def _request(self, stream: _Stream, span: float, until: float) -> _Outcome:
        if (down := self._breaker.open_at(time.monotonic())) is not None:
            return down
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self._pool, self._blocking, stream, span, until)
        self._breaker.record(outcome if isinstance(outcome, QueryError) else None, time.monotonic())
        return outcome

    def _blocking(self, stream: _Stream, span: float, until: float) -> _Outcome:
        """One request, in a thread of the pool."""
        started = time.monotonic()
        left = until - started
        if left <= 0:  # it waited for a thread for as long as an answer may take
            QUERIES.labels(result="timeout").inc()
            return QueryError("timeout", IN_TIME)
        try:
            if span == 0:
                outcome: _Outcome = self._client.instant(
                    stream.promql, at=stream.end, seconds=left, lookback_seconds=stream.lookback_seconds
                )
            else:
                outcome = self._client.range(
                    stream.promql,
                    start=stream.end - span,
                    end=stream.end,
                    step=stream.step,
                    seconds=left,
                    lookback_seconds=stream.lookback_seconds,
                )
        except QueryError as error:
            outcome = error
        QUERY_SECONDS.observe(time.monotonic() - started)
        QUERIES.labels(result=_result_of(outcome)).inc()
        return outcome


def _outcome(fetch: _Fetch) -> _Outcome:
    return fetch.outcome.result() if fetch.outcome.done() else QueryError("timeout", IN_TIME)


def _streams(question: Question, now: float) -> tuple[_Stream, ...]:
    """The query, or errors and total, with the window filled in."""
    asked = question.measurement
    window = _promql_duration(question.window_seconds)
    # A gauge's last sample is shown for 5 minutes by default: as old as two windows is old enough. Prometheus before
    # 2.44 ignores it.
    lookback = 2 * question.window_seconds
    return tuple(
        _Stream(
            promql=WINDOW.sub(window, query),
            end=question.end_at(now),
            step=question.step_seconds,
            lookback_seconds=lookback if lookback < _PROMETHEUS_LOOKBACK_SECONDS else None,
        )
        for query in ([asked.query] if asked.query else [asked.errors, asked.total])
    )


def _promql_duration(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds * 1000:.0f}ms"


def _answer(question: Question, now: float, outcomes: Mapping[_Stream, _Outcome]) -> Answer:
    replies: list[Reply] = []
    for stream in _streams(question, now):
        outcome = outcomes[stream]
        if isinstance(outcome, QueryError):
            return Unavailable(outcome.reason)
        replies.append(outcome)
    label = question.measurement.variant_label
    start = question.end_at(now) - question.span_seconds
    if question.measurement.query:
        return fold_query(replies[0], label, start=start)
    errors, total = replies
    return fold_ratio(errors, total, label, start=start)


def _result_of(outcome: _Outcome) -> str:
    if isinstance(outcome, QueryError):
        return outcome.kind
    if outcome.partial:
        return "partial"
    return "answered" if outcome.series else "empty"
