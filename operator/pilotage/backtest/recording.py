"""Recording: what was fetched for a backtest, in a file that it can be run from again without Prometheus.

JSON lines, gzipped where the name ends with `.gz`. The first line tells the range, each other one a request and
Prometheus' answer as its API writes it (or why it refused), the last one how many there are: a file that was cut off
doesn't pass for a whole one.
"""

import gzip
import json
import math
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, cast

from pilotage.metrics.client import QueryError, Reply, Sampled, TooLargeError
from pilotage.metrics.fetching import QueryApi

FORMAT = "pilotage-backtest"
VERSION = 1

_KINDS = ("unreachable", "timeout", "rejected")
_TOO_LARGE = "too-large"


class RecordingError(Exception):
    """A file that can't be read or written as a recording; the message says where and what to do."""


@dataclass(frozen=True, slots=True)
class Span:
    """The range that a recording is of."""

    since: datetime
    until: datetime


class Recorder:
    """Passes requests on and writes each with its answer to a file."""

    def __init__(self, api: QueryApi, file: IO[str], span: Span) -> None:
        """Write the first line; `close` writes the last."""
        self._api = api
        self._file = file
        self._count = 0
        self._write(
            {"format": FORMAT, "version": VERSION, "from": span.since.isoformat(), "to": span.until.isoformat()}
        )

    def instant(self, query: str, *, at: float, seconds: float, lookback_seconds: float | None = None) -> Reply:
        """As the API; one point is a range of one step."""
        return self.range(query, start=at, end=at, step=1.0, seconds=seconds, lookback_seconds=lookback_seconds)

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
        """As the API; what it refuses is recorded too, an outage is not."""
        said: dict[str, Any] = {"query": query, "start": start, "end": end, "step": step}
        if lookback_seconds is not None:
            said["lookback"] = lookback_seconds
        try:
            reply = self._api.range(
                query, start=start, end=end, step=step, seconds=seconds, lookback_seconds=lookback_seconds
            )
        except QueryError as error:
            if error.kind == "rejected":
                kind = _TOO_LARGE if isinstance(error, TooLargeError) else error.kind
                self._keep({**said, "error": {"kind": kind, "reason": error.reason}})
            raise
        partial = {"partial": True} if reply.partial else {}
        self._keep({**said, **partial, "result": [_matrix(series) for series in reply.series]})
        return reply

    def close(self) -> None:
        """Write the last line."""
        self._write({"end": self._count})

    def _keep(self, line: dict[str, Any]) -> None:
        self._count += 1
        self._write(line)

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")


def _matrix(series: Sampled) -> dict[str, Any]:
    pairs = zip(series.times, series.values, strict=True)
    return {"metric": dict(series.labels), "values": [[_time(at), _number(value)] for at, value in pairs]}


def _time(at: float) -> float:
    return int(at) if at.is_integer() else at


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.17g}" if float(f"{value:.12g}") != value else f"{value:.12g}"


@dataclass(frozen=True, slots=True)
class _Line:
    """One recorded request; times in milliseconds."""

    start: int
    end: int
    step: int
    answer: Reply | QueryError


class Recording:
    """Answers from a file as Prometheus did."""

    def __init__(self, span: Span, lines: dict[tuple[str, float | None], list[_Line]], name: str) -> None:
        """Keep what `read_recording` has read."""
        self.span = span
        self._lines = lines
        self._name = name

    def instant(self, query: str, *, at: float, seconds: float, lookback_seconds: float | None = None) -> Reply:
        """The value at a time; raises as the API did."""
        return self.range(query, start=at, end=at, step=1.0, seconds=seconds, lookback_seconds=lookback_seconds)

    def range(
        self,
        query: str,
        *,
        start: float,
        end: float,
        step: float,
        seconds: float,  # noqa: ARG002 - a file does not let anybody wait
        lookback_seconds: float | None = None,
    ) -> Reply:
        """The values from start to end; raises as the API did.

        Raises:
            QueryError: what Prometheus said.
            RecordingError: it was not asked for that.
        """
        first, last, every = round(start * 1000), round(end * 1000), round(step * 1000)
        found: list[_Line] = []
        while first <= last:
            line = self._line_at(query, lookback_seconds, first, every)
            if line is None:
                msg = (
                    f"{self._name} does not hold what this rollout asks: {' '.join(query.split())} at"
                    f" {first / 1000:.3f}, every {step:g}s. Record again with this rollout, these templates and the"
                    " same --from, --to and --every"
                )
                raise RecordingError(msg)
            if isinstance(line.answer, QueryError):
                raise line.answer
            held = min(line.end, last)
            found.append(_Line(first, held, every, line.answer))
            first += ((held - first) // every + 1) * every
        return _whole(found)

    def _line_at(self, query: str, lookback: float | None, first: int, every: int) -> _Line | None:
        """The line that holds a point; one with an answer rather than one that was refused as too large."""
        found = [
            line
            for line in self._lines.get((query, lookback), ())
            if line.start <= first <= line.end
            and (first - line.start) % line.step == 0
            and (first == line.end or every % line.step == 0)
        ]
        return min(found, key=lambda line: isinstance(line.answer, QueryError), default=None)


def _whole(lines: list[_Line]) -> Reply:
    """The points of the lines that were asked for, as one reply."""
    joined: dict[frozenset[tuple[str, str]], Sampled] = {}
    for line in lines:
        assert isinstance(line.answer, Reply)
        for series in line.answer.series:
            key = frozenset(series.labels.items())
            whole = joined.setdefault(key, Sampled(series.labels, array("d"), array("d")))
            for at, value in zip(series.times, series.values, strict=True):
                place = round(at * 1000)
                if line.start <= place <= line.end and (place - line.start) % line.step == 0:
                    whole.times.append(at)
                    whole.values.append(value)
    kept = tuple(series for series in joined.values() if series.times)
    return Reply(kept, partial=any(line.answer.partial for line in lines if isinstance(line.answer, Reply)))


def open_recording(path: Path, mode: str) -> IO[str]:
    """The file as text; gzipped where its name says so.

    Raises:
        OSError: it can't be opened.
    """
    if path.suffix == ".gz":
        return cast("IO[str]", gzip.open(path, f"{mode}t", encoding="utf-8"))
    return path.open(mode, encoding="utf-8")


def read_recording(path: Path) -> Recording:
    """What a file holds.

    Raises:
        RecordingError: it can't be read, is no recording, or is not complete.
    """
    try:
        with open_recording(path, "r") as file:
            return _read(path.name, file)
    except (OSError, EOFError, zlib.error) as error:
        msg = f"{path.name} can't be read: {error}"
        raise RecordingError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path.name} is no recording of a backtest: it is not text; --record writes one"
        raise RecordingError(msg) from error


