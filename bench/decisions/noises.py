"""The ways in which healthy error ratios wander, burst and go missing; each changes the paths of both arms in place.

A path is the chance that a request of an arm fails, per run and scrape. Every draw is independent between runs. A level
that is redrawn has mean 1, so that the baseline stays the long-run ratio.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.decisions.clock import STAGE_STARTS, STEPS, steps_of

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Paths:
    """What drives the counts of many runs; arrays of shape (runs, steps), changed in place.

    Args:
        treatment: Chance that a request of the treatment fails.
        control: The same for control.
        lost: Whether the scrape was lost, for both arms.
    """

    treatment: Floats
    control: Floats
    lost: Flags

    @property
    def arms(self) -> tuple[Floats, Floats]:
        """Both arms, treatment first."""
        return self.treatment, self.control


Noise: TypeAlias = Callable[[np.random.Generator, Paths], None]


def calm_paths(runs: int, baseline: float) -> Paths:
    """Paths without noise: every request fails with the same chance."""
    shape = (runs, STEPS)
    return Paths(np.full(shape, baseline), np.full(shape, baseline), np.zeros(shape, dtype=np.bool_))


def over_dispersed(rng: np.random.Generator, paths: Paths) -> None:
    """Each scrape of each arm has a level of its own: Gamma with shape 1/2, a coefficient of variation of 1.4."""
    for arm in paths.arms:
        scale(arm, rng.gamma(0.5, 2.0, arm.shape))


def slow(minutes: int, shape: float) -> Noise:
    """Each arm's level is redrawn every few minutes, independently of the other arm: Gamma with that shape."""

    def noise(rng: np.random.Generator, paths: Paths) -> None:
        block = steps_of(minutes)
        for arm in paths.arms:
            levels = rng.gamma(shape, 1 / shape, (arm.shape[0], -(-STEPS // block)))
            scale(arm, np.repeat(levels, block, axis=1)[:, :STEPS])

    return noise


def autoregressive(minutes: float, deviation: float) -> Noise:
    """Each arm's log level is an AR(1) process with that time constant and standard deviation."""

    def noise(rng: np.random.Generator, paths: Paths) -> None:
        keep = np.exp(-1 / steps_of(minutes))
        for arm in paths.arms:
            level = rng.normal(0.0, deviation, arm.shape[0])
            for step in range(STEPS):
                arm[:, step] *= np.exp(level - deviation**2 / 2)
                level = keep * level + np.sqrt(1 - keep**2) * rng.normal(0.0, deviation, arm.shape[0])

    return noise


def drift(rng: np.random.Generator, paths: Paths) -> None:
    """Each arm's log level runs straight through the hour, from a third to thrice at most, with a slope of its own."""
    hour = np.linspace(-1.0, 1.0, STEPS)
    for arm in paths.arms:
        scale(arm, 3.0 ** (rng.uniform(-1, 1, (arm.shape[0], 1)) * hour))


def brown_outs(rng: np.random.Generator, paths: Paths) -> None:
    """Each arm has one spell of 2 minutes at 2 % in the hour, at a time of its own."""
    for arm in paths.arms:
        raise_to(arm, spell(rng, arm.shape[0], steps_of(2)), 0.02)


def arm_brown_out(rng: np.random.Generator, paths: Paths) -> None:
    """The treatment alone has a spell of 2 minutes at 2 %."""
    raise_to(paths.treatment, spell(rng, len(paths.lost), steps_of(2)), 0.02)


def long_incident(_: np.random.Generator, paths: Paths) -> None:
    """Hours 10 to 12 fail by half; for a history, whose runs are its hours."""
    for arm in paths.arms:
        arm[10:13] = 0.5


def shared_burst(rng: np.random.Generator, paths: Paths) -> None:
    """In half of the runs both arms fail 5 % for 3 minutes."""
    when = spell(rng, len(paths.lost), steps_of(3), chance=0.5)
    for arm in paths.arms:
        raise_to(arm, when, 0.05)


def arm_burst(rng: np.random.Generator, paths: Paths) -> None:
    """In half of the runs the treatment fails 20 % for 30 seconds."""
    raise_to(paths.treatment, spell(rng, len(paths.lost), steps_of(0.5), chance=0.5), 0.20)


def missing(rng: np.random.Generator, paths: Paths) -> None:
    """5 % of the scrapes are lost, and in half of the runs 3 minutes on end."""
    paths.lost[:] |= rng.random(paths.lost.shape) < 0.05
    paths.lost[:] |= spell(rng, len(paths.lost), steps_of(3), chance=0.5)


def gap(rng: np.random.Generator, paths: Paths) -> None:
    """No metrics of either arm for 10 minutes."""
    paths.lost[:] |= spell(rng, len(paths.lost), steps_of(10))


def warm_up(_: np.random.Generator, paths: Paths) -> None:
    """The treatment fails five times as often in the first minute of each stage."""
    for start in STAGE_STARTS:
        paths.treatment[:, start : start + steps_of(1)] *= 5


def incident(ratio: float, minutes: float, unequal: tuple[float, float] = (1.0, 1.0)) -> Noise:
    """Both arms fail at once, each by the ratio times a factor drawn evenly from a range."""

    def noise(rng: np.random.Generator, paths: Paths) -> None:
        when = spell(rng, len(paths.lost), steps_of(minutes))
        for arm in paths.arms:
            raise_to(arm, when, ratio * rng.uniform(*unequal, (len(arm), 1)))

    return noise


def spell(rng: np.random.Generator, runs: int, steps: int, *, chance: float = 1.0) -> Flags:
    """One spell of that many steps in each run (or in some), starting at any step at which it fits in the hour."""
    starts = rng.integers(0, STEPS - steps + 1, (runs, 1))
    steps_in = np.arange(STEPS) - starts
    return (steps_in >= 0) & (steps_in < steps) & (rng.random((runs, 1)) < chance)


def scale(arm: Floats, levels: Floats) -> None:
    """Multiply an arm's path by levels."""
    arm *= levels


def raise_to(arm: Floats, when: Flags, ratio: float | Floats) -> None:
    """Lift an arm to a ratio where it is below, within a spell."""
    arm[:] = np.where(when, np.maximum(arm, ratio), arm)
