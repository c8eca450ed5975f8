"""Counts a month's days: asks Prometheus for those that are not settled, and puts them into the account.

A day is settled by a look at it an hour after its end, when all of it is scraped and evaluated. After an outage of ours
the days that were missed are asked for, a few at a time. Where Prometheus can't be asked, nothing changes.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pilotage.judging.evidence import Answer, Question, Unavailable
from pilotage.resources.rollout import PilotRollout
from pilotage.tenancy.accounts import MOST_PRESENCES, Account, Day
from pilotage.tenancy.cost import day_begins_at
from pilotage.tenancy.metering import Metered, Stretch, line_of, merged
from pilotage.tenancy.presence import presences_of

Ask = Callable[[Collection[Question], datetime], Awaitable[Mapping[Question, Answer]]]
"""How Prometheus is asked: `PrometheusSource.ask`."""

SETTLES_AFTER = timedelta(hours=1)
_DAYS_AT_ONCE = 6


@dataclass(frozen=True, slots=True)
class Counted:
    """What came of counting.

    Attributes:
        account: with the days that were asked for.
        complete: whether no day is left to be asked for.
        problems: why something is not known, a sentence each.
    """

    account: Account
    complete: bool
    problems: tuple[str, ...] = ()


async def count(
    ask: Ask,
    account: Account,
    meters: Sequence[Metered],
    rollouts: Sequence[PilotRollout],
    *,
    since: date,
    now: datetime,
) -> Counted:
    """The account with its days counted, as far as they are over.

    Args:
        ask: Prometheus.
        account: of the month.
        meters: what is counted.
        rollouts: whose users are counted.
        since: days before it are nobody's: the tenant was not there.
        now: the time.
    """
    due = days_due(account, since, now)
    problems = dict.fromkeys(metered.problem for metered in meters if metered.problem)
    for day in due[:_DAYS_AT_ONCE]:
        stretch = Stretch.of(day, now)
        answers = await _answers(ask, meters, stretch)
        if any(isinstance(answer, Unavailable) for answer in answers.values()):
            problems["Prometheus can't be asked: days are counted once it can"] = None
            continue
        found = merged(account.day(day), _day(stretch, meters, answers, rollouts, now))
        account = account.with_day(found)
    return Counted(account, len(due) <= _DAYS_AT_ONCE, tuple(problems))


def days_due(account: Account, since: date, now: datetime) -> tuple[date, ...]:
    """The days to look at, the newest first: what is missed must not keep today waiting."""
    begun = (day for day in account.period.days if since <= day and Stretch.of(day, now).steps)
    due = [day for day in begun if not ((known := account.day(day)) and known.settled)]
    return tuple(reversed(due))


async def _answers(ask: Ask, meters: Sequence[Metered], stretch: Stretch) -> dict[str, Answer]:
    questions = {
        metered.rate.meter: stretch.question(metered.measurement)
        for metered in meters
        if metered.measurement is not None
    }
    answers = await ask(set(questions.values()), stretch.ends_at)
    return {meter: answers[question] for meter, question in questions.items()}


def _day(
    stretch: Stretch,
    meters: Sequence[Metered],
    answers: Mapping[str, Answer],
    rollouts: Sequence[PilotRollout],
    now: datetime,
) -> Day:
    presences = [each for rollout in rollouts for each in presences_of(rollout, stretch.day, stretch.ends_at)]
    return Day(
        date=stretch.day,
        lines=tuple(line_of(metered, stretch, answers.get(metered.rate.meter)) for metered in meters),
        presences=tuple(presences[:MOST_PRESENCES]),
        settled=now >= day_begins_at(stretch.day) + timedelta(days=1) + SETTLES_AFTER,
    )
