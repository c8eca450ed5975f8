"""Fetches streams from Prometheus: blocking, in a thread of a pool, by a deadline, each request counted."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pilotage.metrics.chunks import chunks, concatenated
from pilotage.metrics.client import IN_TIME, QueryError, Reply, TooLargeError
from pilotage.metrics.grouping import Parts, parts_of
from pilotage.metrics.joining import UNIT, join, split
from pilotage.metrics.streams import Stream
from pilotage.metrics.telemetry import QUERIES, QUERY_SECONDS

Outcome = tuple[Parts, ...] | QueryError
"""A reply to each of a stream's queries, or why there is none."""


class QueryApi(Protocol):
    """Who answers: `PrometheusClient`, or a recording of what it said."""

    def instant(self, query: str, *, at: float, seconds: float, lookback_seconds: float | None = None) -> Reply:
        """The value at a time; raises `QueryError`."""
        ...

    def range(
        self,
        query: str,
        *,
        start: float,
        end: float,
        step: float,
        seconds: float,
        lookback_seconds: float | None = None,
    ) -> Reply:
        """The values from start to end at each step; raises `QueryError`."""
        ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came of a stream that was asked alone.

    Attributes:
        outcome: the replies, or why there are none.
        seconds: that it took.
        is_vector: whether Prometheus took the stream's queries as one whole instant vector.
    """

    outcome: Outcome
    seconds: float
    is_vector: bool = False


def fetch(client: QueryApi, stream: Stream, span: float, until: float, *, as_vector: bool) -> Fetched:
    """Ask for a stream alone: its queries as one, or each for itself where Prometheus rejects them as one.

    Args:
        client: of Prometheus.
        stream: what to ask.
        span: seconds back from its end; 0 asks for one value.
        until: monotonic second by which there must be an answer.
        as_vector: whether a single query, too, shall show that it is an instant vector.
    """
    began = time.monotonic()
    is_vector = False
    try:
        replies = _as_one(client, stream, span, until) if as_vector or len(stream.queries) > 1 else None
        is_vector = replies is not None
        replies = replies or tuple(_whole(client, query, stream, span, until) for query in stream.queries)
    except QueryError as error:
        return Fetched(error, time.monotonic() - began)
    outcome = tuple(parts_of(reply, stream.group_label) for reply in replies)
    return Fetched(outcome, time.monotonic() - began, is_vector)


def fetch_together(
    client: QueryApi, streams: Sequence[Stream], span: float, until: float
) -> tuple[Outcome, ...] | None:
    """Ask for streams on one grid in one request; None if that went wrong in any way.

    A partial reply has gone wrong too: whose part is missing, nobody can tell.
    """
    promql = join([join(stream.queries) for stream in streams], UNIT)
    try:
        reply = _whole(client, promql, streams[0], span, until)
    except QueryError:
        return None
    if reply.partial:
        return None
    made: list[Outcome] = []
    for stream, part in zip(streams, split(reply, len(streams), UNIT), strict=True):
        made.append(tuple(parts_of(each, stream.group_label) for each in split(part, len(stream.queries))))
    return tuple(made)


def _as_one(client: QueryApi, stream: Stream, span: float, until: float) -> tuple[Reply, ...] | None:
    """The replies by one request; None if Prometheus rejects the queries as one."""
    try:
        return split(_whole(client, join(stream.queries), stream, span, until), len(stream.queries))
    except TooLargeError:
        raise
    except QueryError as error:
        if error.kind != "rejected":
            raise
        return None


def _whole(client: QueryApi, promql: str, stream: Stream, span: float, until: float) -> Reply:
    """The reply for all of the span, in as many requests as that takes; if one fails, all have."""
    if span == 0:
        return _counted(client, promql, stream, None, until)
    spans = chunks(stream.end - span, stream.end, stream.step)
    return concatenated([_counted(client, promql, stream, part, until) for part in spans])


def _counted(client: QueryApi, promql: str, stream: Stream, part: tuple[float, float] | None, until: float) -> Reply:
    """One request."""
    started = time.monotonic()
    left = until - started
    if left <= 0:  # it waited for a thread, or for the parts before, for as long as an answer may take
        QUERIES.labels(result="timeout").inc()
        raise QueryError("timeout", IN_TIME)
    result = "answered"
    lookback = stream.lookback_seconds
    try:
        if part is None:
            reply = client.instant(promql, at=stream.end, seconds=left, lookback_seconds=lookback)
        else:
            start, end = part
            reply = client.range(
                promql, start=start, end=end, step=stream.step, seconds=left, lookback_seconds=lookback
            )
        result = _result_of(reply)
    except QueryError as error:
        result = error.kind
        raise
    finally:
        QUERY_SECONDS.observe(time.monotonic() - started)
        QUERIES.labels(result=result).inc()
    return reply


def _result_of(reply: Reply) -> str:
    if reply.partial:
        return "partial"
    return "answered" if reply.series else "empty"
