"""What a rule did to the rollouts of a world, and how it is summed up."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bench.decisions.clock import STEP_SECONDS
from bench.decisions.noises import Floats
from bench.decisions.worlds import NEVER, Counts, World


@dataclass(frozen=True, slots=True)
class StageEnds:
    """What kept healthy rollouts from advancing when a stage was over; counts of stage ends.

    Args:
        reached: Ends of a stage that were reached without a rollback.
        held: Those where the evidence held the advance.
        short: Those where the treatment had seen fewer requests than the judge asks for.
    """

    reached: int = 0
    held: int = 0
    short: int = 0

    def __add__(self, other: "StageEnds") -> "StageEnds":
        return StageEnds(self.reached + other.reached, self.held + other.held, self.short + other.short)


@dataclass(frozen=True, slots=True)
class Score:
    """Decisions of one rule in one world.

    Args:
        world: Where it decided.
        rule: Name of the rule.
        runs: Rollouts that it saw.
        early: Rollouts that it took back although nothing was wrong (yet).
        delays: Seconds from the onset to the decision, per faulty run that wasn't taken back early; infinite if missed.
        ends: Stage ends, where the rule tells.
    """

    world: World
    rule: str
    runs: int
    early: int
    delays: tuple[float, ...] = ()
    ends: StageEnds = field(default_factory=StageEnds)

    @property
    def early_percent(self) -> float:
        """Share of rollouts that were taken back for nothing, in percent."""
        return 100 * self.early / self.runs

    @property
    def missed_percent(self) -> float:
        """Share of faults that weren't seen by the end of the hour, in percent."""
        return 100 * sum(map(math.isinf, self.delays)) / max(1, len(self.delays))

    def delay(self, quantile: float) -> float:
        """Quantile of the seconds to a decision; a missed fault counts as infinitely late.

        The value is that of a run (the lower of the two around the quantile), so that infinities aren't averaged.
        """
        if not self.delays:
            return math.nan
        return sorted(self.delays)[math.ceil(quantile * len(self.delays)) - 1]

    def __add__(self, other: "Score") -> "Score":
        return Score(
            self.world,
            self.rule,
            self.runs + other.runs,
            self.early + other.early,
            self.delays + other.delays,
            self.ends + other.ends,
        )

    def to_json(self) -> dict[str, Any]:
        """A document from which `from_json` makes the score again; infinite delays are null."""
        return asdict(self) | {"delays": [None if math.isinf(delay) else delay for delay in self.delays]}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Score":
        """Make a score from its document."""
        delays = tuple(math.inf if delay is None else float(delay) for delay in document["delays"])
        made = {"world": World(**document["world"]), "ends": StageEnds(**document["ends"]), "delays": delays}
        return cls(**(document | made))


def score(world: World, rule: str, onsets: Counts, decided: Counts, ends: StageEnds | None = None) -> Score:
    """Compare decisions with the truth.

    Args:
        world: Where they were made.
        rule: Who made them.
        onsets: Step in which each run's fault begins, `NEVER` for healthy ones.
        decided: Step at whose end each run was rolled back, `NEVER` if it wasn't.
        ends: Stage ends, where the rule tells.
    """
    early = decided < onsets
    delays: Floats = np.where(decided < NEVER, (decided + 1 - onsets) * float(STEP_SECONDS), np.inf)
    late = tuple(delays[~early].tolist()) if world.fault else ()
    return Score(world, rule, len(onsets), int(early.sum()), late, ends or StageEnds())


def upper_limit(count: int, of: int) -> float:
    """Upper end of the two-sided 95 % Wilson score interval of a share (Wilson 1927), in percent."""
    z = 1.96
    share = count / of
    spread = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return 100 * (share + z * z / (2 * of) + spread) / (1 + z * z / of)
