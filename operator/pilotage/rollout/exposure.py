"""Exposure: who has the feature, as one frozen value; a delivery target needs to know nothing else."""

from dataclasses import dataclass
from typing import Literal

SHARE_TOTAL = 1_000_000_000
"""A share counts parts per billion, so that the boundary can lie between any two users' buckets."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A share of those who meet any of the criteria (of everybody if there are none), and the share compared with it.

    `control` counts from the last bucket on; 0 where all others are compared.
    """

    share: int
    criteria: tuple[str, ...] = ()
    control: int = 0


@dataclass(frozen=True, slots=True)
class Exposure:
    """Who has the feature: the denied never, then the enrolled, the kept, and a share of those who meet the criteria.

    Who does not have it is compared with those who do: all others, or, where `rest` names a variant, only the arm of
    control.

    Attributes:
        flag: the flag's key.
        treatment: the variant with the feature.
        control: the variant without it.
        kind: `off` takes it from everybody, `full` gives it to everybody but the denied.
        deny: users who are never in.
        enrolled: users who are in by name, in the order of enrolment.
        share: parts per billion of the buckets that are in; 0 with `users`; with `full`, all but the holdback are in.
        criteria: cohort criteria (texts of the audience grammar), any of which admits to the share; everybody if empty.
        kept: what earlier steps granted and this share does not cover: growing never drops anyone.
        bucket_by: the attribute that is hashed and compared with the lists.
        held_back: parts per billion of the buckets, the last ones, that stay control; who is enrolled is in all the
            same.
        rest: the variant of those who are in no arm; empty where all others are control.
        control_share: parts per billion of the buckets, from the last on, that are control beside the share.
        controls: users who are control by name unless they have the feature.
        lease_until: when evaluators go over to the fallback, in seconds since 1970 by their clock; None for never.
        fallback: who has the feature then; None with `lease_until`.
        seed: put before the bucketing key; never changes while the rollout lives.
        revision: grows with each decision; readers recognise by it what is in force.
    """

    flag: str
    treatment: str
    control: str
    kind: Literal["off", "users", "percent", "full"]
    deny: tuple[str, ...] = ()
    enrolled: tuple[str, ...] = ()
    share: int = 0
    criteria: tuple[str, ...] = ()
    kept: tuple[Grant, ...] = ()
    bucket_by: str = "targetingKey"
    seed: str = ""
    revision: int = 0
    held_back: int = 0
    rest: str = ""
    control_share: int = 0
    controls: tuple[str, ...] = ()
    lease_until: int | None = None
    fallback: "Exposure | None" = None

    @property
    def outside(self) -> str:
        """The variant of those who are in no arm: the denied, and whom nothing admits."""
        return self.rest or self.control
