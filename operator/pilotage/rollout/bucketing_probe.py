"""The bucketing probe: a flag whose variant tells how the evaluator that answers hashes.

Two generations of evaluators put other users first, and from outside both look right: each lets in the share that it
should. So they are asked for one key whose buckets are known. It falls into a narrow slot of its own by each
generation; what hashes in any other way finds nearly always what lies between.
"""

from typing import Final

from pilotage.rollout.bucketing import HashGeneration, bucket_of, part_of
from pilotage.rollout.exposure import SHARE_TOTAL
from pilotage.rollout.flagd import Definition

PROBE_FLAG: Final = "pilotage.bucketing"
"""The flag's key; its variants are the texts `raw`, `cbor` and `other`."""

OTHER: Final = "other"

_SEED, _KEY = "pilotage:", "evaluator"
_WIDTH: Final = SHARE_TOTAL // 100
_GENERATIONS: tuple[HashGeneration, ...] = ("raw", "cbor")


def probe_definition() -> Definition:
    """The flag's definition."""
    slots: list[list[str | int]] = []
    reached = 0
    for middle, generation in sorted((_part(generation), generation) for generation in _GENERATIONS):
        begin = middle - _WIDTH // 2
        slots += [[OTHER, begin - reached], [generation, _WIDTH]]
        reached = begin + _WIDTH
    slots.append([OTHER, SHARE_TOTAL - reached])
    return {
        "state": "ENABLED",
        "variants": {name: name for name in (*_GENERATIONS, OTHER)},
        "defaultVariant": OTHER,
        "targeting": {"fractional": [{"cat": [_SEED, _KEY]}, *slots]},
    }


def _part(generation: HashGeneration) -> int:
    return part_of(bucket_of(_KEY, seed=_SEED, generation=generation))
