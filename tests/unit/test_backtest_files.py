"""Files of a backtest: recordings that are whole, cut, or something else; manifests with mistakes."""

import json
from array import array
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.backtest.history import History, HistoryError, UnfitError
from pilotage.backtest.manifests import ManifestError, read_manifests
from pilotage.backtest.recording import Recorder, RecordingError, Span, open_recording, read_recording
from pilotage.judging.evidence import Answered, Measurement, NoData, Question, Unavailable
from pilotage.metrics.client import QueryError, Reply, Sampled, TooLargeError

SPAN = Span(datetime(2026, 3, 2, 9, 0, tzinfo=UTC), datetime(2026, 3, 2, 10, 0, tzinfo=UTC))
T = SPAN.since.timestamp()
QUESTION = Question(Measurement("up"), 60.0, 300.0, 15.0)


class Api:
    """Answers with the time itself; a query may be refused, and a range too large."""

    def __init__(self, error: QueryError | None = None, most_points: int = 10**9, partial_from: float = 1e12) -> None:
        self.error, self.most_points, self.partial_from = error, most_points, partial_from
        self.asked: list[tuple[float, float]] = []

    def instant(self, query: str, *, at: float, seconds: float, lookback_seconds: float | None = None) -> Reply:
        return self.range(query, start=at, end=at, step=1.0, seconds=seconds, lookback_seconds=lookback_seconds)

    def range(
        self,
        query: str,
        *,
        start: float,
        end: float,
        step: float,
        seconds: float,  # noqa: ARG002 - it is the API's
        lookback_seconds: float | None = None,  # noqa: ARG002
    ) -> Reply:
        self.asked.append((start, end))
        count = round((end - start) / step) + 1
        if self.error:
            raise self.error
        if count > self.most_points:
            raise TooLargeError
        times = array("d", (start + place * step for place in range(count)))
        return Reply((Sampled({"app": query}, times, times),), partial=end >= self.partial_from)


