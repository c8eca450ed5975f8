"""Assignment: do the variants have the users that the admitted share should give them? If not, nothing is left.

Users who are lost, redirected or counted twice in one variant spoil every comparison. It is told, and holds: whether
users suffer is for other rules to say. Only steps that admit a share of everybody are compared: users who were let in
by name or by cohort come as often as they like. Where control is an arm of treatment's size, drawn from the same users,
all steps are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from pilotage.judging.evidence import Answered, Evidence, NoData, Question, Stage, Unavailable
from pilotage.judging.inference.mismatch import BROKEN, sample_ratio_evidence
from pilotage.judging.questions import Resolved, RuleError, find_count, present
from pilotage.judging.rules import Rule
from pilotage.judging.standing import Standing
from pilotage.judging.threshold import finite, tolerance_seconds
from pilotage.judging.units import format_value
from pilotage.resources.durations import format_duration
from pilotage.resources.rollout import PilotRolloutSpec
from pilotage.resources.status import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignmentRule(Rule):
    """The users of each variant against the admitted share.

    Attributes:
        question: asks how many users each variant had in the window, until now.
        treatment: the variant with the feature.
        control: the variant without it.
        compared: names of the steps that admit a share of everybody, and nobody else; all where arms are equal.
        equal: whether control is an arm of treatment's size, and not all others.
    """

    question: Question
    treatment: str
    control: str
    compared: frozenset[str]
    equal: bool = False

    @property
    def questions(self) -> tuple[Question, ...]:
        """One."""
        return (self.question,)

    @property
    def reach_seconds(self) -> float:
        """Its window."""
        return self.question.window_seconds

    @property
    def is_pending_alarming(self) -> bool:
        """That it can't be told yet is nothing bad."""
        return False

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """Whether the users fit the share."""
        stage = evidence.stage
        if stage.since is None:
            return self.finding("pending", "no step has begun: there is nothing to compare yet")
        if stage.name not in self.compared or self._balance(stage) == 1.0:
            return self.finding("pass", f"step {stage.name} admits no share of everybody: there is nothing to compare")
        since = (stage.settled_since or stage.since) + timedelta(seconds=self.question.window_seconds)
        if now < since:
            window = format_duration(self.question.window_seconds)
            message = f"users are counted over {window}, and step {stage.name} is younger"
            return self.finding("pending", message, earliest=since)
        answer = evidence.answers[self.question]
        if isinstance(answer, Unavailable):
            return self.finding("unavailable", f"{self.indicator}: {answer.reason}")
        if isinstance(answer, NoData):
            return self.finding("no-data", f"{self.indicator}: {answer.reason}")
        return self._compared(answer, stage, now)

    def _balance(self, stage: Stage) -> float | None:
        """Treatment's part of those who are compared."""
        return stage.balance if self.equal else stage.share

    def _compared(self, answer: Answered, stage: Stage, now: datetime) -> Finding:
        counts = [self._users(answer, variant, now) for variant in (self.treatment, self.control)]
        if None in counts:
            variant = (self.treatment, self.control)[counts.index(None)]
            return self.finding("no-data", f"{self.indicator}: no data for the variant {variant}")
        treatment, control = (count or 0.0 for count in counts)
        balance = self._balance(stage)
        if balance is None or not 0 < balance < 1:
            return self.finding("no-data", f"{self.indicator}: the admitted share is not known")
        expected = format_value(balance, "ratio")
        if treatment + control == 0:
            return self.finding("no-data", f"{self.indicator}: there were no users")
        found = sample_ratio_evidence(treatment, control, balance)
        seen = format_value(treatment / (treatment + control), "ratio", apart_from=balance)
        message = (
            f"{treatment:,.0f} of {treatment + control:,.0f} users had {self.treatment}, {seen};"
            f" {expected} are admitted"
        )
        standing = Standing(f"about {expected}", f"{found:.3g} of {BROKEN:,.0f}")
        if found > BROKEN:
            message = f"assignment broken: {message} (evidence {found:.3g})"
            return self.finding("breach", message, value=seen, standing=standing)
        return self.finding("pass", message, value=seen, standing=standing)

    def _users(self, answer: Answered, variant: str, now: datetime) -> float | None:
        """The newest number of users; None where there is none, or an old one."""
        series = finite(dict(answer.by_variant).get(variant), now)
        if series is None or now.timestamp() - series.times[-1] > tolerance_seconds(self.question):
            return None
        return max(series.values[-1], 0.0)


def assignment_rule(spec: PilotRolloutSpec, known: Mapping[str, Resolved | RuleError]) -> AssignmentRule | None:
    """The rule of spec.audience.assignment; None without it.

    Raises:
        RuleError: its indicator is not defined, or is a ratio.
    """
    written = spec.audience.assignment
    if written is None:
        return None
    field = "spec.audience.assignment.indicator"
    indicator = find_count(known, written.indicator, field, of="users, by variant")
    return AssignmentRule(
        text=f"{indicator.name} as admitted",
        role="assignment",
        field=field,
        on_breach="hold",
        indicator=indicator.name,
        question=present(indicator, indicator.window_seconds),
        treatment=spec.feature.treatment,
        control=spec.feature.control,
        compared=frozenset(_shares_of_everybody(spec)),
        equal=spec.audience.control == "equal",
    )


def _shares_of_everybody(spec: PilotRolloutSpec) -> Iterator[str]:
    """Steps by percent alone; after one of another kind, who is kept from it spoils the share. Equal arms: all."""
    if spec.audience.control == "equal":
        yield from (step.name for step in spec.steps)
        return
    for step in spec.steps:
        if step.percent is None or step.cohorts:
            return
        yield step.name
