"""Faults of Prometheus that a real one can't be made to show: warnings, odd answers, endless ones, refused access."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from prometheus_client import REGISTRY

from pilotage.judging.evidence import Answer, Measurement, NoData, Question, Unavailable
from pilotage.metrics import client
from pilotage.metrics.source import PrometheusSource

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
                asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
                played.seen.append((parts.path, {**asked, "token": self.headers.get("Authorization", "")}))
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


async def test_queries_are_counted_by_their_result(played: Played) -> None:
    before = counted("answered")
    async with PrometheusSource(played.url) as source:
        await source.ask([QUESTION], NOW)
        await source.ask([QUESTION], NOW)
    assert (counted("answered") - before, len(played.seen)) == (1, 1)
