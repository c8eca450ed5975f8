"""Objectives on errors, judged step by step by the sequential judge: against the objective and against control.

Where there is no control to compare with (everybody has the feature, or nothing tells variants apart), the objective is
judged by its `for` alone, like any threshold.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from pilotage.judging.evidence import Answer, Answered, Evidence, NoData, Question, Stage, Unavailable
from pilotage.judging.incidents import Incident, without_incidents
from pilotage.judging.inference.likelihood import Settings
from pilotage.judging.inference.noise import NoiseProfile, fallback, learn
from pilotage.judging.inference.sequential import Verdict, least_requests, verdict_of
from pilotage.judging.pace import remedy_of
from pilotage.judging.progress import (
    Arms,
    Basis,
    Progress,
    begun,
    caught_up,
    counted_before,
    earlier_question,
    earlier_requests,
    history_counts,
    question_for,
)
from pilotage.judging.rules import Rule
from pilotage.judging.standing import Standing, distance_of
from pilotage.judging.threshold import ThresholdRule, tolerance_seconds
from pilotage.judging.units import format_value
from pilotage.resources import status
from pilotage.resources.durations import DAY, HOUR, format_duration
from pilotage.resources.status import Finding

UNKNOWN_SHARE: Final = 0.1
"""Of the traffic, where nobody knows how much of it is treatment's."""

SILENCE: Final = 7.0
"""Treatment is silent, and not only little used, when so many requests have stayed away: by chance 1 time in 1,100."""

RETRY_SECONDS: Final = 60.0
"""The beginning of a step that could not be asked for is asked for again so often: it is a query over hours."""


