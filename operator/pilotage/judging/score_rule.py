"""Score rules: `score(customer) >= 8.0 for 7d`. They hold or let go on; none ever takes users away."""

from dataclasses import dataclass, replace
from datetime import datetime

from pilotage.judging.evidence import Answered, Evidence, Question
from pilotage.judging.rules import Rule
from pilotage.judging.score import Score
from pilotage.judging.standing import Standing
from pilotage.judging.threshold import ThresholdRule, judge_answer
from pilotage.resources.status import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRule(Rule):
    """A bound on a score.

    Attributes:
        score: with questions that reach back over `for`.
        by_time: judges the series of the score as that of any indicator.
    """

    score: Score
    by_time: ThresholdRule

    @property
    def questions(self) -> tuple[Question, ...]:
        """Those of the score's inputs."""
        return self.score.questions

    @property
    def reach_seconds(self) -> float:
        """Its time and the longest window of an input."""
        return self.for_seconds + max(question.window_seconds for question in self.questions)

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """What the score says, now and over the time."""
        present = self.score.present(evidence, now)
        if not present.value:
            if failure := next(self.score.failures(evidence), ""):
                return self.finding("unavailable", f"{self.score.subject}: {failure}")
            return self.finding("no-data", f"{self.score.subject}: {present.message}")
        series = self.score.series(evidence, now)
        if not series.times:
            return self.finding("no-data", f"{self.score.subject}: its inputs have no data at the same time")
        by_time = replace(self.by_time, zone=self.zone)
        found = judge_answer(by_time, Answered((("", series),)), now)
        note = f"; {present.message}" if present.message else ""
        return self.finding(
            found.verdict,
            f"{found.message}{note}",
            value=found.value,
            since=found.since,
            earliest=found.earliest,
            standing=Standing.of(found),
        )
