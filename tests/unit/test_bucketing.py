"""Buckets and shares, compared with flagd's evaluator and with values that its other implementations gave."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core.targeting.custom_ops import fractional

from pilotage.rollout.bucketing import HashGeneration, bucket_of, hash_order, part_of, share_covering
from pilotage.rollout.exposure import SHARE_TOTAL

GENERATIONS: tuple[HashGeneration, ...] = ("raw", "cbor")


def served(key: str, seed: str, share: int) -> bool:
    """What the installed evaluator's `fractional` says."""
    return fractional({}, seed + key, ["on", share], ["off", SHARE_TOTAL - share]) == "on"


@given(key=st.text(max_size=30), seed=st.text(max_size=10))
def test_the_cbor_bucket_is_where_the_installed_evaluator_draws_the_line(key: str, seed: str) -> None:
    part = part_of(bucket_of(key, seed=seed, generation="cbor"))
    assert not served(key, seed, part)
    assert served(key, seed, part + 1)


@pytest.mark.parametrize(
    ("key", "bucket"),
    [("user-1", 3969245802), ("user-2", 1001701470), ("u", 1932520687), ("42", 811682232), ("a b", 2552414090)],
)
def test_the_raw_bucket_is_where_flagd_in_go_and_javascript_drew_the_line(key: str, bucket: int) -> None:
    """Recorded: npm's @openfeature/flagd-core 4.0.1 gave control at `part_of(bucket)` and treatment one above it."""
    assert bucket_of(key, seed="7f3a:", generation="raw") == bucket


def test_the_generations_put_other_users_first() -> None:
    users = [f"user-{number}" for number in range(10_000)]
    first = [set(hash_order(users, seed="s:", generation=generation)[:1000]) for generation in GENERATIONS]
    assert 50 < len(first[0] & first[1]) < 150  # by chance: 100


@pytest.mark.parametrize("generation", GENERATIONS)
def test_the_hash_order_does_not_depend_on_the_order_of_the_keys(generation: HashGeneration) -> None:
    users = [f"user-{number}" for number in range(500)]
    order = hash_order(users, seed="s:", generation=generation)
    shuffled = users + users[:50]
    random.Random(7).shuffle(shuffled)
    assert hash_order(shuffled, seed="s:", generation=generation) == order
    buckets = [bucket_of(key, seed="s:", generation=generation) for key in order]
    assert buckets == sorted(buckets)


@given(
    keys=st.lists(st.text(min_size=1, max_size=12), max_size=50, unique=True),
    counts=st.lists(st.integers(-1, 60), max_size=6).map(sorted),
    generation=st.sampled_from(GENERATIONS),
)
def test_a_share_admits_exactly_the_count_and_grows_with_it(
    keys: list[str], counts: list[int], generation: HashGeneration
) -> None:
    before = 0
    for count in counts:
        share = share_covering(keys, count, seed="s:", generation=generation)
        parts = [part_of(bucket_of(key, seed="s:", generation=generation)) for key in keys]
        assert sum(part < share for part in parts) == max(0, min(count, len(parts)))
        assert before <= share <= SHARE_TOTAL
        before = share


def test_two_users_in_one_part_come_in_together_or_not_at_all() -> None:
    """The boundary can't lie between them: rather a user too few than one too many."""
    pair = _pair_in_one_part()
    lower = [key for key in _USERS if _part(key) < _part(pair[0])]
    keys = [*lower[:3], *pair]
    at = min(3, len(lower))
    assert share_covering(keys, at, seed="", generation="cbor") <= _part(pair[0])
    between = share_covering(keys, at + 1, seed="", generation="cbor")
    assert sum(_part(key) < between for key in keys) == at
    both = share_covering(keys, at + 2, seed="", generation="cbor")
    assert sum(_part(key) < both for key in keys) == at + 2


_USERS = [f"user-{number}" for number in range(60_000)]


def _part(key: str) -> int:
    return part_of(bucket_of(key, seed="", generation="cbor"))


def _pair_in_one_part() -> tuple[str, str]:
    seen: dict[int, str] = {}
    for key in _USERS:
        if (other := seen.setdefault(_part(key), key)) != key:
            return other, key
    raise AssertionError("among 60,000 users there are about two pairs")
