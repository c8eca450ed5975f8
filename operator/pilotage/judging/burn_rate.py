"""Burn rates: how fast the service spends its error budget, all variants together; no step begins or goes on meanwhile.

A rate of 1 spends the budget in exactly its period; 14.4 over an hour is 2% of 30 days. A rate counts where it is too
high in the long window (it matters) and in the short one (it still goes on), so the gate opens again soon after the
errors end. Source: The Site Reliability Workbook (Google, 2018), chapter 5, "Multiwindow, multi-burn-rate alerts".

It is no guard of the users who try a feature: at a tenth of the traffic, all of their requests may fail for 8.6 minutes
before 14.4 times the budget of 99.9% is burnt in an hour, and a tenth of them for ever. It never rolls back.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from pilotage.judging.evidence import Answer, Answered, Evidence, NoData, Question, Unavailable
from pilotage.judging.questions import Resolved, RuleError, check_window, find, present
from pilotage.judging.rules import Rule
from pilotage.judging.standing import Standing
from pilotage.judging.threshold import finite, tolerance_seconds
from pilotage.judging.units import format_value
from pilotage.resources.burn_rates import BurnRate, BurnWindows
from pilotage.resources.durations import format_duration, parse_duration
from pilotage.resources.status import Finding, Verdict


@dataclass(frozen=True, slots=True)
class Pair:
    """Two windows and the rate that is too high in both of them.

    Attributes:
        long: asks for the counts of the long window.
        short: asks for those of the short one.
        factor: times the rate that spends the budget in its period.
    """

    long: Question
    short: Question
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnRateRule(Rule):
    """A gate on the budget of one indicator.

    Attributes:
        budget: the share of events that may be bad, in (0, 1).
        pairs: of windows; one that burns is enough.
    """

    budget: float
    pairs: tuple[Pair, ...]

    @property
    def questions(self) -> tuple[Question, ...]:
        """One for each window."""
        return tuple(dict.fromkeys(question for pair in self.pairs for question in (pair.long, pair.short)))

    @property
    def reach_seconds(self) -> float:
        """The longest window."""
        return max(pair.long.window_seconds for pair in self.pairs)

    def judge(self, evidence: Evidence, now: datetime) -> Finding:
        """Whether the budget burns too fast; what has no data is no peace."""
        rates = {question: self._rate(evidence.answers[question], question, now) for question in self.questions}
        burning = [pair for pair in self.pairs if all(_exceeds(rates[end], pair) for end in (pair.long, pair.short))]
        if burning:
            return self._told("breach", burning[0], rates)
        unknown = [pair for pair in self.pairs if not any(_keeps(rates[end], pair) for end in (pair.long, pair.short))]
        if unknown:
            answers = (evidence.answers[question] for question in (unknown[0].long, unknown[0].short))
            return self._unknown(answers)
        return self._told("pass", self.pairs[0], rates)

    def _rate(self, answer: Answer, question: Question, now: datetime) -> float | None:
        """Bad events of the whole service as a multiple of the budget; None without recent data."""
        if not isinstance(answer, Answered):
            return None
        oldest = now.timestamp() - tolerance_seconds(question)
        bad = total = 0.0
        for _, found in answer.by_variant:
            series = finite(found, now)
            if series is not None and series.weights and series.times[-1] >= oldest:
                share = 1 - series.values[-1] if question.measurement.good else series.values[-1]
                bad += share * series.weights[-1]
                total += series.weights[-1]
        return bad / total / self.budget if total > 0 else None

    def _told(self, verdict: Verdict, pair: Pair, rates: Mapping[Question, float | None]) -> Finding:
        told = " and ".join(
            f"{_times(rates[question])} over {format_duration(question.window_seconds)}"
            for question in (pair.long, pair.short)
        )
        message = f"{self.indicator} burns {told} of the rate that spends its budget of {self._budget} in its period"
        value = _times(rates[pair.long])
        bound = f"<= {pair.factor:g}x"
        if verdict == "pass":
            return self.finding("pass", message, value=value, standing=Standing(bound))
        message = f"{message}; more than {pair.factor:g}x in both is too much"
        standing = Standing(bound, remedy=f"fewer errors for {format_duration(pair.short.window_seconds)}")
        return self.finding("breach", message, value=value, standing=standing)

    def _unknown(self, answers: Iterator[Answer]) -> Finding:
        reasons = [answer for answer in answers if not isinstance(answer, Answered)]
        for answer in reasons:
            if isinstance(answer, Unavailable):
                return self.finding("unavailable", f"{self.indicator}: {answer.reason}")
        reason = reasons[0].reason if reasons and isinstance(reasons[0], NoData) else "no recent data"
        return self.finding("no-data", f"{self.indicator}: {reason}")

    @property
    def _budget(self) -> str:
        return format_value(self.budget, "ratio")


def _exceeds(rate: float | None, pair: Pair) -> bool:
    return rate is not None and rate > pair.factor


def _keeps(rate: float | None, pair: Pair) -> bool:
    return rate is not None and rate <= pair.factor


def _times(rate: float | None) -> str:
    return "?" if rate is None else f"{rate:.3g}x"


def burn_rate_rule(written: BurnRate, known: Mapping[str, Resolved | RuleError], field: str) -> BurnRateRule:
    """The rule of one entry of spec.burnRates.

    Raises:
        RuleError: the indicator counts nothing in `$window`, or a window makes no sense.
    """
    indicator = find(known, written.indicator, f"{field}.indicator")
    if indicator.measurement.query:
        message = f"{indicator.name} counts nothing: give it errors and total, or good and total, instead of query"
        raise RuleError(f"{field}.indicator", message)
    pairs = tuple(_pair(each, indicator, f"{field}.windows[{n}]") for n, each in enumerate(written.windows))
    return BurnRateRule(
        text=f"{indicator.name} burns its budget of {written.budget}",
        role="burnRate",
        field=field,
        on_breach="hold",
        indicator=indicator.name,
        budget=float(written.budget.removesuffix("%")) / 100,
        pairs=pairs,
    )


def _pair(written: BurnWindows, indicator: Resolved, field: str) -> Pair:
    long, short = parse_duration(written.long), parse_duration(written.short)
    for end, seconds in (("long", long), ("short", short)):
        check_window(indicator, seconds, f"{field}.{end}")
    if short >= long:
        raise RuleError(f"{field}.short", f"is not shorter than long: write {format_duration(long / 12)}, a twelfth")
    return Pair(present(indicator, long), present(indicator, short), _factor(written.factor, f"{field}.factor"))


def _factor(written: int | str, field: str) -> float:
    try:
        factor = float(written)
    except ValueError:
        factor = math.nan
    if not (math.isfinite(factor) and factor > 0):
        raise RuleError(field, f"{written!r} is no number above 0: write one such as 6 or 14.4")
    return factor
