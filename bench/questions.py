"""What asking Prometheus costs, by the number of rollouts and by how their indicators are written.

python -m bench.questions [--rollouts 10 100 1000] [--ticks 3]

A real Prometheus holds the series of every flag. At each tick all rollouts ask about five indicators over the last two
minutes, as the operator's workers do: by queries of their own, by templates, by templates that group by the flag. The
last table shows what it would bring to join the queries of several rollouts into one request.
"""

import argparse
import asyncio
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from prometheus_client import REGISTRY

from pilotage.judging.evidence import Answered, Question
from pilotage.judging.questions import Resolved, over, resolve_indicators
from pilotage.metrics.client import PrometheusClient
from pilotage.metrics.joining import join, split
from pilotage.metrics.source import PrometheusSource
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRolloutSpec
from testbed.history import History, prometheus_with_history

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
INTERVAL_SECONDS = 15.0
FOR_SECONDS = 120.0
WORKERS = 64
WARM_UP_TICKS = 2
"""Each query is first asked alone; from the next interval on, or the one after, it is joined with others."""
METRICS = ("errors", "slow", "declined", "retried", "dropped")
WAYS = ("own queries", "templates", "grouped templates")


@dataclass(frozen=True, slots=True)
class Cost:
    """What something cost: requests, wall clock, and CPU seconds of this process and of Prometheus."""

    requests: float
    seconds: float
    cpu: float
    prometheus_cpu: float


class Meter:
    """Measures from its making on."""

    def __init__(self, prometheus: psutil.Process) -> None:
        self._prometheus = prometheus
        self._before = self._now()

    def read(self) -> Cost:
        """What was spent since."""
        return Cost(*(now - before for now, before in zip(self._now(), self._before, strict=True)))

    def _now(self) -> tuple[float, float, float, float]:
        times = self._prometheus.cpu_times()
        return _queries(), time.monotonic(), time.process_time(), times.user + times.system


def main() -> None:
    """Record, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollouts", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--ticks", type=int, default=3, help="intervals to measure")
    arguments = parser.parse_args()
    flags = [f"feature-{number:05}" for number in range(max(arguments.rollouts))]
    with prometheus_with_history() as (server, history):
        record(history, flags, WARM_UP_TICKS + arguments.ticks)
        prometheus = psutil.Process(server.process.pid)
        print(f"{platform.machine()}, {psutil.cpu_count()} cores, Python {platform.python_version()}; five indicators,")
        measured = f"{arguments.ticks} ticks after {WARM_UP_TICKS}, series of {len(flags)} flags"
        print(f"interval {INTERVAL_SECONDS:.0f} s, `for` {FOR_SECONDS:.0f} s, {measured}\n")
        print(f"{'rollouts':>8}  {'way':<18}{'queries/min':>12}{'s/tick':>9}{'CPU s/tick':>12}{'Prometheus CPU':>16}")
        for count in arguments.rollouts:
            for way in WAYS:
                asked = [questions_of(flag, way) for flag in flags[:count]]
                cost = asyncio.run(ask_ticks(server.url, asked, arguments.ticks, prometheus))
                print(f"{count:>8}  {way:<18}{_per_tick(cost, arguments.ticks)}", flush=True)
        print(f"\njoined, {len(flags)} queries of one indicator each\n")
        print(f"{'in one request':>14}{'requests':>10}{'s':>8}{'CPU s':>8}{'Prometheus CPU':>16}")
        for size in (1, 2, 5, 10, 20, 50):
            cost = ask_joined(server.url, flags, size, prometheus)
            cells = f"{cost.requests:>10.0f}{cost.seconds:>8.2f}{cost.cpu:>8.2f}{cost.prometheus_cpu:>16.2f}"
            print(f"{size:>14}{cells}", flush=True)


def record(history: History, flags: Sequence[str], ticks: int) -> None:
    """Counters of each flag and variant, scraped at each interval, until after the last tick."""
    first = START.timestamp() - 600
    times = [first + INTERVAL_SECONDS * step for step in range(round(600 / INTERVAL_SECONDS) + ticks)]
    for flag in flags:
        for variant in ("on", "off"):
            for metric in ("requests", *METRICS):
                rate = 100 if metric == "requests" else 1
                samples = ((at, 1000.0 + rate * step) for step, at in enumerate(times))
                history.add(f"app_{metric}_total", samples, flag=flag, variant=variant)
    history.write()


def indicators(way: str) -> Mapping[str, Mapping[str, Any]]:
    """The five, written this way: as an Indicator, or as a template's spec."""
    by = "flag, variant" if way == "grouped templates" else "variant"
    matcher = 'flag=~"$flag"' if way == "grouped templates" else 'flag="$flag"'
    more = {"groupBy": {"label": "flag", "value": "$flag"}} if way == "grouped templates" else {}
    counted = f"sum by ({by}) (increase(app_{{}}_total{{{{{matcher}}}}}[$window]))"
    return {
        metric: {"errors": counted.format(metric), "total": counted.format("requests"), "window": "1m", **more}
        for metric in METRICS
    }


