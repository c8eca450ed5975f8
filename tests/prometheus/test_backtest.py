"""A backtest against a real Prometheus: what it answers for past moments is what the operator would have been told."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pilotage.backtest.history import History as Past
from pilotage.backtest.history import HistoryError
from pilotage.backtest.recording import Recorder, RecordingError, Span, open_recording, read_recording
from pilotage.cli.main import main
from pilotage.judging.evidence import Group, Measurement, Question
from pilotage.metrics.client import PrometheusClient
from pilotage.metrics.source import PrometheusSource
from testbed.history import STALE, History, prometheus_with_history

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SINCE = NOW - timedelta(hours=6)
T = NOW.timestamp()
SCRAPE = 15.0

pytestmark = pytest.mark.cluster("prometheus")


def scraped(value: Any, *, back: float = 12 * 3600, until: float = 0.0) -> list[tuple[float, float]]:
    count = round((back - until) / SCRAPE)
    moments = [-back + index * SCRAPE for index in range(count + 1)]
    return [(T + at, float(value(at) if callable(value) else value)) for at in moments]


class Counter:
    """A counter that grows by so much a scrape; it starts anew now and then, as a process does."""

    def __init__(self, seed: int, low: int, high: int) -> None:
        self.chance, self.low, self.high, self.total = random.Random(seed), low, high, 0.0

    def __call__(self, _at: float) -> float:
        self.total = 0.0 if self.chance.random() < 0.001 else self.total + self.chance.randint(self.low, self.high)
        return self.total


def record(history: History) -> None:
    for seed, variant in enumerate(("on", "off")):
        history.add("requests_total", scraped(Counter(seed, 5, 60)), variant=variant, app="shop")
        history.add("errors_total", scraped(Counter(seed + 10, 0, 1)), variant=variant, app="shop")
    history.add("requests_total", scraped(Counter(20, 5, 60)), app="plain")
    history.add("errors_total", scraped(Counter(21, 0, 1), back=5 * 3600), app="plain")  # the first error is late
    history.add("saturation", scraped(lambda at: 0.5 + (at % 700) / 2000))
    history.add("gaps", [(at, v) for at, v in scraped(lambda at: at % 97) if not 2000 < (at - T) % 5000 < 2900])
    history.add("ends", [*scraped(7, until=3 * 3600), (T - 3 * 3600 + 15, STALE), *scraped(8, back=3600)])
    for pod in ("a", "b"):  # two series for a while
        history.add("doubled", scraped(3, until=0 if pod == "a" else 4 * 3600), pod=pod)
    for flag in ("search", "cart"):
        history.add("flag_latency", scraped(lambda at: 0.05 + (at % 130) / 1e4), flag=flag)
    # Labelled for a while, unlabelled before.
    history.add("mixed", scraped(1, until=4 * 3600))
    history.add("mixed", scraped(2, back=4 * 3600), variant="on")


def ratio(app: str, window: float, span: float, step: float = SCRAPE, *, aligned: bool = False) -> Question:
    errors = f'sum by (variant) (increase(errors_total{{app="{app}"}}[$window]))'
    total = f'sum by (variant) (increase(requests_total{{app="{app}"}}[$window]))'
    return Question(Measurement("", errors, total), window, span, step, aligned)


def gauge(query: str, window: float = 60, span: float = 0, step: float = SCRAPE, **more: Any) -> Question:
    return Question(Measurement(query, **more), window, span, step)


QUESTIONS = {
    "a ratio by variant, now": ratio("shop", 60, 0),
    "a ratio by variant for ten minutes": ratio("shop", 60, 600),
    "a ratio without variants for an hour": ratio("plain", 300, 3600),
    "a ratio of nothing": ratio("nobody", 60, 300),
    "counts of the sequential judge": ratio("shop", 30, 120, aligned=True),
    "an hour in finer steps than the interval": ratio("shop", 60, 1800, 10.0),
    "twenty steps of an hour's window": ratio("shop", 3600, 3600, 180.0),
    "hours": ratio("shop", 3600 + SCRAPE, 4 * 3600, 3600.0),
    "a gauge": gauge("saturation"),
    "a gauge for five minutes": gauge("saturation", span=300),
    "a gauge with gaps": gauge("gaps", 30, 240),
    "a gauge that ends and comes back": gauge("ends", 30, 120),
    "more than one series for a while": gauge("doubled"),
    "labelled for a while": gauge("mixed", span=600),
    "a quotient without a meaning": gauge("saturation * 0 / 0"),
    "a scalar": gauge("scalar(saturation)"),
    "one flag's part": gauge(
        'max by (flag, variant) (flag_latency{flag=~"$group"})', span=120, group=Group("flag", "search")
    ),
    "a flag that nobody has": gauge("max by (flag) (flag_latency)", span=120, group=Group("flag", "none")),
    "what Prometheus rejects": gauge("sum by ("),
    "a range vector": gauge("saturation[1m]", span=60),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with prometheus_with_history() as (prometheus, history):
        record(history)
        history.write()
        yield prometheus.url


def moments(count: int) -> list[datetime]:
    """Judgements on the grid of the interval, some beside it, and both ends."""
    chance = random.Random(7)
    ticks = [SINCE + timedelta(seconds=SCRAPE * chance.randrange(6 * 240)) for _ in range(count)]
    beside = [at + timedelta(seconds=chance.random() * 15) for at in ticks[: count // 3]]
    return [SINCE, *(at for at in (*ticks, *beside) if at <= NOW), NOW]


@pytest.mark.parametrize("name", QUESTIONS)
async def test_an_answer_from_history_is_what_the_operator_would_have_got(
    name: str, client: PrometheusClient, source: PrometheusSource
) -> None:
    question, past = QUESTIONS[name], Past(client, SINCE, NOW)
    kinds = set()
    for now in moments(20):
        told = (await source.ask([question], now))[question]
        found = past.ask([question], now)[question]
        assert found == told, f"at {now}"
        kinds.add(type(told))
    print(name, kinds, past.requests)
    assert past.requests <= 24


def test_each_grid_is_fetched_once_and_a_longer_span_only_before_it(client: PrometheusClient) -> None:
    past = Past(client, SINCE, NOW)
    for minutes in range(360):
        past.ask([ratio("shop", 60, 600)], SINCE + timedelta(minutes=minutes))
    assert past.requests == 1
    past.ask([ratio("shop", 60, 3600)], NOW)
    assert past.requests == 2


ROLLOUT = """
apiVersion: pilotage.dev/v1alpha1
kind: PilotRollout
metadata: {name: search, namespace: shop}
spec:
  feature: {flag: search, treatment: "TREATMENT"}
  indicators:
    - {name: errors, errors: 'sum by (variant) (increase(errors_total{app="APP"}[$window]))',
       total: 'sum by (variant) (increase(requests_total{app="APP"}[$window]))'}
    - {name: load, templateRef: load}
  rollback: ["errors > 20% for 1m"]
  throttle: ["load > 99% for 1m"]
  RULES
  steps:
    - {name: few, percent: 10, hold: 30m}
    - {name: all, percent: 100}
