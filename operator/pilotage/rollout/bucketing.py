"""Bucketing: which users a share admits, computed as flagd's evaluators do it.

flagd hashes the bucketing string (here the seed followed by the user's key) with MurmurHash3 (x86, 32 bit, seed 0) to
a bucket in [0, 2^32), scales it to the sum of the weights, and serves the first variant whose cumulative weight lies
above it. So a share admits the users of the lowest buckets, and a growing share only adds users. Evaluators come in two
generations, which agree in all but what they hash: `raw` the string's UTF-8, `cbor` its CBOR encoding. (JavaScript's
`raw` hashes UTF-16 units: there it agrees for ASCII keys only.)
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import cbor2
import mmh3

from pilotage.rollout.exposure import SHARE_TOTAL

HashGeneration = Literal["raw", "cbor"]


def bucket_of(key: str, *, seed: str, generation: HashGeneration) -> int:
    """The bucket of a user, in [0, 2^32).

    Args:
        key: what the bucketing attribute holds for the user.
        seed: put before the key.
        generation: of the evaluators that the applications use.
    """
    text = seed + key
    hashed = cbor2.dumps(text, canonical=True) if generation == "cbor" else text.encode()
    return mmh3.hash(hashed, signed=False)


def part_of(bucket: int) -> int:
    """The part of SHARE_TOTAL that a bucket falls into: a share admits it if it is greater than that."""
    return (bucket * SHARE_TOTAL) >> 32


def hash_order(keys: Iterable[str], *, seed: str, generation: HashGeneration) -> tuple[str, ...]:
    """The distinct keys in the order in which a growing share admits them (by key where buckets are equal)."""
    buckets = {key: bucket_of(key, seed=seed, generation=generation) for key in keys}
    return tuple(sorted(buckets, key=lambda key: (buckets[key], key)))


def share_covering(keys: Iterable[str], count: int, *, seed: str, generation: HashGeneration) -> int:
    """The smallest share, in parts per billion, that admits exactly `count` of the known users.

    It grows with `count`. Where two users fall into the same part and only one of them fits (a matter of one in a
    million among a thousand users), it stays below the pair: rather a user too few than one too many. Where fewer users
    than `count` are known, it admits all of them.

    Args:
        keys: the known users who may come in by share: who meet the criteria, are not denied and not in by name.
        count: how many of them the share shall admit.
        seed: put before the key.
        generation: of the evaluators that the applications use.
    """
    return _boundary(sorted(part_of(bucket_of(key, seed=seed, generation=generation)) for key in set(keys)), count)


def share_covering_last(keys: Iterable[str], count: int, *, seed: str, generation: HashGeneration) -> int:
    """The smallest share from the end that holds exactly `count` of the known users; see `share_covering`.

    Args:
        keys: the known users who may be in it.
        count: how many of them it shall hold.
        seed: put before the key.
        generation: of the evaluators that the applications use.
    """
    parts = (part_of(bucket_of(key, seed=seed, generation=generation)) for key in set(keys))
    return _boundary(sorted(SHARE_TOTAL - 1 - part for part in parts), count)


def _boundary(parts: Sequence[int], count: int) -> int:
    """The least share above the parts (sorted) of `count` users and of no more."""
    count = min(count, len(parts))
    if count <= 0:
        return 0
    share = parts[count - 1] + 1
    return share if count == len(parts) or parts[count] >= share else parts[count - 1]
