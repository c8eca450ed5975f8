"""Faults of Prometheus that a real one can't be made to show: warnings, odd answers, endless ones, refused access."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import REGISTRY

from pilotage.judging.evidence import Answer, Answered, Group, Measurement, NoData, Question, Unavailable
from pilotage.metrics import batching, client
from pilotage.metrics.source import PrometheusSource
from pilotage.metrics.turns import ASKED_BY

Respond = Callable[[BaseHTTPRequestHandler], None]
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
QUESTION = Question(Measurement(query="x[$window]"), 90, 0, 15)


class Played:
    """An HTTP server that answers as the test says and remembers what it was asked."""

    def __init__(self) -> None:
        self.respond: Respond = lambda handler: send(handler, answered())
        self.seen: list[tuple[str, dict[str, str]]] = []
        played = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                self.asked(parts.path, parts.query)

            def do_POST(self) -> None:
                self.asked(urlsplit(self.path).path, self.rfile.read(int(self.headers["Content-Length"])).decode())

            def asked(self, path: str, parameters: str) -> None:
                asked = {name: values[0] for name, values in parse_qs(parameters).items()}
                played.seen.append((path, {**asked, "token": self.headers.get("Authorization", "")}))
                played.respond(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


@pytest.fixture
def played() -> Iterator[Played]:
    server = Played()
    yield server
    server.close()


def send(handler: BaseHTTPRequestHandler, body: object, status: int = 200) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(raw)))
    handler.end_headers()
    handler.wfile.write(raw)


def answered(**more: object) -> dict[str, object]:
    result = [{"metric": {"variant": "on"}, "value": [NOW.timestamp(), "1"]}]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


async def ask(played: Played, question: Question = QUESTION, **options: object) -> Answer:
    async with PrometheusSource(played.url, **options) as source:  # type: ignore[arg-type]
        return (await source.ask([question], NOW))[question]


def counted(result: str) -> float:
    """Queries so far with this result, as the operator's own metrics tell them."""
    return REGISTRY.get_sample_value("pilotage_queries_total", {"result": result}) or 0


async def test_a_partial_response_is_no_data(played: Played) -> None:
    played.respond = lambda handler: send(handler, answered(warnings=["store a is down"]))
    assert await ask(played) == NoData("Prometheus warns that its response is partial")
    ratio = Question(Measurement(errors="e", total="t"), 90, 0, 15)
    assert await ask(played, ratio) == NoData("Prometheus warns that its response is partial")


async def test_infos_are_no_warnings(played: Played) -> None:
    played.respond = lambda handler: send(handler, answered(infos=["metric might not be a counter"]))
    assert not isinstance(await ask(played), NoData)


@pytest.mark.parametrize(
    ("status", "body", "reason", "kind"),
    [
        (200, b"<html>hello</html>", "what answers is not Prometheus", "unreachable"),
        (200, {"status": "success"}, "what answers is not Prometheus", "unreachable"),
        (200, [], "what answers is not Prometheus", "unreachable"),
        (302, b"", "Prometheus answers with status 302", "unreachable"),
        (401, b"secret detail", "Prometheus answers with status 401", "unreachable"),
        (503, b"", "Prometheus answers with status 503", "unreachable"),
        (
            503,
            {"status": "error", "errorType": "timeout", "error": "query timed out"},
            "Prometheus gave up on the query: it takes too long",
            "timeout",
        ),
        (
            422,
            {"status": "error", "errorType": "execution", "error": "secret detail"},
            "Prometheus rejects the query; the operator's log has the reason",
            "rejected",
        ),
    ],
)
async def test_an_answer_that_is_none_is_unavailable_with_a_fixed_text(
    played: Played, status: int, body: object, reason: str, kind: str
) -> None:
    played.respond = lambda handler: send(handler, body, status)
    before = counted(kind)
    assert await ask(played) == Unavailable(reason)
    assert counted(kind) - before == 1


async def test_a_trickling_answer_is_ended_by_the_deadline(played: Played) -> None:
    done = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not done.wait(0.05):
            try:
                handler.wfile.write(b" " * 70_000)
            except OSError:
                return

    played.respond = trickle
    began = time.monotonic()
    answer = await ask(played, deadline_seconds=0.5)
    done.set()
    assert answer == Unavailable("Prometheus did not answer in time")
    assert time.monotonic() - began < 2


async def test_an_endless_answer_is_refused_with_the_remedy(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "LARGEST_ANSWER_BYTES", 100_000)
    played.respond = lambda handler: send(handler, b" " * 200_000)
    before = counted("rejected")
    answer = await ask(played)
    assert isinstance(answer, Unavailable)
    assert counted("rejected") - before == 1
    assert "aggregate the query" in answer.reason


