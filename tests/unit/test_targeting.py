"""Exposures as flag definitions, evaluated by flagd's own evaluator."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.delivery.probes import context_of, probes_for
from pilotage.delivery.targeting import definition_of, is_taken_back, lost_by, shortfall
from pilotage.rollout.audience import AudienceError, matches
from pilotage.rollout.bucketing import bucket_of, hash_order, part_of, share_covering
from pilotage.rollout.exposure import SHARE_TOTAL, Exposure, Grant
from pilotage.rollout.flagd import DefinitionError, Evaluator, revision_of

USERS = [f"user-{number:04}" for number in range(2000)]
BASE = Exposure(flag="checkout", treatment="on", control="off", kind="off", seed="7f3a:", revision=4)


def percent(share: float, **changes: Any) -> Exposure:
    return replace(BASE, kind="percent", share=int(share * SHARE_TOTAL), **changes)


def admitted(want: Exposure, users: list[str] = USERS, **attributes: Any) -> set[str]:
    evaluator = Evaluator(definition_of(want))
    served = {user: evaluator.variant({**attributes, **context_of(user, want.bucket_by)}) for user in users}
    assert set(served.values()) <= {"on", "off"}
    return {user for user, variant in served.items() if variant == "on"}


def test_off_takes_it_from_everybody_and_keeps_the_flag_enabled_with_a_rule() -> None:
    want = replace(BASE, enrolled=("user-0001",), share=SHARE_TOTAL)
    definition = definition_of(want)
    assert definition["state"] == "ENABLED"
    assert definition["defaultVariant"] == "off"
    assert definition["targeting"] == {"if": [True, "off", "off"]}
    assert admitted(want) == set()


def test_full_gives_it_to_everybody_but_the_denied() -> None:
    want = replace(BASE, kind="full", deny=("user-0003",))
    assert admitted(want) == set(USERS) - {"user-0003"}


def test_full_gives_it_to_a_user_without_a_key_whom_a_percentage_leaves_out() -> None:
    for want, variant in (
        (replace(BASE, kind="full"), "on"),
        (replace(BASE, kind="full", deny=("null",), bucket_by="account.id"), "on"),
        (percent(0.999999999, enrolled=("null", "None", ""), bucket_by="account.id"), "off"),
        (percent(1, criteria=("device == 'mobile'",)), "off"),
    ):
        evaluator = Evaluator(definition_of(want))
        nobody: list[dict[str, Any]] = [{}, {"targetingKey": ""}, {"account": {}}, {"account": {"id": None}}]
        for context in (*nobody, {"account": {"id": ""}}):
            assert evaluator.variant({"device": "mobile", **context}) == variant


def test_the_denied_are_out_even_if_they_are_enrolled() -> None:
    want = percent(1, deny=("user-0001",), enrolled=("user-0001", "user-0002"))
    assert admitted(want) == set(USERS) - {"user-0001"}


def test_the_enrolled_are_in_though_they_do_not_meet_the_criteria() -> None:
    want = percent(1, enrolled=("user-0001",), criteria=("orders > 10",))
    assert admitted(want, orders=3) == {"user-0001"}
    assert admitted(want, orders=11) == set(USERS)


def test_a_user_of_any_named_cohort_may_come_in() -> None:
    want = percent(1, criteria=("orders > 10", "device == 'mobile'"))
    assert admitted(want, device="mobile") == set(USERS)
    assert admitted(want, device="desktop", orders=10) == set()


def test_a_share_admits_the_users_whom_bucketing_computes() -> None:
    want = percent(0.3)
    boundary = 0.3 * 2**32
    assert admitted(want) == {user for user in USERS if bucket_of(user, seed="7f3a:", generation="cbor") < boundary}


GRANTS = st.builds(
    Grant,
    st.sampled_from([0, SHARE_TOTAL // 10, SHARE_TOTAL // 3, SHARE_TOTAL]) | st.integers(0, SHARE_TOTAL),
    st.sampled_from([(), ("orders > 10",), ("device == 'mobile'",), ("orders > 20", "device == 'desktop'")]),
)


@settings(max_examples=60, deadline=None)
@given(
    grant=GRANTS,
    kept=st.lists(GRANTS, max_size=3),
    orders=st.sampled_from([None, 5, 15, 25]),
    device=st.sampled_from([None, "mobile", "desktop"]),
)
def test_a_user_is_in_by_the_share_or_by_any_that_earlier_steps_granted(
    grant: Grant, kept: list[Grant], orders: int | None, device: str | None
) -> None:
    want = replace(BASE, kind="percent", share=grant.share, criteria=grant.criteria, kept=tuple(kept))
    attributes = {"orders": orders, "device": device}
    met = [each.share for each in (grant, *kept) if matches(each.criteria, attributes)]
    parts = {user: part_of(bucket_of(user, seed="7f3a:", generation="cbor")) for user in USERS[:200]}
    expected = {user for user, part in parts.items() if part < max(met, default=0)}
    assert admitted(want, USERS[:200], **attributes) == expected


def test_a_numeric_attribute_can_be_bucketed_and_listed() -> None:
    want = percent(0.5, bucket_by="account", enrolled=("17", "18"), deny=("20",))
    evaluator = Evaluator(definition_of(want))
    for number in range(200):
        assert evaluator.variant({"account": number or 1}) == evaluator.variant({"account": str(number or 1)})
    assert [evaluator.variant({"account": number}) for number in (17, 18, 20)] == ["on", "on", "off"]


@pytest.mark.parametrize("count", [0, 1, 10, 20, 35, 50, 100, 500, 1999, 2000, 5000])
def test_a_share_covers_exactly_the_number_of_users(count: int) -> None:
    share = share_covering(USERS, count, seed="7f3a:", generation="cbor")
    inside = admitted(replace(BASE, kind="percent", share=share))
    assert len(inside) == min(count, len(USERS))
    assert inside == set(hash_order(USERS, seed="7f3a:", generation="cbor")[:count])


def test_a_share_covers_the_number_besides_those_who_are_in_by_name() -> None:
    enrolled = tuple(USERS[:40])
    share = share_covering(USERS[40:], 60, seed="7f3a:", generation="cbor")
    inside = admitted(replace(BASE, kind="percent", share=share, enrolled=enrolled))
    assert len(inside) == 100
    assert inside.issuperset(enrolled)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.text(max_size=12),
    users=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=60, unique=True),
    lists=st.lists(st.integers(0, 60), max_size=4).map(sorted),
    counts=st.lists(st.integers(0, 60), max_size=4).map(sorted),
    shares=st.lists(st.integers(0, SHARE_TOTAL), max_size=4).map(sorted),
    deny=st.integers(0, 3),
)
def test_growing_by_lists_then_counts_then_shares_then_full_drops_nobody(  # noqa: PLR0917 - hypothesis names them
    seed: str, users: list[str], lists: list[int], counts: list[int], shares: list[int], deny: int
) -> None:
    """Nobody drops out, and by lists and counts no more users are in than the plan says."""
    base = replace(BASE, seed=seed, deny=tuple(users[:deny]))
    eligible = users[deny:]
    order = hash_order(eligible, seed=seed, generation="cbor")
    before: set[str] = set()
    enrolled: tuple[str, ...] = ()
    share = 0
    for count in lists:
        enrolled = order[:count]
        now = admitted(replace(base, kind="users", enrolled=enrolled), users)
        assert now >= before
        assert len(now) == min(count, len(eligible))
        before = now
    for count in counts:
        rest = set(eligible).difference(enrolled)
        share = max(share, share_covering(rest, count - len(enrolled), seed=seed, generation="cbor"))
        now = admitted(replace(base, kind="percent", enrolled=enrolled, share=share), users)
        assert now >= before
        assert len(now) == min(max(count, len(enrolled)), len(eligible))
        before = now
    for wanted in shares:
        share = max(share, wanted)
        now = admitted(replace(base, kind="percent", enrolled=enrolled, share=share), users)
        assert now >= before
        before = now
    assert admitted(replace(base, kind="full"), users) == set(eligible) >= before


def test_a_definition_says_its_revision_also_after_a_way_through_json_numbers() -> None:
    definition = definition_of(BASE)
    assert revision_of(definition) == 4
    assert revision_of(json.loads(json.dumps(definition).replace(": 4", ": 4.0"))) == 4
    assert revision_of(None) is None
    assert revision_of({"variants": {}}) is None
    assert revision_of({"metadata": {"owner": "me"}}) is None


def test_a_definition_leaves_out_what_is_empty() -> None:
    text = json.dumps(definition_of(percent(0.1)))
    assert '"in"' not in text
    assert '"and"' not in text
    text = json.dumps(definition_of(replace(BASE, kind="users", enrolled=("a",))))
    assert "fractional" not in text


def test_criteria_that_cannot_be_read_make_no_definition() -> None:
    with pytest.raises(AudienceError, match="at character 8"):
        definition_of(percent(0.1, criteria=("orders ~ 10",)))


def test_a_definition_that_evaluators_refuse_is_not_written() -> None:
    with pytest.raises(DefinitionError):
        Evaluator({"state": "ON", "variants": {"on": True}})
    with pytest.raises(DefinitionError, match="can't evaluate"):
        definition_of(replace(BASE, kind="percent", share=1, control=""))


GROWTH = [
    replace(BASE, kind="users", enrolled=("user-0001",)),
    replace(BASE, kind="users", enrolled=("user-0001", "user-0002")),
    percent(0.1, enrolled=("user-0001", "user-0002"), criteria=("orders > 10",)),
    percent(0.3, enrolled=("user-0001", "user-0002"), criteria=("orders > 10", "plan.tier in ['gold', 'silver']")),
    percent(0.3, enrolled=("user-0001", "user-0002")),
    replace(BASE, kind="full"),
]


def lost(old: Exposure, new: Exposure) -> tuple[Any, ...]:
    before, after = definition_of(old), definition_of(new)
    return lost_by(before, after, probes_for(new, before, after))


def test_growth_loses_nobody_among_the_probes() -> None:
    for old, new in pairwise(GROWTH):
        assert lost(old, new) == ()
    assert lost(BASE, GROWTH[0]) == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(GROWTH[1], GROWTH[0], id="an enrolled user goes"),
        pytest.param(percent(0.3), percent(0.28), id="the share shrinks"),
        pytest.param(percent(0.3), percent(0.3, seed="other:"), id="another seed"),
        pytest.param(percent(0.3), percent(0.4, bucket_by="email"), id="another attribute"),
        pytest.param(percent(0.3), percent(0.3, criteria=("orders > 10",)), id="criteria come in"),
        pytest.param(
            percent(0.3, criteria=("orders > 10",)), percent(0.5, criteria=("orders > 11",)), id="the bound moves"
        ),
        pytest.param(
            percent(0.3, criteria=("beta == true", "country in ['de', 'at']")),
            percent(0.3, criteria=("beta == true", "country in ['de']")),
            id="a country goes",
        ),
        pytest.param(
            percent(0.2, criteria=("plan == 'gold' and visits >= 1.5",)),
            percent(0.2, criteria=("plan == 'gold' and visits > 1.5",)),
            id="a bound is closed",
        ),
        pytest.param(replace(BASE, kind="full"), percent(0.999), id="full ends"),
        pytest.param(percent(0.3), BASE, id="off"),
    ],
)
def test_probes_find_a_shrink(old: Exposure, new: Exposure) -> None:
    assert lost(old, new)


def test_our_off_of_a_later_revision_is_a_way_back_and_nothing_else_is() -> None:
    want = percent(0.3, lease_until=1893456000, fallback=BASE)
    later = replace(BASE, revision=want.revision + 1)
    assert is_taken_back(definition_of(later), want)
    assert is_taken_back(json.loads(json.dumps(definition_of(later)).replace(": 5,", ": 5.0,")), want)
    assert not is_taken_back(definition_of(BASE), want)
    assert not is_taken_back(definition_of(replace(BASE, revision=want.revision - 1)), want)
    assert not is_taken_back(definition_of(percent(0.1, revision=want.revision + 1)), want)
    assert not is_taken_back({**definition_of(later), "state": "DISABLED"}, want)
    assert not is_taken_back(None, want)


def test_to_deny_somebody_is_no_shrink() -> None:
    assert lost(GROWTH[1], replace(GROWTH[1], deny=("user-0001",))) == ()


def test_a_broken_definition_in_force_keeps_nobody_from_growing() -> None:
    broken, new = {"state": "?"}, definition_of(GROWTH[0])
    assert lost_by(broken, new, probes_for(GROWTH[0], broken, new)) == ()


def test_what_is_served_falls_short_in_one_sentence() -> None:
    want = percent(0.3, enrolled=("user-0001",))
    assert shortfall(definition_of(want), want, USERS[:50]) == ""
    assert "is not served yet" in shortfall(None, want, ())
    assert "not Pilotage's" in shortfall({"state": "ENABLED", "variants": {"on": True}}, want, ())
    assert "at revision 3, not 4" in shortfall(definition_of(replace(want, revision=3)), want, ())
    assert "evaluators refuse" in shortfall({**definition_of(want), "state": "ON"}, want, ())
    altered = {**definition_of(want), "targeting": definition_of(BASE)["targeting"]}
    assert "of 51 probed users get another variant" in shortfall(altered, want, USERS[:50])
