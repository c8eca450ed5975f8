"""The sequential judge on a real Prometheus: recorded counters, judged at each scrape as the operator judges them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import exp
from random import Random

import pytest

from pilotage.judging.evidence import Stage
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.inference.sequential import ScrapeStep, advance
from pilotage.judging.objective import SequentialRule
from pilotage.metrics.following import Followed, follow
from pilotage.metrics.source import PrometheusSource
from pilotage.resources.status import Finding
from testbed.history import STALE, History, prometheus_with_history
from tests.unit.counted_world import rules_of

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
STEP = 15
FAULT = 40
"""The step in which things change: ten minutes after START."""

LAST = 160
PAST = 73 * 240

pytestmark = pytest.mark.cluster("prometheus")

Ratios = Callable[[int, Random], tuple[float, float]]
"""Error ratios of treatment and control in a step."""


def fault(_number: int, _random: Random) -> tuple[float, float]:
    return (0.05, 0.001)


def shared(_number: int, _random: Random) -> tuple[float, float]:
    return (0.2, 0.2)


def healthy(_number: int, _random: Random) -> tuple[float, float]:
    return (0.001, 0.001)


WORLDS: dict[str, Ratios] = {"fault": fault, "shared": shared, "healthy": healthy, "gap": healthy, "noisy": healthy}
GAP = range(60, 64)
"""Steps whose scrapes are missing in the world `gap`: a minute."""


def arrivals(random: Random, mean: float) -> int:
    """How many arrivals at a constant rate fall into a unit of time (Knuth 1969)."""
    if mean > 30:
        return max(round(random.gauss(mean, mean**0.5)), 0)
    limit, product, count = exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count


@dataclass
class Counters:
    """Counters of one arm as scrapes see them."""

    requests: float = 1000.0
    errors: float = 1000.0
    samples: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {"r": [], "e": []})

    def count(self, at: float, requests: int, errors: int) -> None:
        self.requests += requests
        self.errors += errors
        self.samples["r"].append((at, self.requests))
        self.samples["e"].append((at, self.errors))


def record(history: History, world: str, ratios: Ratios, *, past: int) -> dict[str, list[tuple[float, float]]]:
    """Scrapes 3 s after each multiple of the step; treatment begins with the rollout. Returns each step's counts."""
    random = Random(world)
    arms = {"on": Counters(), "off": Counters()}
    counted: dict[str, list[tuple[float, float]]] = {"on": [], "off": []}
    for number in range(-past, LAST + 1):
        at = START.timestamp() + STEP * number - STEP + 3
        level = (0.001, 0.001) if number < FAULT else ratios(number, random)
        if world == "noisy" and number < 0 and (number // 240) % 4 == 0 and number % 60 < 12:
            level = (0.0, 0.03)
        for (variant, arm), mean, ratio in zip(arms.items(), (30, 270), level, strict=True):
            requests = arrivals(random, mean) if variant == "off" or number >= 0 else 0
            errors = min(arrivals(random, requests * ratio), requests)
            if world == "gap" and number in GAP:
                if number == GAP[0]:
                    arm.samples["r"].append((at, STALE))
                    arm.samples["e"].append((at, STALE))
                arm.requests += requests
                arm.errors += errors
                continue
            arm.count(at, requests, errors)
            counted[variant].append((requests, errors))
    for variant, arm in arms.items():
        for name, samples in arm.samples.items():
            history.add(f"{name}_total", samples, world=world, variant=variant)
    return counted


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with prometheus_with_history() as (prometheus, history):
        for world, ratios in WORLDS.items():
            record(history, world, ratios, past=PAST if world in ("fault", "noisy") else 1200)
        history.write()
        yield prometheus.url


def rule_of(world: str) -> SequentialRule:
    counted = {
        name: f'sum by (variant) (increase({metric}_total{{world="{world}"}}[$window]))'
        for name, metric in (("errors", "e"), ("total", "r"))
    }
    [rule] = rules_of({"for": "90s"}, indicator=counted)
    return rule


@dataclass
class Judged:
    """What was said at each step, and what was known in the end."""

    findings: dict[int, Finding]
    last: Followed
    profiles: dict[str, NoiseProfile]

    def first(self, verdict: str) -> int | None:
        return min((number for number, found in self.findings.items() if found.verdict == verdict), default=None)


async def judge(url: str, world: str, *, restart_at: int | None = None) -> Judged:
    """Judge at each multiple of the interval, as the operator does."""
    rule, before, stage = rule_of(world), Followed(), Stage("few", START, 0.1)
    profiles: dict[str, NoiseProfile] = {}
    findings: dict[int, Finding] = {}
    async with PrometheusSource(url, deadline_seconds=60) as source:
        for number in range(2, LAST + 1):
            now = START + timedelta(seconds=STEP * number)
            if number == restart_at:
                before = Followed()
            before = await follow(
                source, [rule], rule.questions, stage=stage, profiles=profiles, before=before, now=now
            )
            profiles |= before.learned
            findings[number] = rule.judge(before.evidence, now)
    return Judged(findings, before, profiles)


async def test_a_fault_of_treatment_is_found_after_about_its_for(url: str) -> None:
    judged = await judge(url, "fault")
    [profile] = judged.profiles.values()
    assert (profile.hours, profile.learned) == (72, True)
    assert {judged.findings[number].verdict for number in range(20, FAULT)} == {"pass"}
    found = judged.first("breach")
    assert found is not None
    print(f"5 % errors at 2 requests a second of treatment: after {(found - FAULT + 1) * STEP} s")
    assert 6 <= found - FAULT + 1 <= 30


async def test_what_both_arms_have_holds_and_is_not_taken_back(url: str) -> None:
    judged = await judge(url, "shared")
    assert judged.first("breach") is None
    assert {judged.findings[number].verdict for number in range(FAULT + 8, LAST)} == {"pending"}
    assert "a shared incident is suspected" in judged.findings[LAST].message


async def test_a_healthy_treatment_passes_all_the_time(url: str) -> None:
    judged = await judge(url, "healthy")
    assert {judged.findings[number].verdict for number in range(30, LAST)} == {"pass"}


async def test_a_gap_of_a_minute_holds_and_then_goes_on(url: str) -> None:
    judged = await judge(url, "gap")
    assert judged.first("breach") is None
    without = [number for number in range(30, LAST) if judged.findings[number].verdict == "no-data"]
    assert without
    assert set(without) <= set(range(GAP[0] + 1, GAP[-1] + 4))
    assert judged.findings[LAST].verdict == "pass"


async def test_a_restart_says_the_same_and_counts_nothing_twice(url: str) -> None:
    whole, restarted = await judge(url, "fault"), await judge(url, "fault", restart_at=LAST)
    assert whole.findings[LAST] == restarted.findings[LAST]
    [progress], [again] = (each.last.evidence.progress.values() for each in (whole, restarted))
    assert progress.newest == again.newest


async def test_the_counts_are_those_that_happened(url: str) -> None:
    """What windows that overlap by a scrape say of each step is what was counted in it, and so are the sums."""
    judged = await judge(url, "fault")
    counted = _count("fault", fault)
    steps = [ScrapeStep(n, a, m, b) for (n, a), (m, b) in zip(counted["on"], counted["off"], strict=True)]
    # Steps end just before a judgement, and its newest scrape is 12 s old by then.
    expected = steps[-(LAST - 2) :]
    [progress] = judged.last.evidence.progress.values()
    assert progress.newest.requests == pytest.approx(sum(step.requests for step in expected))
    [rule] = [rule_of("fault")]
    state = advance(rule.settings, progress.profile, expected)
    assert progress.newest.state.evidence == pytest.approx(state.evidence)
    assert progress.newest.state.guard == pytest.approx(state.guard)


def _count(world: str, ratios: Ratios) -> dict[str, list[tuple[float, float]]]:
    return record(History("http://nowhere"), world, ratios, past=PAST)


async def test_noise_is_learned_from_what_the_service_did_before(url: str) -> None:
    judged = await judge(url, "noisy")
    [profile] = judged.profiles.values()
    assert profile.learned
    assert profile.thresholds[0] > 9
    assert profile.thresholds[-1] == 9
    assert "UTC on); learned from the whole service, thinned to 0.1 of it" in profile.note


async def test_less_than_six_hours_of_history_are_said(url: str) -> None:
    judged = await judge(url, "healthy")
    [profile] = judged.profiles.values()
    assert not profile.learned
    assert "5 h of history are too few to learn the noise" in profile.note