_FAR_SECONDS: Final = 400 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialRule(Rule):
    """An objective on errors and total of treatment, compared with control.

    Attributes:
        settings: of the judge.
        tail: asks for the counts of the last steps.
        history: asks for the counts that the service's noise is learned from.
        history_sized: whether the history is of something as small as treatment; else it is thinned to its share.
        arms: whose counts are compared.
        by_time: judges the same where there is no control.
        minimum_requests: of treatment, before a step is left; None for what shows a fault of five times the null.
    """

    settings: Settings
    tail: Question
    history: Question
    history_sized: bool
    arms: Arms
    by_time: ThresholdRule
    minimum_requests: int | None = None

    @property
    def questions(self) -> tuple[Question, ...]:
        """The newest counts."""
        return (self.tail,)

    @property
    def reach_seconds(self) -> float:
        """Evidence begins anew when users are taken back; only the window of its first count reaches further."""
        return self.tail.window_seconds

    @property
    def bound(self) -> float:
        """The objective."""
        return self.settings.objective_ratio

    @property
    def name(self) -> str:
        """Tells its noise and its evidence from those of other objectives, such as `errors < 1% for 90s`."""
        return _named(self.text, self.for_seconds, self.settings.sensitivity)

    @property
    def basis(self) -> Basis:
        """What the evidence depends on: it begins anew when that is edited."""
        return (self.tail, self.arms, self.settings)

    def profile(self, evidence: Evidence) -> NoiseProfile:
        """The noise that was learned for it, or the assumption where nothing was."""
        return evidence.profiles.get(self.name) or _assumed(self.settings)

    def started(self, stage: Stage, profile: NoiseProfile, known: Progress | None) -> Progress | None:
        """What is known of this step by this profile, else its beginning; None before the first step."""
        if stage.since is None:
            return None
        same = known is not None and (known.stage, known.profile, known.basis) == (stage, profile, self.basis)
        return known if same else begun(stage, profile, self.basis)

    def more(self, progress: Progress, now: datetime) -> Question:
        """What has to be asked to go on from there."""
        at = now.timestamp()
        return question_for(self.tail, self._from(progress, at).settled.until, at)

    def caught_up(self, progress: Progress, asked: Question, answer: Answer, newest: Answer, now: datetime) -> Progress:
        """After the new counts.

        Where all since the step began can't be had, the newest say at least what is going on now.

        Args:
            progress: so far.
            asked: what `more` wanted to know.
            answer: to that.
            newest: the answer to `tail`.
            now: when it was asked.
        """
        at = now.timestamp()
        end = self.tail.end_at(at)
        if asked == self.tail or isinstance(answer, Answered) or not isinstance(newest, Answered):
            known = self._from(progress, at)
            found, begins = caught_up(known, answer, end=end), end - asked.span_seconds
            cut_off = isinstance(answer, Answered) and known.settled.until < begins
            return replace(found, uncounted_until=begins) if cut_off and self._earlier(found, begins) else found
        start = end - self.tail.span_seconds
        if progress.settled.until < start:  # what lies between is lost for now
            tally = replace(progress.settled, until=start - self.tail.step_seconds / 2)
            progress = replace(progress, settled=tally, newest=tally)
        if progress.retry_at is None or at >= progress.retry_at:
            progress = replace(progress, retry_at=at + RETRY_SECONDS)
        return caught_up(progress, newest, end=end)

    def _from(self, progress: Progress, now: float) -> Progress:
        """Where to go on: from the step's beginning, where that is due once more."""
        due = progress.retry_at is not None and now >= progress.retry_at
        return begun(progress.stage, progress.profile, progress.basis) if due else progress

    def uncounted(self, progress: Progress) -> tuple[Question, datetime] | None:
        """What to ask for the requests of a step that is longer than what is judged anew, and as of when."""
        until = progress.uncounted_until
        question = self._earlier(progress, until) if until else None
        return (question, datetime.fromtimestamp(until, UTC)) if question and until else None

    def _earlier(self, progress: Progress, until: float) -> Question | None:
        assert progress.stage.since is not None
        return earlier_question(self.tail, progress.stage.since.timestamp(), until)

    def counted(self, progress: Progress, question: Question, answer: Answer, now: datetime) -> Progress:
        """With the requests that `uncounted` asked for; where they can't be had, all is asked for again later."""
        if isinstance(answer, Unavailable):
            return replace(progress, uncounted_until=None, retry_at=now.timestamp() + RETRY_SECONDS)
        return counted_before(progress, earlier_requests(question, answer, self.arms.treatment))

    def learned(
        self, answer: Answer, stage: Stage, asked_at: datetime, incidents: Collection[Incident] = ()
    ) -> NoiseProfile:
        """What the history teaches, with numbers as short as status keeps them.

        Args:
            answer: to `history`.
            stage: tells treatment's share.
            asked_at: when it was asked.
            incidents: that were declared; hours that they touch are left out.
        """
        if isinstance(answer, NoData | Unavailable):
            assumed = fallback(self.settings)
            return replace(assumed, note=f"{assumed.note}; asked for the history: {answer.reason}"[:1024])
        step = self.history.step_seconds
        end = self.history.end_at(asked_at.timestamp())
        counts = without_incidents(
            history_counts(answer, self.arms, end=end, step=step, steps=self.history.steps),
            incidents,
            end_at=datetime.fromtimestamp(end, UTC),
            step_seconds=step,
        )
        share = 1.0 if self.history_sized else min(max(stage.share or UNKNOWN_SHARE, 1e-6), 1.0)
        per_hour = max(round(HOUR / step), 1)
        profile = learn(counts, share=share, settings=self.settings, steps_per_hour=per_hour)
        note = profile.note
        if profile.worst_hour is not None:
            began = datetime.fromtimestamp(end - (len(counts) - profile.worst_hour * per_hour) * step, UTC)
            note += f" (from {began:%Y-%m-%d %H:%M} UTC on)"
        if profile.learned and share < 1:
            note += f"; learned from the whole service, thinned to {share:.2g} of it"
        return NoiseProfile(
            baseline_ratio=float(f"{profile.baseline_ratio:.4g}"),
            thresholds=tuple(round(threshold, 2) for threshold in profile.thresholds),
            hours=profile.hours,
            learned=profile.learned,
            note=note[:1024],
        )

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """What the evidence of this step says; without data it neither grows nor shrinks, and nothing is left."""
        answer, progress = evidence.answers[self.tail], evidence.progress.get(self.name)
        if not isinstance(answer, Answered) or progress is None:
            return self._by_time(evidence, now)
        verdict = verdict_of(self.settings, progress.profile, progress.newest.state)
        if verdict.unguarded or not self._tells_apart(answer):
            return self._by_time(evidence, now, " (no control to compare with)")
        value = _value_of(progress, self.bound)
        standing = self._standing(progress, verdict)
        if verdict.outcome != "pass":
            said: status.Verdict = "breach" if verdict.outcome == "rollback" else "pending"
            return self.finding(said, self._found(verdict, value), value=value, standing=standing)
        if silent_since := self._silent_since(progress, now):
            message = (
                f"{self.indicator}: no requests of the variant {self.arms.treatment} since {silent_since:%H:%M:%S %Z}"
            )
            standing = replace(standing, remedy=f"requests of the variant {self.arms.treatment}")
            return self.finding("no-data", message, since=silent_since, standing=standing)
        if verdict.raised and _is_over(progress, self.bound):
            message = f"{self.indicator} {value}, but control has it too: a shared incident is suspected"
            standing = replace(standing, remedy=f"{self.indicator} of control back to what it was")
            return self.finding("pending", message, value=value, standing=standing)
        return self._enough(progress, value, standing, now)

    def _tells_apart(self, answer: Answered) -> bool:
        """Whether the answer knows the variants at all; series without one are told from nobody's."""
        return any(variant in (self.arms.treatment, self.arms.control) for variant, _ in answer.by_variant)

    def _by_time(self, evidence: Evidence, now: datetime, suffix: str = "") -> Finding:
        found = self.by_time.judge(evidence, now)
        return found.model_copy(update={"message": f"{found.message}{suffix}"}) if suffix else found

    def _found(self, verdict: Verdict, value: str) -> str:
        """What the evidence says, and why it rolls back or doesn't."""
        null = format_value(verdict.null_ratio, "ratio")
        if verdict.outcome == "rollback":
            return f"{self.indicator} {value}: certainly more than {null}, and more than control has"
        evidence = f"evidence {min(verdict.evidence, 1.0):.0%}, against control {min(verdict.guard, 1.0):.0%}"
        said = f"{self.indicator} {value}: perhaps more than {null} ({evidence})"
        if verdict.raised:
            return f"{said}; control is worse than usual too: a shared incident is suspected"
        if verdict.evidence >= 1 and verdict.guard >= 1:
            return f"{said}; it only holds: there is too little history to roll back for so small a fault"
        return said

    def _silent_since(self, progress: Progress, now: datetime) -> datetime | None:
        """Since when requests of treatment stay away that should have come; None where they come, or seldom come."""
        tally = progress.newest
        if tally.heard_at is None or not (rate := self._rate(progress)):
            return None
        longest = max(tolerance_seconds(self.tail), SILENCE / rate)
        heard_at = datetime.fromtimestamp(tally.heard_at, now.tzinfo)
        return heard_at if (now - heard_at).total_seconds() > longest else None

    def _rate(self, progress: Progress) -> float:
        """Treatment's requests a second, while it had some."""
        assert progress.stage.since is not None
        tally = progress.newest
        began = progress.stage.since.timestamp() + self.tail.window_seconds - self.tail.step_seconds
        return tally.requests / max((tally.heard_at or began) - began, self.tail.step_seconds)

    def _enough(self, progress: Progress, value: str, standing: Standing, now: datetime) -> Finding:
        """A step proves something only by enough requests."""
        least, requests = self.least(progress.profile), progress.newest.requests
        if requests >= least:
            message = f"{self.indicator} {value} after {requests:.0f} requests"
            return self.finding("pass", message, value=value, since=progress.stage.since, standing=standing)
        message = f"{self.indicator} {value or 'unknown'}, but only {requests:.0f} of {least} requests that prove it"
        earliest = self._earliest(progress, least, now)
        return self.finding("no-data", message, value=value, earliest=earliest, standing=standing)

    def least(self, profile: NoiseProfile) -> int:
        """Treatment's requests that a step has to see."""
        if self.minimum_requests is not None:
            return self.minimum_requests
        return least_requests(self.settings, profile)

    def _earliest(self, progress: Progress, least: int, now: datetime) -> datetime | None:
        """When there will have been enough requests, at the rate so far; None where that can't be told."""
        rate, missing = self._rate(progress), least - progress.newest.requests
        if missing >= _FAR_SECONDS * rate:
            return None
        return (now + timedelta(seconds=missing / rate)).replace(microsecond=0)

    def _standing(self, progress: Progress, verdict: Verdict) -> Standing:
        """How far it is from deciding."""
        value = _ratio_of(progress)
        missing = self.least(progress.profile) - progress.newest.requests
        return Standing(
            bound=f"{self.by_time.op} {format_value(self.bound, 'ratio')}",
            evidence=_evidence(verdict),
            distance="" if value is None else distance_of(value, self.bound, "ratio"),
            remedy=remedy_of(self.indicator, self.settings, progress, verdict, missing=missing),
        )


def _evidence(verdict: Verdict) -> str:
    """Its share of what decides, and how sure it is that control has less of it."""
    if verdict.evidence <= 0:
        return "0%"
    return f"{min(verdict.evidence, 1.0):.0%}, against control {min(verdict.guard, 1.0):.0%}"


def _ratio_of(progress: Progress) -> float | None:
    requests = sum(step.requests for step in progress.newest.recent)
    return sum(step.errors for step in progress.newest.recent) / requests if requests else None


def _value_of(progress: Progress, bound: float) -> str:
    """Treatment's error ratio over the last four steps; empty without a request."""
    value = _ratio_of(progress)
    return "" if value is None else format_value(value, "ratio", apart_from=bound)


def _is_over(progress: Progress, bound: float) -> bool:
    value = _ratio_of(progress)
    return value is not None and value > bound


@lru_cache(maxsize=4096)
def _named(text: str, for_seconds: float, sensitivity: str) -> str:
    return f"{text} for {format_duration(for_seconds)}{', strict' if sensitivity == 'strict' else ''}"


_assumed = lru_cache(maxsize=4096)(fallback)
