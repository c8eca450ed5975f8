"""What is compared with what: the worlds of the benchmark, and which of them a person asked for."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from bench.decisions.worlds import EVENTS, World

RATES = (1.0, 20.0, 500.0)
LOW, HALF = 0.001, 0.005
"""Baselines: a tenth of the objective, and half of it."""

SINGLE_NOISES = ("independent", "over-dispersed", "shared-burst", "arm-burst", "missing")
SLOW_NOISES = ("slow1", "slow5")
HELD_OUT = ("ar1", "brown-outs", "drift")
"""Shapes that nobody tuned on."""
INCIDENTS = ("incident-5%", "incident-20%", "incident-unequal")
FAULTS = (0.02, 0.05, 0.20, 1.00)


def all_worlds() -> list[World]:
    """Every world, healthy ones first."""
    return [*healthy_worlds(), *faulty_worlds()]


def healthy_worlds() -> Iterator[World]:
    """Worlds in which every rollback is false."""
    for rate in RATES:
        for noise in (*SINGLE_NOISES, "all"):
            yield World(noise, rate, LOW)
        for event in EVENTS:
            yield World("independent", rate, LOW, event=event)
        for noise in (*SLOW_NOISES, *HELD_OUT):
            yield World(noise, rate, LOW)
        for noise in ("independent", "all", *SLOW_NOISES, *HELD_OUT):
            yield World(noise, rate, HALF)


def faulty_worlds() -> Iterator[World]:
    """Worlds in which no rollback is a miss."""
    for rate, fault in product(RATES, FAULTS):
        yield World("independent", rate, LOW, fault=fault)
    for noise, baseline in (("all", LOW), ("after-incident", LOW), ("independent", HALF), ("slow5", HALF)):
        for rate, fault in product(RATES[1:], FAULTS[:-1]):
            yield World(noise, rate, baseline, fault=fault)


def asked(worlds: Sequence[World], only: Mapping[str, Sequence[str]]) -> list[World]:
    """Worlds that match every key that was given; several values of a key are alternatives.

    Args:
        worlds: Worlds to choose from.
        only: From `noise`, `event`, `rate`, `baseline` or `fault` to the values that are wanted.

    Raises:
        ValueError: A key that no world has.
    """
    unknown = set(only) - {"noise", "event", "rate", "baseline", "fault", "rule"}
    if unknown:
        raise ValueError(f"--only: unknown key {min(unknown)!r}; use noise, event, rate, baseline, fault or rule")
    return [world for world in worlds if all(matches(world, key, values) for key, values in only.items())]


def matches(world: World, key: str, values: Sequence[str]) -> bool:
    """Whether the world has one of the values of a key."""
    if key == "rule":
        return True
    if key in {"noise", "event"}:
        return getattr(world, key) in values
    number = world.requests_per_second if key == "rate" else getattr(world, key)
    return number in map(float, values)
