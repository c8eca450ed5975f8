"""The source of evidence: asks Prometheus each thing once, however many rollouts want to know it.

Questions of one call that ask the same PromQL on the same grid share one range query, the longest; so do calls that
come within the same grid step. Errors and total of an indicator travel in one request. Requests run in a bounded pool
of threads and against a deadline: what has not come by then is `Unavailable`, and nothing here ever raises for
Prometheus' faults.
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
from pilotage.metrics.joining import join, split
from pilotage.metrics.telemetry import QUERIES, QUERY_SECONDS

DEADLINE_SECONDS = 10.0
CONCURRENCY = 8

_REQUEST_SHARE = 0.95
"""Requests end a little before those who wait for them, so that what became of them is known by then."""

_LONGEST_KEPT_SECONDS = 300.0
_PROMETHEUS_LOOKBACK_SECONDS = 300.0

_SWEEP_SECONDS = 1.0
"""Old answers are thrown away so often: to look through all of them for each request costs more than the requests."""

_Outcome = tuple[Reply, ...] | QueryError
"""A reply to each of a stream's queries, or why there is none."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """The queries of one measurement on one grid; spans of any length are parts of it."""

    queries: tuple[str, ...]
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
        self._swept_at = 0.0

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
            stream = _stream(question, now)
            steps = math.ceil(question.span_seconds / question.step_seconds - 1e-9)
            wanted[stream] = max(steps * question.step_seconds, wanted.get(stream, 0.0))
        return wanted

    def _fetch(self, stream: _Stream, span: float) -> _Fetch:
        """The fetch of a stream: one that covers the span and is young enough, else a new one."""
        now = time.monotonic()
        known = self._fetches.get(stream)
        if known is not None and known.span_seconds >= span and known.is_shared_at(now):
            return known
        if now - self._swept_at >= _SWEEP_SECONDS:
            self._fetches = {key: kept for key, kept in self._fetches.items() if kept.is_shared_at(now)}
            self._swept_at = now
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
        """One request, in a thread of the pool; several where Prometheus rejects the queries as one."""
        try:
            if len(stream.queries) > 1:
                try:
                    return split(self._query(join(stream.queries), stream, span, until), len(stream.queries))
                except QueryError as error:
                    if error.kind != "rejected":
                        return error
            return tuple(self._query(query, stream, span, until) for query in stream.queries)
        except QueryError as error:
            return error

    def _query(self, promql: str, stream: _Stream, span: float, until: float) -> Reply:
        started = time.monotonic()
        left = until - started
        if left <= 0:  # it waited for a thread for as long as an answer may take
            QUERIES.labels(result="timeout").inc()
            raise QueryError("timeout", IN_TIME)
        result = "answered"
        try:
            reply = self._send(promql, stream, span, left)
            result = _result_of(reply)
        except QueryError as error:
            result = error.kind
            raise
        finally:
            QUERY_SECONDS.observe(time.monotonic() - started)
            QUERIES.labels(result=result).inc()
        return reply

    def _send(self, promql: str, stream: _Stream, span: float, seconds: float) -> Reply:
        lookback = stream.lookback_seconds
        if span == 0:
            return self._client.instant(promql, at=stream.end, seconds=seconds, lookback_seconds=lookback)
        start = stream.end - span
        return self._client.range(
            promql, start=start, end=stream.end, step=stream.step, seconds=seconds, lookback_seconds=lookback
        )


def _outcome(fetch: _Fetch) -> _Outcome:
    return fetch.outcome.result() if fetch.outcome.done() else QueryError("timeout", IN_TIME)


def _stream(question: Question, now: float) -> _Stream:
    """The query, or errors and total, with the window filled in."""
    asked = question.measurement
    window = _promql_duration(question.window_seconds)
    # A gauge's last sample is shown for 5 minutes by default: as old as two windows is old enough. Prometheus before
    # 2.44 ignores it.
    lookback = 2 * question.window_seconds
    return _Stream(
        queries=tuple(
            WINDOW.sub(window, each) for each in ([asked.query] if asked.query else [asked.errors, asked.total])
        ),
        end=question.end_at(now),
        step=question.step_seconds,
        lookback_seconds=lookback if lookback < _PROMETHEUS_LOOKBACK_SECONDS else None,
    )


def _promql_duration(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds * 1000:.0f}ms"


def _answer(question: Question, now: float, outcomes: Mapping[_Stream, _Outcome]) -> Answer:
    outcome = outcomes[_stream(question, now)]
    if isinstance(outcome, QueryError):
        return Unavailable(outcome.reason)
    label = question.measurement.variant_label
    start = question.end_at(now) - question.span_seconds
    if question.measurement.query:
        return fold_query(outcome[0], label, start=start)
    errors, total = outcome
    return fold_ratio(errors, total, label, start=start)


def _result_of(reply: Reply) -> str:
    if reply.partial:
        return "partial"
    return "answered" if reply.series else "empty"
