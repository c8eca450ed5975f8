"""Exposure: who has the feature, as one frozen value; a delivery target needs to know nothing else."""

from dataclasses import dataclass
from typing import Literal

SHARE_TOTAL = 1_000_000_000
"""A share counts parts per billion, so that the boundary can lie between any two users' buckets."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A share of those who meet any of the criteria; of everybody if there are none."""

    share: int
    criteria: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exposure:
    """Who has the feature: the denied never, then the enrolled, the kept, and a share of those who meet the criteria.

    Attributes:
        flag: the flag's key.
        treatment: the variant with the feature.
        control: the variant without it.
        kind: `off` takes it from everybody, `full` gives it to everybody but the denied.
        deny: users who are never in.
        enrolled: users who are in by name, in the order of enrolment.
        share: parts per billion of the buckets that are in; 0 with `users`, SHARE_TOTAL with `full`.
        criteria: cohort criteria (texts of the audience grammar), any of which admits to the share; everybody if empty.
        kept: what earlier steps granted and this share does not cover: growing never drops anyone.
        bucket_by: the attribute that is hashed and compared with the lists.
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
