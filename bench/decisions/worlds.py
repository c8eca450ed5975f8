"""Draws the counts of simulated rollouts, one hour each, and the history that a service had before.

A world is a noise, a traffic, a baseline and perhaps a fault. The traffic has a season of +-30 % over the hour with a
random phase; requests are Poisson, errors are binomial. A fault comes on top of the noise, so that the treatment's mean
is the fault's size; it begins at a step drawn evenly from minute 5 to minute 40.
"""

from dataclasses import dataclass
from typing import TypeAlias
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from bench.decisions import noises
from bench.decisions.clock import STAGES, STEP_SECONDS, STEPS, steps_of
from bench.decisions.noises import Flags, Floats, Noise, calm_paths

Counts: TypeAlias = NDArray[np.int64]
HISTORY_HOURS = 72
NEVER = STEPS
"""Stands for a step that doesn't come: no fault, no decision."""

NOISES: dict[str, tuple[Noise, ...]] = {
    "independent": (),
    "over-dispersed": (noises.over_dispersed,),
    "shared-burst": (noises.shared_burst,),
    "arm-burst": (noises.arm_burst,),
    "missing": (noises.missing,),
    "all": (noises.over_dispersed, noises.shared_burst, noises.arm_burst, noises.missing),
    "slow1": (noises.slow(1, 0.5),),
    "slow5": (noises.slow(5, 1.0),),
    "ar1": (noises.autoregressive(3, 0.8),),
    "brown-outs": (noises.brown_outs,),
    "drift": (noises.drift,),
    "after-incident": (),
}
"""What a service does all the time, in its history too."""

PAST: dict[str, tuple[Noise, ...]] = {"after-incident": (noises.long_incident,)}
"""What has happened in the history only."""

EVENTS: dict[str, tuple[Noise, ...]] = {
    "warm-up": (noises.warm_up,),
    "incident-5%": (noises.incident(0.05, 5),),
    "incident-20%": (noises.incident(0.20, 5),),
    "incident-unequal": (noises.incident(0.10, 6, (0.7, 1.4)),),
    "arm-brown-out": (noises.arm_brown_out,),
    "gap": (noises.gap,),
}
"""What happens in a rollout only; the history has never seen it."""


@dataclass(frozen=True, slots=True)
class World:
    """One way for rollouts to be.

    Args:
        noise: Name of a noise that the history has too.
        requests_per_second: Traffic of the whole service.
        baseline: Long-run ratio of failed requests.
        event: Name of what happens in the rollout only, or nothing.
        fault: Ratio of failed requests of the treatment from the onset on; 0 for a healthy feature.
    """

    noise: str
    requests_per_second: float
    baseline: float = 0.001
    event: str = ""
    fault: float = 0.0

    @property
    def name(self) -> str:
        """What is drawn; the same name and seed draw the same."""
        return f"{self.service} {self.event} {self.fault:g}"

    def __str__(self) -> str:
        fault = f", fault {100 * self.fault:g} %" if self.fault else ""
        return f"{self.event or self.noise}, baseline {100 * self.baseline:g} %, {self.requests_per_second:g}/s{fault}"

    @property
    def service(self) -> str:
        """What the history is drawn of; worlds that differ only in what happens in the rollout share it."""
        return f"{self.noise} {self.requests_per_second:g}/s {self.baseline:g}"


@dataclass(frozen=True, slots=True)
class Runs:
    """Counts per run and scrape; arrays of shape (runs, steps), zero where the scrape was lost.

    Args:
        requests: Requests of the treatment.
        errors: Those that failed.
        control_requests: Requests of control.
        control_errors: Those that failed.
        seen: Whether the scrape arrived.
        onsets: Step in which the fault begins, per run; `NEVER` for healthy ones.
    """

    requests: Counts
    errors: Counts
    control_requests: Counts
    control_errors: Counts
    seen: Flags
    onsets: Counts

    def __len__(self) -> int:
        return len(self.onsets)


def generator(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for each name, so that leaving one world out changes no other."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(crc32(name.encode()),)))


def draw(world: World, runs: int, seed: int, part: int = 0) -> Runs:
    """Draw rollouts of a world; each part draws others."""
    rng = generator(seed, f"part {part} of {world.name}")
    paths = calm_paths(runs, world.baseline)
    for noise in (*NOISES[world.noise], *EVENTS.get(world.event, ())):
        noise(rng, paths)
    onsets = np.full(runs, NEVER)
    if world.fault:
        onsets = rng.integers(steps_of(5), steps_of(40) + 1, runs)
        added = (world.fault - world.baseline) / (1 - world.baseline)
        faulty = np.arange(STEPS) >= onsets[:, None]
        paths.treatment[:] = np.where(faulty, 1 - (1 - paths.treatment) * (1 - added), paths.treatment)
    share = np.repeat([share for share, _ in STAGES], [steps for _, steps in STAGES])
    expected = world.requests_per_second * STEP_SECONDS * season(rng, runs)
    seen = ~paths.lost
    requests, control_requests = rng.poisson(expected * share) * seen, rng.poisson(expected * (1 - share)) * seen
    return Runs(
        requests=requests,
        errors=rng.binomial(requests, np.minimum(paths.treatment, 1)),
        control_requests=control_requests,
        control_errors=rng.binomial(control_requests, np.minimum(paths.control, 1)),
        seen=seen,
        onsets=onsets,
    )


def draw_history(world: World, seed: int, index: int) -> tuple[tuple[float, float] | None, ...]:
    """Draw the 72 hours before a rollout: requests and errors a step, or None where the scrape was lost.

    The counts are those of the whole traffic with the noise of *one* arm, because the profile has to be learned from
    something that is as small as the treatment; the judge thins it to the share of a stage.
    """
    rng = generator(seed, f"history {index} of {world.service}")
    paths = calm_paths(HISTORY_HOURS, world.baseline)
    for noise in (*NOISES[world.noise], *PAST.get(world.noise, ())):
        noise(rng, paths)
    requests = rng.poisson(world.requests_per_second * STEP_SECONDS * season(rng, HISTORY_HOURS))
    errors = rng.binomial(requests, np.minimum(paths.treatment, 1))
    steps = zip(requests.ravel().tolist(), errors.ravel().tolist(), paths.lost.ravel().tolist(), strict=True)
    return tuple(None if lost else (float(n), float(a)) for n, a, lost in steps)


def season(rng: np.random.Generator, runs: int) -> Floats:
    """Traffic relative to its mean: a sine of +-30 % over the hour, with a phase drawn for each run."""
    phase = rng.random((runs, 1))
    wave: Floats = 1 + 0.3 * np.sin(2 * np.pi * (np.arange(STEPS) / STEPS + phase))
    return wave
