"""Hashing: do the evaluators of all applications hash as the rollout computes? If not, each has users of its own.

Applications tell how their evaluators hash by a metric (`docs/control.md`). One that hashes otherwise serves the share
that it should, to other people: who has the feature in one application does not in the next, and no variant means
anything. That holds; it takes nobody back, because nobody suffers by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pilotage.judging.evidence import Answered, Evidence, NoData, Question, Unavailable
from pilotage.judging.questions import Resolved, RuleError, find_count, present
from pilotage.judging.rules import Rule
from pilotage.judging.standing import Standing
from pilotage.judging.threshold import finite, tolerance_seconds
from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.resources.status import Finding

UNKNOWN: Final = "none"
"""What an application says that was not served the probe: the default that the docs advise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashingRule(Rule):
    """Evaluators by the generation that they said, against the rollout's.

    Attributes:
        question: asks how many evaluators there are of each generation.
        generation: that the rollout computes with.
    """

    question: Question
    generation: str

    @property
    def questions(self) -> tuple[Question, ...]:
        """One."""
        return (self.question,)

    @property
    def reach_seconds(self) -> float:
        """Its window."""
        return self.question.window_seconds

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """Whether all hash alike, and as is computed."""
        answer = evidence.answers[self.question]
        if isinstance(answer, Unavailable):
            return self.finding("unavailable", f"{self.indicator}: {answer.reason}")
        if isinstance(answer, NoData):
            return self.finding("no-data", f"{self.indicator}: {answer.reason}")
        counts = self._counts(answer, now)
        everybody = sum(counts.values())
        if not everybody:
            said = f"{self.indicator}: no application says how its evaluator hashes: export the flag pilotage.bucketing"
            return self.finding("no-data", said)
        others = {name: count for name, count in counts.items() if count and name not in (self.generation, UNKNOWN)}
        standing = Standing(f"all {self.generation}", remedy=self._remedy(others) if others else "")
        value = f"{counts.get(self.generation, 0.0):,.0f} of {everybody:,.0f} {self.generation}"
        if not others and (unknown := counts.get(UNKNOWN)):
            said = f"{unknown:,.0f} of {everybody:,.0f} evaluators were not served the flag pilotage.bucketing"
            return self.finding("no-data", said, value=value, standing=standing)
        if not others:
            said = f"all {everybody:,.0f} evaluators hash {self.generation}"
            return self.finding("pass", said, value=value, standing=standing)
        named = ", ".join(f"{count:,.0f} {name}" for name, count in sorted(others.items()))
        said = (
            f"{named} of {everybody:,.0f} evaluators, but hashGeneration is {self.generation}:"
            f" they let in other users; {standing.remedy}"
        )
        return self.finding("breach", said, value=value, standing=standing)

    def _counts(self, answer: Answered, now: datetime) -> dict[str, float]:
        """The newest numbers; an old one is of an application that is gone."""
        found: dict[str, float] = {}
        for name, series in answer.by_variant:
            known = finite(series, now)
            if name and known and now.timestamp() - known.times[-1] <= tolerance_seconds(self.question):
                found[name] = max(known.values[-1], 0.0)
        return found

    def _remedy(self, others: Mapping[str, float]) -> str:
        """Either all are of another generation, or they have to be made one."""
        if set(others) <= {"raw", "cbor"}:
            return (
                "bring all applications to providers of one generation, and make the rollout anew with that"
                " hashGeneration"
            )
        return "replace the providers that hash in neither way: their users can't be computed"


def hashing_rule(spec: PilotRolloutSpec, known: Mapping[str, Resolved | RuleError]) -> HashingRule | None:
    """The rule of spec.delivery.flags.evaluators; None without it.

    Raises:
        RuleError: its indicator is not defined, or is no count.
    """
    written = spec.delivery.flags.evaluators
    if written is None:
        return None
    field = "spec.delivery.flags.evaluators.indicator"
    indicator = find_count(known, written.indicator, field, of="evaluators, by generation")
    return HashingRule(
        text=f"{indicator.name} all {spec.delivery.flags.hash_generation}",
        role="bucketing",
        field=field,
        on_breach="hold",
        indicator=indicator.name,
        question=present(indicator, indicator.window_seconds),
        generation=spec.delivery.flags.hash_generation,
    )