def questions_of(flag: str, way: str) -> list[Question]:
    """What a rollout of this flag asks at each interval."""
    written = indicators(way)
    templates = {name: IndicatorTemplateSpec.model_validate(spec) for name, spec in written.items()}
    inline = [{"name": name, **spec} for name, spec in written.items()]
    referring = [{"name": name, "templateRef": name} for name in written]
    spec = PilotRolloutSpec.model_validate(
        {
            "feature": {"flag": flag},
            "indicators": inline if way == "own queries" else referring,
            "steps": [{"name": "one", "users": 1}],
        }
    )
    known = resolve_indicators(spec, templates, namespace="shop", name=flag).values()
    return [over(found, found.window_seconds, FOR_SECONDS) for found in known if isinstance(found, Resolved)]


async def ask_ticks(url: str, asked: Sequence[Sequence[Question]], ticks: int, prometheus: psutil.Process) -> Cost:
    """All rollouts ask at each tick, so many at once as the operator has workers."""
    free = asyncio.Semaphore(WORKERS)

    async def one(questions: Sequence[Question], now: datetime) -> None:
        async with free:
            answers = await source.ask(questions, now)
        assert all(isinstance(answer, Answered) for answer in answers.values()), answers

    async with PrometheusSource(url, deadline_seconds=60) as source:
        for tick in range(WARM_UP_TICKS + ticks):
            if tick == WARM_UP_TICKS:
                meter = Meter(prometheus)
            now = START + timedelta(seconds=tick * INTERVAL_SECONDS)
            await asyncio.gather(*(one(questions, now) for questions in asked))
        return meter.read()


def ask_joined(url: str, flags: Sequence[str], size: int, prometheus: psutil.Process) -> Cost:
    """One query of each rollout, so many of them in one request, eight requests at once."""
    queries = [f'sum by (variant) (increase(app_errors_total{{flag="{flag}"}}[1m]))' for flag in flags]
    client, end = PrometheusClient(url), START.timestamp()

    def ask(batch: Sequence[str]) -> None:
        promql = join(batch) if len(batch) > 1 else batch[0]
        found = client.range(promql, start=end - FOR_SECONDS, end=end, step=INTERVAL_SECONDS, seconds=60)
        replies = split(found, len(batch)) if len(batch) > 1 else (found,)
        assert all(len(reply.series) == 2 for reply in replies)

    batches = list(_batches(queries, size))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, batches[:8]))  # connections are open from now on
        meter = Meter(prometheus)
        list(pool.map(ask, batches))
        cost = meter.read()
    client.close()
    return Cost(len(batches), cost.seconds, cost.cpu, cost.prometheus_cpu)


def _batches(queries: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for first in range(0, len(queries), size):
        yield queries[first : first + size]


def _queries() -> float:
    """Queries so far, as the operator counts them."""
    samples = (sample for metric in REGISTRY.collect() for sample in metric.samples)
    return sum(sample.value for sample in samples if sample.name == "pilotage_queries_total")


def _per_tick(cost: Cost, ticks: int) -> str:
    a_minute = cost.requests / ticks * 60 / INTERVAL_SECONDS
    spent = (cost.seconds / ticks, cost.cpu / ticks, cost.prometheus_cpu / ticks)
    return f"{a_minute:>12.0f}{spent[0]:>9.2f}{spent[1]:>12.2f}{spent[2]:>16.2f}"


if __name__ == "__main__":
    main()
