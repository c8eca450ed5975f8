"""What the sequential judge costs: an hour of scrapes for many rollouts, at once and judgement by judgement.

python -m bench.judging [--rollouts 1000] [--indicators 3]

Answers are made before the clock starts: what is measured is what the operator does with them, without asking.
"""

import argparse
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from random import Random

from pilotage.judging.evidence import Answered, Evidence, Series, Stage
from pilotage.judging.inference.noise import NoiseProfile, learn
from pilotage.judging.inference.sequential import ScrapeStep, advance
from pilotage.judging.objective import SequentialRule
from pilotage.judging.progress import Progress
from pilotage.judging.reading import readable_rules
from pilotage.resources.rollout import PilotRolloutSpec

STEPS = 240
STEP_SECONDS = 15.0
SINCE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
SHARE = 0.25
MIX = {"calm": 80, "noisy": 15, "faulty": 5}
"""Percent of the worlds: 5 requests a second of treatment; calm: 0.1 % errors; noisy: 0.5 %, redrawn for each arm each
minute; faulty: calm, and from the half hour on 5 % of treatment's requests fail."""

DIFFERENT = 20
"""Worlds; a thousand rollouts live in these, so that making them takes no longer than judging them."""


REPEATED = 3
"""The quick measurements are repeated, and the least is printed: another process that shares the core only adds."""


@dataclass(frozen=True, slots=True)
class World:
    """An hour of one indicator: its counts, and Prometheus' answers, at once and by the tail of each judgement."""

    steps: tuple[ScrapeStep, ...]
    whole: Answered
    tails: tuple[Answered, ...]
    profile: NoiseProfile


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rollouts", type=int, default=1000)
    arguments.add_argument("--indicators", type=int, default=3)
    parsed = arguments.parse_args()
    judged = parsed.rollouts * parsed.indicators
    rule = make_rule()
    worlds = list(islice(cycle(make_worlds(rule)), judged))
    mix = ", ".join(f"{percent}% {kind}" for kind, percent in MIX.items())
    print(f"{platform.machine()}, Python {platform.python_version()}; {parsed.rollouts:,} rollouts with")
    print(f"{parsed.indicators} indicators, an hour of {STEP_SECONDS:g} s scrapes each ({mix})\n")
    fold = min(fold_seconds(rule, worlds) for _ in range(REPEATED))
    batch, at_once = min((batch_seconds(rule, worlds) for _ in range(REPEATED)), key=lambda measured: measured[0])
    single, one_by_one = single_seconds(rule, worlds)
    steps = judged * STEPS
    print(f"{'the sums alone, in one go':<48}{fold:>8.2f} s CPU {fold / steps * 1e6:>8.2f} us a step")
    print(
        f"{'as after a restart: one answer for the hour':<48}{batch:>8.2f} s CPU {batch / steps * 1e6:>8.2f} us a step"
    )
    print(f"{'judged at each scrape, with findings':<48}{single:>8.2f} s CPU {single / steps * 1e6:>8.2f} us a step")
    print(f"{'':<48}{single / 3600:>8.2%} of a core")
    same = [a.newest.state == b.newest.state for a, b in zip(at_once, one_by_one, strict=True)]
    print(f"\nequal bit for bit: {sum(same):,} of {len(same):,}")


def make_rule() -> SequentialRule:
    """`errors < 1%` by variant, rolled back when it is missed for 90 s."""
    indicator = {"name": "errors", "errors": "increase(e[$window])", "total": "increase(t[$window])"}
    spec = PilotRolloutSpec.model_validate(
        {
            "feature": {"flag": "search"},
            "indicators": [indicator],
            "objectives": [{"indicator": "errors", "objective": "< 1%", "for": "90s", "onBreach": "rollback"}],
            "steps": [{"name": "few", "percent": 25}],
        }
    )
    [rule], _ = readable_rules(spec, {}, namespace="shop", name="search")
    assert isinstance(rule, SequentialRule)
    return rule