def _read(name: str, file: Iterable[str]) -> Recording:
    numbered = ((number, _object(name, number, text)) for number, text in enumerate(file, start=1))
    span = _head(name, next(numbered, (0, {}))[1])
    lines: dict[tuple[str, float | None], list[_Line]] = {}
    count = 0
    for number, said in numbered:
        if "end" in said and "query" not in said:
            if said["end"] != count:
                msg = (
                    f"{name}: line {number}: {said['end']} requests were recorded, and {count} are there: record again"
                )
                raise RecordingError(msg)
            return Recording(span, lines, name)
        try:
            key, line = _line(said)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"{name}: line {number} is no recorded request ({type(error).__name__}: {error}): record again"
            raise RecordingError(msg) from error
        lines.setdefault(key, []).append(line)
        count += 1
    msg = f"{name} is cut off after {count} requests: its last line is missing; copy it whole, or record again"
    raise RecordingError(msg)


def _object(name: str, number: int, text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        cut = "is cut off" if number > 1 and not text.endswith("\n") else "is not JSON"
        hint = "copy the file whole, or record again" if number > 1 else "--record writes such a file"
        msg = f"{name}: line {number} {cut}: {hint}"
        raise RecordingError(msg) from error
    if not isinstance(said, dict):
        msg = f"{name}: line {number} is no JSON object: --record writes such a file"
        raise RecordingError(msg)
    return said


def _head(name: str, said: dict[str, Any]) -> Span:
    if said.get("format") != FORMAT:
        msg = f"{name} is no recording of a backtest: --record writes one"
        raise RecordingError(msg)
    if said.get("version") != VERSION:
        msg = f"{name} has version {said.get('version')}, and this program reads version {VERSION}: record again"
        raise RecordingError(msg)
    try:
        span = Span(datetime.fromisoformat(said["from"]), datetime.fromisoformat(said["to"]))
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{name}: line 1 tells no range (from, to): record again"
        raise RecordingError(msg) from error
    if span.since.tzinfo is None or span.until.tzinfo is None or span.since >= span.until:
        msg = f"{name}: line 1: from and to are no range of times with a zone: record again"
        raise RecordingError(msg)
    return span


def _line(said: dict[str, Any]) -> tuple[tuple[str, float | None], _Line]:
    lookback = said.get("lookback")
    key = (str(said["query"]), None if lookback is None else float(lookback))
    start, end, step = (_milliseconds(said[name]) for name in ("start", "end", "step"))
    if step <= 0 or end < start:
        msg = "start, end and step are no range"
        raise ValueError(msg)
    return key, _Line(start, end, step, _answer(said))


def _milliseconds(seconds: Any) -> int:
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        msg = f"{seconds!r} is no time"
        raise ValueError(msg)
    return round(seconds * 1000)


def _answer(said: dict[str, Any]) -> Reply | QueryError:
    if "error" in said:
        kind, reason = said["error"]["kind"], str(said["error"]["reason"])
        if kind == _TOO_LARGE:
            return TooLargeError()
        if kind not in _KINDS:
            msg = f"{kind!r} is no kind of error"
            raise ValueError(msg)
        return QueryError(kind, reason)
    return Reply(tuple(_series(said["result"])), partial=bool(said.get("partial")))


def _series(result: Any) -> Iterator[Sampled]:
    for found in result:
        labels = {str(name): str(value) for name, value in found["metric"].items()}
        times = array("d", (float(at) for at, _ in found["values"]))
        if any(after <= before for before, after in pairwise(times)):
            msg = "times do not ascend"
            raise ValueError(msg)
        yield Sampled(labels, times, array("d", (float(value) for _, value in found["values"])))
