"""What has happened to a tenant, before it has a number: one transition that people are told about, once."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from pilotage.resources.tenant_status import TRANSITIONS_LIMIT, Transition

_LONGEST_MESSAGE = 1024


@dataclass(frozen=True, slots=True)
class Happened:
    """One transition.

    Attributes:
        action: what it is, in one CamelCase word: Warn, ExceedSoft, ExceedHard, Hold, Throttle, Scale, Release, ...
        reason: why, in one CamelCase word.
        message: for people.
        resource: that it concerns; empty if it concerns the tenant as a whole.
    """

    action: str
    reason: str
    message: str
    resource: str = ""


def recorded(before: tuple[Transition, ...], happened: Iterable[Happened], now: datetime) -> tuple[Transition, ...]:
    """The transitions with those that have happened now; the oldest leave the list."""
    sequence = before[-1].sequence if before else 0
    made = tuple(
        Transition(
            sequence=sequence + number,
            time=now,
            action=each.action,
            reason=each.reason,
            resource=each.resource,
            message=each.message[:_LONGEST_MESSAGE],
        )
        for number, each in enumerate(happened, start=1)
    )
    return (*before, *made)[-TRANSITIONS_LIMIT:]