def make_worlds(rule: SequentialRule) -> Iterator[World]:
    """The different worlds, in the mix."""
    for number in range(DIFFERENT):
        place = number * 100 / DIFFERENT
        kind = "calm" if place < MIX["calm"] else "noisy" if place < MIX["calm"] + MIX["noisy"] else "faulty"
        random = Random(number)
        past = [(step.requests, step.errors) for step in _hour(random, "noisy" if kind == "noisy" else "calm", 24)]
        profile = learn(past, share=1.0, settings=rule.settings, steps_per_hour=STEPS)
        steps = tuple(_hour(random, kind, 1))
        whole = _answer(steps, 1, STEPS)
        tail = rule.tail.steps
        tails = tuple(_answer(steps, max(now - tail, 1), now) for now in range(1, STEPS + 1))
        yield World(steps, whole, tails, profile)


def _hour(random: Random, kind: str, hours: int) -> Iterator[ScrapeStep]:
    """20 requests a second, a quarter of them treatment's."""
    levels = [0.001, 0.001]
    for number in range(hours * STEPS):
        if kind == "noisy" and number % 4 == 0:
            levels = [0.005 * random.gammavariate(0.7, 1 / 0.7) for _ in levels]
        if kind == "faulty" and number == STEPS // 2:
            levels[0] = 0.05
        n, m = _poisson(random, 300 * SHARE), _poisson(random, 300 * (1 - SHARE))
        yield ScrapeStep(n, min(_poisson(random, n * levels[0]), n), m, min(_poisson(random, m * levels[1]), m))


def _poisson(random: Random, mean: float) -> float:
    """How many arrivals at a constant rate fall into a unit of time."""
    count, elapsed = -1, 0.0
    while elapsed < mean:
        elapsed += random.expovariate(1.0)
        count += 1
    return float(max(count, 0))


def _answer(steps: Sequence[ScrapeStep], first: int, last: int) -> Answered:
    """As Prometheus answers for the steps first to last (from 1): windows of two steps, scaled up."""
    at = tuple(time_of(number) for number in range(first, last + 1))
    seen = steps[first - 1 : last]
    arms = {
        "on": [(step.requests, step.errors) for step in seen],
        "off": [(step.control_requests, step.control_errors) for step in seen],
    }
    return Answered(
        tuple(
            (variant, Series(at, tuple(a / n if n else 0.0 for n, a in counts), tuple(2.0 * n for n, _ in counts)))
            for variant, counts in arms.items()
        )
    )


def time_of(number: int) -> float:
    """When a step ends; the first counts from the first full window on."""
    return SINCE.timestamp() + (number + 1) * STEP_SECONDS - 1


def moment(number: int) -> datetime:
    """When it is judged."""
    return SINCE + timedelta(seconds=(number + 1) * STEP_SECONDS)


def fold_seconds(rule: SequentialRule, worlds: Sequence[World]) -> float:
    """CPU seconds of the sums alone."""
    began = time.process_time()
    for world in worlds:
        advance(rule.settings, world.profile, world.steps)
    return time.process_time() - began


def batch_seconds(rule: SequentialRule, worlds: Sequence[World]) -> tuple[float, list[Progress]]:
    """CPU seconds of taking in the hour's answer and judging it, and what was made of it."""
    stage, now = Stage("few", SINCE, SHARE), moment(STEPS)
    made = []
    began = time.process_time()
    for world in worlds:
        progress = rule.started(stage, world.profile, None)
        assert progress is not None
        progress = rule.caught_up(progress, rule.more(progress, now), world.whole, world.tails[-1], now)
        evidence = Evidence({rule.tail: world.tails[-1]}, stage, {}, {rule.name: progress})
        assert rule.judge(evidence, now)
        made.append(progress)
    return time.process_time() - began, made


def single_seconds(rule: SequentialRule, worlds: Sequence[World]) -> tuple[float, list[Progress]]:
    """CPU seconds of a judgement at each scrape, as the operator makes them, and what was made of it in the end."""
    stage = Stage("few", SINCE, SHARE)
    known: list[Progress | None] = [None] * len(worlds)
    began = time.process_time()
    for number in range(1, STEPS + 1):
        now = moment(number)
        for place, world in enumerate(worlds):
            tail = world.tails[number - 1]
            progress = rule.started(stage, world.profile, known[place])
            assert progress is not None
            progress = rule.caught_up(progress, rule.more(progress, now), tail, tail, now)
            rule.judge(Evidence({rule.tail: tail}, stage, {}, {rule.name: progress}), now)
            known[place] = progress
    return time.process_time() - began, [progress for progress in known if progress is not None]


if __name__ == "__main__":
    main()