def record(path: Path, api: Api | None = None, questions: tuple[Question, ...] = (QUESTION,)) -> Path:
    with open_recording(path, "w") as file:
        recorder = Recorder(api or Api(), file, SPAN)
        history = History(recorder, SPAN.since, SPAN.until)
        for question in questions:
            history.ask([question], SPAN.until)
        recorder.close()
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_what_was_recorded_answers_again(tmp_path: Path, name: str) -> None:
    recording = read_recording(record(tmp_path / name))
    assert recording.span == SPAN
    live, again = (History(api, SPAN.since, SPAN.until) for api in (Api(), recording))
    for minutes in (0, 7, 60):
        now = SPAN.since.replace(minute=minutes % 60, hour=9 + minutes // 60)
        assert again.ask([QUESTION], now) == live.ask([QUESTION], now)


def test_a_shorter_span_and_coarser_steps_are_in_it_too(tmp_path: Path) -> None:
    recording = read_recording(record(tmp_path / "a.jsonl"))
    history = History(recording, SPAN.since, SPAN.until)
    short = Question(Measurement("up"), 60.0, 60.0, 15.0)
    [answer] = history.ask([short], SPAN.until).values()
    assert isinstance(answer, Answered)
    assert answer.by_variant[0][1].times == tuple(SPAN.until.timestamp() - 15.0 * n for n in range(4, -1, -1))
    reply = recording.range("up", start=T, end=T + 120, step=60.0, seconds=1, lookback_seconds=120.0)
    assert list(reply.series[0].times) == [T, T + 60, T + 120]


def test_what_was_not_recorded_says_so(tmp_path: Path) -> None:
    recording = read_recording(record(tmp_path / "a.jsonl"))
    for question in (Question(Measurement("down"), 60.0, 300.0, 15.0), Question(Measurement("up"), 60.0, 9000.0, 15.0)):
        with pytest.raises(RecordingError, match=r"a\.jsonl does not hold what this rollout asks: .* Record again"):
            History(recording, SPAN.since, SPAN.until).ask([question], SPAN.until)


def test_what_prometheus_refused_is_refused_again(tmp_path: Path) -> None:
    error = QueryError("rejected", "Prometheus rejects the query")
    recording = read_recording(record(tmp_path / "a.jsonl", Api(error)))
    assert History(recording, SPAN.since, SPAN.until).ask([QUESTION], SPAN.until) == {
        QUESTION: Unavailable("Prometheus rejects the query")
    }


def test_what_is_too_large_is_asked_for_in_smaller_pieces(tmp_path: Path) -> None:
    api = Api(most_points=50)
    recording = read_recording(record(tmp_path / "a.jsonl", api))
    whole = [piece for piece in api.asked if piece[1] - piece[0] <= 49 * 15]
    assert len(whole) >= 5
    assert all(after[0] - before[1] == 15 for before, after in pairwise(whole))
    assert History(recording, SPAN.since, SPAN.until).ask([QUESTION], SPAN.until) == History(
        Api(), SPAN.since, SPAN.until
    ).ask([QUESTION], SPAN.until)


def test_a_partial_response_is_no_data_where_it_is_partial() -> None:
    api = Api(most_points=50, partial_from=T + 3000)
    history = History(api, SPAN.since, SPAN.until)
    assert isinstance(history.answer(QUESTION, T + 600), Answered)
    assert history.answer(QUESTION, T + 3600) == NoData("Prometheus warns that its response is partial")


@pytest.mark.parametrize("kind", ["unreachable", "timeout"])
def test_an_outage_ends_it_and_is_not_recorded(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(HistoryError, match="gone"):
        record(path, Api(QueryError(kind, "gone")))
    with pytest.raises(RecordingError, match="cut off after 0 requests"):
        read_recording(path)


def test_a_query_that_means_its_range_can_not_be_backtested() -> None:
    question = Question(Measurement("rate(x[1m] @ end())"), 60.0, 300.0, 15.0)
    with pytest.raises(UnfitError, match="mean another moment"):
        History(Api(), SPAN.since, SPAN.until).ask([question], SPAN.until)


def edit(path: Path, change: Callable[[list[str]], list[str]]) -> Path:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(change(lines)))
    return path


HEAD = (
    '{"format":"pilotage-backtest","version":1,"from":"2026-03-02T09:00:00+00:00","to":"2026-03-02T10:00:00+00:00"}\n'
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "cut off after 1 requests: its last line is missing"),
        (lambda lines: [*lines[:1], lines[1][:40]], "line 2 is cut off"),
        (lambda lines: [lines[0], lines[-1]], "line 2: 1 requests were recorded, and 0 are there"),
        (lambda _lines: [], "is no recording"),
        (lambda _lines: ["hello"], "line 1 is not JSON: --record writes such a file"),
        (lambda _lines: ["[]\n"], "line 1 is no JSON object"),
        (lambda _lines: ['{"a": 1}\n'], "is no recording of a backtest: --record writes one"),
        (lambda lines: [lines[0].replace('"version":1', '"version":2'), *lines[1:]], "has version 2"),
        (lambda lines: [lines[0].replace("2026-03-02T09", "2027-03-02T09"), *lines[1:]], "no range of times"),
        (lambda lines: [lines[0].replace("+00:00", ""), *lines[1:]], "no range of times with a zone"),
        (lambda lines: [lines[0], '{"query": "up"}\n', lines[-1]], "line 2 is no recorded request"),
        (lambda lines: [lines[0], lines[1].replace('"step":15.0', '"step":0'), lines[-1]], "line 2 is no recorded"),
        (lambda lines: [lines[0], lines[1].replace('"values":[[', '"values":[[9e99,"1"],['), lines[-1]], "ascend"),
    ],
)
def test_a_file_that_is_no_whole_recording_is_refused(
    tmp_path: Path, change: Callable[[list[str]], list[str]], message: str
) -> None:
    path = edit(record(tmp_path / "a.jsonl"), change)
    with pytest.raises(RecordingError) as caught:
        read_recording(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith("a.jsonl")


def test_a_gzipped_file_that_is_cut_or_none_at_all_is_refused(tmp_path: Path) -> None:
    path = record(tmp_path / "a.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordingError, match=r"a\.jsonl\.gz can't be read"):
        read_recording(path)
    path.write_bytes(b"plain")
    with pytest.raises(RecordingError, match="can't be read"):
        read_recording(path)
    with pytest.raises(RecordingError, match="can't be read"):
        read_recording(tmp_path / "nothing")
    (tmp_path / "b").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecordingError, match="not text"):
        read_recording(tmp_path / "b")


@given(
    st.one_of(
        st.text(max_size=80),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.dictionaries(
                    st.sampled_from(
                        [
                            "query",
                            "start",
                            "end",
                            "step",
                            "result",
                            "metric",
                            "values",
                            "error",
                            "kind",
                            "lookback",
                            "partial",
                        ]
                    ),
                    inner,
                    max_size=6,
                )
                | st.lists(inner, max_size=3)
            ),
        ).map(json.dumps),
    )
)
def test_no_line_makes_more_than_an_error(tmp_path_factory: pytest.TempPathFactory, line: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_text(HEAD + line + "\n" + '{"end":1}\n', encoding="utf-8", errors="replace")
    with suppress(RecordingError):
        read_recording(path)


ROLLOUT = """
apiVersion: pilotage.dev/v1alpha1
kind: PilotRollout
metadata: {name: search}
spec:
  feature: {flag: search}
  indicators: [{name: p95, query: up, unit: seconds}]
  rollback: ["p95 > 3s for 10m"]
  steps: [{name: all, percent: 100}]
"""


def test_manifests_are_read_from_several_documents() -> None:
    more = """
apiVersion: pilotage.dev/v1alpha1
kind: IndicatorTemplate
metadata: {name: latency}
spec: {query: up, unit: seconds}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: users}
data: {users.json: '[{"key": "anna"}]'}
---
apiVersion: v1
kind: List
items:
  - apiVersion: pilotage.dev/v1alpha1
    kind: PilotIncident
    metadata: {name: outage, namespace: shop}
    spec: {severity: critical, title: down, startedTime: "2026-03-02T09:00:00Z"}
---
kind: Service
"""
    found = read_manifests([("a.yaml", ROLLOUT), ("b.yaml", more)])
    [rollout] = found.rollouts
    assert rollout.metadata.name == "search"
    assert set(found.templates) == {"latency"}
    assert found.config_maps["users"]["users.json"].startswith("[")
    there = rollout.model_copy(update={"metadata": rollout.metadata.model_copy(update={"namespace": "shop"})})
    assert [incident.name for incident in found.incidents_of(there)] == ["outage"]
    assert found.incidents_of(rollout) == ()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("kind: PilotRollout", "kind: [", "a.yaml is no YAML at line"),
        ("pilotage.dev/v1alpha1", "pilotage.dev/v2", "apiVersion is 'pilotage.dev/v2': write pilotage.dev/v1alpha1"),
        ("rollback:", "rolback:", "spec.rolback: there is no such field"),
        ("percent: 100", "percnt: 100", "spec.steps[0].percnt: there is no such field"),
        ("steps: [{name: all, percent: 100}]", "steps: []", "a.yaml: spec.steps: "),
        ("flag: search}", "flag: search, treatment: on}", 'write it in quotes, such as "on"'),
        ("unit: seconds", "unit: hours", "a.yaml: spec.indicators[0].unit: "),
        (ROLLOUT, "just text", "a.yaml holds no Kubernetes object"),
        ("spec:", "spec: 5\nother:", "a.yaml: spec: "),
    ],
)
def test_a_mistake_in_a_manifest_is_said_with_its_field(before: str, after: str, message: str) -> None:
    assert before in ROLLOUT
    with pytest.raises(ManifestError) as caught:
        read_manifests([("a.yaml", ROLLOUT.replace(before, after))])
    assert message in str(caught.value)


@given(st.text(max_size=200))
def test_no_text_makes_more_than_an_error_of_a_manifest(text: str) -> None:
    for document in (
        text,
        f"{ROLLOUT}\n{text}",
        f"kind: PilotRollout\napiVersion: pilotage.dev/v1alpha1\nspec: {text}",
    ):
        with suppress(ManifestError):
            read_manifests([("a.yaml", document)])