---
apiVersion: pilotage.dev/v1alpha1
kind: IndicatorTemplate
metadata: {name: load}
spec: {query: max(saturation), unit: ratio}
"""
RANGE = (f"--from={SINCE.isoformat()}", f"--to={NOW.isoformat()}")


def write(folder: Path, *, treatment: str = "on", app: str = "shop", rules: str = "") -> str:
    path = folder / "rollout.yaml"
    path.write_text(ROLLOUT.replace("TREATMENT", treatment).replace("APP", app).replace("RULES", rules))
    return str(path)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_rollout_is_told_as_a_story(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backtest", write(tmp_path), *RANGE, f"--prometheus={url}", "--every=2h"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "shop/search: 2026-03-02 03:00:00 UTC to 2026-03-02 09:00:00 UTC (6h), judged every 15s"
    assert lines[1] == "Treatment is the variant on, as it was recorded."
    assert [line.split()[:5] for line in lines if line.startswith("day")] == [
        ["day", "0", "03:00:00", "Start", "few"],
        ["day", "0", "03:30:00", "Advance", "all"],
        ["day", "0", "03:30:00", "Complete", "all"],
    ]
    assert "The rollout completed after 30m." in lines
    assert "  would have been rolled back 0 of 3 times" in lines
    assert "  would have left step few after 30m (median)" in lines


def test_where_nobody_had_the_feature_the_service_stands_for_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for treatment, app in (("new", "shop"), ("on", "plain")):
        path = write(tmp_path, treatment=treatment, app=app)
        assert main(["backtest", path, *RANGE, f"--prometheus={url}", "--every=0s", "--format=json"]) == 0
        found = told(capsys)
        assert found["arms"] == "healthy"
        actions = [entry["action"] for entry in found["decisions"]]
        assert [each for each in actions if each not in ("Hold", "Resume")] == ["Start", "Advance", "Complete"]


def test_a_rule_that_breaks_by_chance_is_found_and_mended(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, app="plain", rules='noGo: ["errors > 90%"]')
    text = Path(path).read_text().replace("errors > 20% for 1m", "errors > 3% for 30s")
    Path(path).write_text(text)
    arguments = ["backtest", path, *RANGE, f"--prometheus={url}", "--every=30m", "--format=json"]
    assert main(arguments) == 0
    found = told(capsys)
    assert found["healthy"]["rolledBack"] > 0
    assert set(found["healthy"]["breaking"]) == {"spec.rollback[0]"}
    [change] = found["proposal"]["changes"]
    Path(path).write_text(text.replace(change["written"], change["proposed"]))
    assert main(arguments) == 0
    again = told(capsys)
    assert again["healthy"]["rolledBack"] == 0
    assert again["healthy"]["starts"] == found["healthy"]["starts"] == 12


def test_counts_are_judged_in_sequence_against_a_control_like_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = 'objectives: [{indicator: errors, objective: "< 20%", onBreach: rollback}]'
    path = write(tmp_path, app="plain", rules=rules)
    assert main(["backtest", path, *RANGE, f"--prometheus={url}", "--every=1h", "--format=json"]) == 0
    found = told(capsys)
    assert found["healthy"]["rolledBack"] == 0
    assert found["healthy"]["completed"] >= 5
    evidence = found["decisions"][-1]["evidence"]
    assert any(line.startswith("errors < 20%: pass") for line in evidence), evidence


def test_a_recording_is_replayed_without_prometheus(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, file, page = write(tmp_path, app="plain"), tmp_path / "a.jsonl.gz", tmp_path / "a.html"
    live = ["--every=1h", "--format=json", f"--record={file}", f"--prometheus={url}", *RANGE]
    assert main(["backtest", path, *live]) == 0
    first = told(capsys)
    assert main(["backtest", path, f"--replay={file}", "--every=1h", "--format=json", f"--report={page}"]) == 0
    assert told(capsys) == first
    text = page.read_text()
    assert "This is a backtest" in text
    assert "Backtest of search" in text
    assert text.count("<svg") == 1
    Path(path).write_text(Path(path).read_text().replace('app="plain"', 'app="other"'))
    assert main(["backtest", path, f"--replay={file}", "--every=0s"]) == 2
    assert "a.jsonl.gz does not hold what this rollout asks" in capsys.readouterr().err


def test_no_prometheus_is_three_and_wrong_input_is_two(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    assert main(["backtest", path, *RANGE, "--prometheus=http://127.0.0.1:9"]) == 3
    assert "no backtest: Prometheus can't be reached; is --prometheus right?" in capsys.readouterr().err
    (tmp_path / "confused").mkdir()
    confused = write(tmp_path / "confused", rules='noGo: ["load > 3s"]')
    wrong = [
        ([path, "--from=7d"], "give --prometheus URL, or --replay FILE"),
        ([path, f"--prometheus={url}"], "give --from TIME, such as --from 7d"),
        ([path, f"--prometheus={url}", "--from=now", "--to=2020-01-01"], "is not before --to"),
        ([path, f"--prometheus={url}", "--from=1d", "--to=2990-01-01"], "lies in the future"),
        ([str(tmp_path / "none.yaml"), *RANGE, f"--prometheus={url}"], "none.yaml: No such file"),
        ([path, *RANGE, f"--prometheus={url}", f"--replay={path}"], "leave --prometheus and --record away"),
        ([path, f"--replay={path}"], "is not JSON"),
        ([confused, *RANGE, f"--prometheus={url}"], "spec.noGo[0]: compares seconds with percent"),
    ]
    for arguments, message in wrong:
        assert main(["backtest", *arguments]) == 2, arguments
        assert message in capsys.readouterr().err


def test_a_template_that_nobody_has_is_said_with_the_remedy(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(write(tmp_path))
    path.write_text(path.read_text().partition("---")[0])
    arguments = [str(path), *RANGE, f"--prometheus={url}", f"--kubeconfig={tmp_path / 'nothing'}"]
    assert main(["backtest", *arguments]) == 2
    assert "no file holds IndicatorTemplate load: give --templates FILE, or a cluster" in capsys.readouterr().err


def test_an_outage_in_the_middle_ends_it_and_leaves_no_whole_file(client: PrometheusClient, tmp_path: Path) -> None:
    class Dying:
        def __init__(self) -> None:
            self.left = 1

        def __getattr__(self, name: str) -> Any:
            self.left -= 1
            return getattr(client if self.left >= 0 else PrometheusClient("http://127.0.0.1:9"), name)

    path = tmp_path / "a.jsonl"
    with open_recording(path, "w") as file:
        past = Past(Recorder(Dying(), file, Span(SINCE, NOW)), SINCE, NOW)
        past.ask([gauge("saturation")], NOW)
        with pytest.raises(HistoryError, match="can't be reached"):
            past.ask([gauge("gaps")], NOW)
    with pytest.raises(RecordingError, match="cut off after 1 requests"):
        read_recording(path)