async def test_a_query_goes_out_with_its_window_time_deadline_and_token(played: Played, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    async with PrometheusSource(f"{played.url}/prefix/", token_file=token, deadline_seconds=7) as source:
        await source.ask([QUESTION], NOW)
        token.write_text("second\n")  # rotated, as mounted tokens are
        await source.ask([Question(Measurement(query="y"), 600, 60, 15)], NOW)
    (path, instant), (range_path, ranged) = played.seen
    assert (path, range_path) == ("/prefix/api/v1/query", "/prefix/api/v1/query_range")
    assert instant["query"] == "x[90s]"
    assert float(instant["time"]) == NOW.timestamp()
    assert float(instant["timeout"]) == pytest.approx(7, abs=1)
    assert instant["lookback_delta"] == "180.000"
    assert "lookback_delta" not in ranged  # never longer than Prometheus' own
    assert (float(ranged["start"]), float(ranged["end"])) == (NOW.timestamp() - 60, NOW.timestamp())
    assert [seen["token"] for _, seen in played.seen] == ["Bearer first", "Bearer second"]


async def test_a_missing_token_is_unavailable(played: Played, tmp_path: Path) -> None:
    assert await ask(played, token_file=tmp_path / "gone") == Unavailable("Prometheus can't be reached")


async def test_the_environments_proxy_is_not_used(played: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert not isinstance(await ask(played), Unavailable)


async def test_one_slow_query_does_not_stand_for_all(played: Played) -> None:
    done = threading.Event()

    def slow_only_for_y(handler: BaseHTTPRequestHandler) -> None:
        if "query=y" in handler.path:
            done.wait(30)
        with suppress(OSError):  # the client may have gone
            send(handler, answered())

    played.respond = slow_only_for_y
    slow = [Question(Measurement(query=f"y{number}"), 90, 0, 15) for number in range(4)]
    async with PrometheusSource(played.url, deadline_seconds=1) as source:
        for question in slow:
            answers = await source.ask([question, QUESTION], NOW)
            assert isinstance(answers[question], Unavailable)
            assert not isinstance(answers[QUESTION], Unavailable)
        done.set()


async def test_exhaustion_by_one_tenants_slow_queries_another_tenant_is_answered(played: Played) -> None:
    """Sixty queries that hang, of one namespace: they take neither all threads, nor open the breaker of others."""
    done = threading.Event()

    def slow_only_for_y(handler: BaseHTTPRequestHandler) -> None:
        if "query=y" in handler.path:
            done.wait(30)
        with suppress(OSError):  # the client may have gone
            send(handler, answered())

    async def flood(number: int) -> Answer:
        ASKED_BY.set("flood")
        question = Question(Measurement(query=f"y{number}"), 90, 0, 15)
        return (await source.ask([question], NOW))[question]

    played.respond = slow_only_for_y
    async with PrometheusSource(played.url, deadline_seconds=2) as source:
        ASKED_BY.set("mine")
        for wave in range(2):
            hanging = [asyncio.create_task(flood(60 * wave + number)) for number in range(60)]
            await asyncio.sleep(0.2)
            mine = Question(Measurement(query=f"x{wave}"), 90, 0, 15)
            assert not isinstance((await source.ask([mine], NOW))[mine], Unavailable)
            assert all(isinstance(each, Unavailable) for each in await asyncio.gather(*hanging))
        done.set()


async def test_queries_are_counted_by_their_result(played: Played) -> None:
    before = counted("answered")
    async with PrometheusSource(played.url) as source:
        await source.ask([QUESTION], NOW)
        await source.ask([QUESTION], NOW)
    assert (counted("answered") - before, len(played.seen)) == (1, 1)


HISTORY = Question(Measurement(query="x[$window]"), 30, 72 * 3600, 15, aligned=True)


def matrix(handler: BaseHTTPRequestHandler, asked: dict[str, str]) -> None:
    """Answer a range query with the time of each step as its value."""
    start, end, step = (float(asked[name]) for name in ("start", "end", "step"))
    values = [[start + index * step, str(start + index * step)] for index in range(round((end - start) / step) + 1)]
    found = [{"metric": {"variant": "on"}, "values": values}]
    send(handler, {"status": "success", "data": {"resultType": "matrix", "result": found}})


async def test_a_history_whose_second_piece_fails_is_unavailable_as_a_whole(played: Played) -> None:
    def fail_late(handler: BaseHTTPRequestHandler) -> None:
        if len(played.seen) > 1:
            send(handler, {"status": "error", "errorType": "internal", "error": "gone"}, 500)
        else:
            matrix(handler, played.seen[-1][1])

    played.respond = fail_late
    assert await ask(played, HISTORY) == Unavailable("Prometheus answers with status 500")
    assert len(played.seen) == 2


async def test_a_history_of_which_a_piece_is_partial_is_no_data(played: Played) -> None:
    def warn_late(handler: BaseHTTPRequestHandler) -> None:
        more = {"warnings": ["a store is down"]} if len(played.seen) > 1 else {}
        send(handler, {"status": "success", "data": {"resultType": "matrix", "result": []}, **more})

    played.respond = warn_late
    assert await ask(played, HISTORY) == NoData("Prometheus warns that its response is partial")


async def test_histories_that_hang_hold_up_nobody_with_a_short_question(played: Played) -> None:
    done = threading.Event()

    def hang_for_histories(handler: BaseHTTPRequestHandler) -> None:
        if "query_range" in handler.path:
            done.wait(30)
        with suppress(OSError):
            send(handler, answered())

    played.respond = hang_for_histories
    histories = [Question(Measurement(query=f"h{number}"), 30, 72 * 3600, 15) for number in range(20)]
    async with PrometheusSource(played.url, deadline_seconds=4) as source:
        slow = asyncio.create_task(source.ask(histories, NOW))
        await asyncio.sleep(0.2)
        for number in range(5):
            began = time.monotonic()
            short = Question(Measurement(query=f"s{number}"), 90, 0, 15)
            assert isinstance((await source.ask([short], NOW))[short], Answered)
            assert time.monotonic() - began < 2
        assert {type(answer) for answer in (await slow).values()} == {Unavailable}
        # That histories hang is remembered for histories only.
        after = Question(Measurement(query="after"), 90, 0, 15)
        assert isinstance((await source.ask([after], NOW))[after], Answered)
        done.set()


async def test_a_history_does_not_stand_in_for_the_short_question_of_the_same_measurement(played: Played) -> None:
    played.respond = lambda handler: matrix(handler, played.seen[-1][1])
    live = Question(HISTORY.measurement, 30, 150, 15, aligned=True)
    async with PrometheusSource(played.url) as source:
        answers = await source.ask([HISTORY, live], NOW)
        again = await source.ask([live], NOW)
    lengths = {q: len(a.by_variant[0][1].times) for q, a in answers.items() if isinstance(a, Answered)}
    assert lengths == {HISTORY: 17281, live: 11}
    assert again[live] == answers[live]
    assert len(played.seen) == 3  # two pieces of the history, one for the short one, which is kept


def for_all(flag: str, *, query: str = 'x{flag=~"$group"}', span: float = 0) -> Question:
    return Question(Measurement(query=query, group=Group("flag", flag)), 90, span, 15)


@pytest.mark.parametrize(
    ("query", "alone"),
    [
        ('x{flag=~"$group"}', r'x{flag=~"a\\.b"}'),
        ("x # all", '(\nx # all\n) and on (flag) label_replace(vector(1), "flag", "a.b", "", "")'),
    ],
)
async def test_what_is_too_large_for_all_is_asked_for_each_alone(
    played: Played, monkeypatch: pytest.MonkeyPatch, query: str, alone: str
) -> None:
    monkeypatch.setattr(client, "LARGEST_ANSWER_BYTES", 100_000)

    def too_much_for_all(handler: BaseHTTPRequestHandler) -> None:
        asked = played.seen[-1][1]["query"]
        found = [{"metric": {"flag": "a.b"}, "value": [NOW.timestamp(), "1"]}]
        small = {"status": "success", "data": {"resultType": "vector", "result": found}}
        send(handler, small if asked == alone else b" " * 200_000)

    played.respond = too_much_for_all
    one = for_all("a.b", query=query)
    async with PrometheusSource(played.url) as source:
        for _ in range(2):  # the second time it is known, and the answer is still there
            assert isinstance((await source.ask([one], NOW))[one], Answered)
    assert len(played.seen) == 2


async def test_a_query_beyond_prometheus_own_limit_is_too_large_too(played: Played) -> None:
    def limited(handler: BaseHTTPRequestHandler) -> None:
        said = "query processing would load too many samples into memory in query execution"
        if ".+" in played.seen[-1][1]["query"]:
            send(handler, {"status": "error", "errorType": "execution", "error": said}, 422)
        else:
            send(handler, answered())

    played.respond = limited
    assert await ask(played, for_all("a")) == NoData(
        "the answer lacks the label flag: aggregate each query by it, such as sum by (flag, variant) (...)"
    )


async def test_a_query_that_is_wrong_for_all_is_not_tried_for_each(played: Played) -> None:
    wrong = {"status": "error", "errorType": "bad_data", "error": "parse error"}
    played.respond = lambda handler: send(handler, wrong, 400)
    answer = await ask(played, for_all("a"))
    assert answer == Unavailable("Prometheus rejects the query; the operator's log has the reason")
    assert len(played.seen) == 1


async def test_a_history_of_a_group_is_asked_for_that_group_alone(played: Played) -> None:
    played.respond = lambda handler: matrix(handler, played.seen[-1][1])
    await ask(played, for_all("a", span=72 * 3600))
    assert [seen["query"] for _, seen in played.seen] == ['x{flag=~"a"}'] * 2


def part_of(labels: dict[str, str]) -> dict[str, object]:
    later_than_asked = NOW.timestamp() + 3600
    return {"metric": {"variant": "on", "pilotage_part": "0", **labels}, "value": [later_than_asked, "1"]}


def vector(*labels: dict[str, str]) -> dict[str, object]:
    return {"status": "success", "data": {"resultType": "vector", "result": [part_of(each) for each in labels]}}


TOGETHER = [Question(Measurement(query=f"x{number}"), 90, 0, 15) for number in range(3)]


async def prove(source: PrometheusSource) -> None:
    """Two intervals in which each is asked alone and answered well."""
    for number in range(2):
        await source.ask(TOGETHER, NOW + timedelta(seconds=number * 15))


def joined(played: Played) -> list[str]:
    return [seen["query"] for _, seen in played.seen if "pilotage_unit" in seen["query"]]


@pytest.mark.parametrize(
    "fail",
    [
        lambda handler: send(handler, {**vector({"pilotage_unit": "0"}), "warnings": ["x2 is odd"]}),
        lambda handler: send(handler, {"status": "error", "errorType": "execution", "error": "many-to-many"}, 422),
        lambda handler: send(handler, b"", 405),
        lambda handler: handler.connection.close(),
    ],
    ids=["partial", "rejected", "not allowed", "cut off"],
)
async def test_what_goes_wrong_together_is_asked_alone_at_once(played: Played, fail: Respond) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        if "pilotage_unit" in played.seen[-1][1]["query"]:
            with suppress(OSError, ValueError):
                fail(handler)
        else:
            send(handler, vector({}))

    played.respond = respond
    async with PrometheusSource(played.url) as source:
        await prove(source)
        for number in range(2, 5):
            answers = await source.ask(TOGETHER, NOW + timedelta(seconds=number * 15))
            assert {type(answer) for answer in answers.values()} == {Answered}
    # The third interval goes wrong; then each has to show itself again, twice.
    assert len({*joined(played)}) == 1


async def test_a_joined_request_that_hangs_leaves_time_to_ask_alone(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCH_SECONDS", 0.3)
    done = threading.Event()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if "pilotage_unit" in played.seen[-1][1]["query"]:
            done.wait(30)
        with suppress(OSError):
            send(handler, vector({}))

    played.respond = respond
    async with PrometheusSource(played.url, deadline_seconds=5) as source:
        await prove(source)
        began = time.monotonic()
        answers = await source.ask(TOGETHER, NOW + timedelta(seconds=30))
        assert {type(answer) for answer in answers.values()} == {Answered}
        assert time.monotonic() - began < 3
        done.set()
    assert len(joined(played)) == 1


async def test_where_joined_requests_always_fail_they_are_not_tried_for_a_while(played: Played) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        asked = played.seen[-1][1]["query"]
        send(handler, b"", 405) if "pilotage_unit" in asked else send(handler, vector({}))

    played.respond = respond
    async with PrometheusSource(played.url) as source:
        for number in range(24):
            answers = await source.ask(TOGETHER, NOW + timedelta(seconds=number * 15))
            assert {type(answer) for answer in answers.values()} == {Answered}
    assert len(joined(played)) == batching.FAILURES


async def test_a_source_that_is_closed_while_requests_are_gathered_leaves_nothing_behind(played: Played) -> None:
    played.respond = lambda handler: send(handler, vector({}))
    async with PrometheusSource(played.url) as source:
        await prove(source)
        asked = asyncio.create_task(source.ask(TOGETHER, NOW + timedelta(seconds=30)))
        await asyncio.sleep(0.002)
    with suppress(asyncio.CancelledError):
        await asked
    await asyncio.sleep(0.05)  # a timer that still went off would send now
    assert not joined(played)
