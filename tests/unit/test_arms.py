"""Treatment, control and holdback, as flagd's evaluator serves them while a rollout grows, breaks and tries again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import Any
from unittest.mock import patch

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core.targeting import custom_ops

from pilotage.delivery.targeting import definition_of
from pilotage.judging.inference.likelihood import ENOUGH, GRID
from pilotage.judging.inference.noise import NoiseProfile
from pilotage.judging.inference.sequential import START, ScrapeStep, Settings, advance, verdict_of
from pilotage.resources.status import ExposureStatus
from pilotage.rollout.admission import User
from pilotage.rollout.arms import control_beside, parts_of_percent, slots_of
from pilotage.rollout.bucketing import HashGeneration, bucket_of, part_of
from pilotage.rollout.decide import exposure_of
from pilotage.rollout.exposure import SHARE_TOTAL, Exposure
from pilotage.rollout.flagd import Evaluator
from tests.builders import make_rollout
from tests.pilot import USERS, Pilot

BASE = Exposure("checkout", "on", "off", "percent", seed="7f3a:", revision=1)
KEYS = [f"user-{number:04}" for number in range(2000)]
GENERATIONS: tuple[HashGeneration, ...] = ("raw", "cbor")


class Raw:
    """What evaluators of the generation `raw` hash: the string itself."""

    @staticmethod
    def dumps(value: str, *, canonical: bool) -> bytes:
        assert canonical
        return value.encode()


@contextmanager
def evaluating(generation: HashGeneration) -> Iterator[None]:
    """The installed evaluator, which is of the generation `cbor`, or the same with the hashing of the other one."""
    with patch.object(custom_ops, "cbor2", cbor2 if generation == "cbor" else Raw):
        yield


def served(want: Exposure, users: Mapping[str, Mapping[str, Any]], generation: HashGeneration) -> dict[str, str | None]:
    """Each user's variant."""
    with evaluating(generation):
        evaluator = Evaluator(definition_of(want))
        return {key: evaluator.variant({"targetingKey": key, **attributes}) for key, attributes in users.items()}


def arms(pilot: Pilot) -> dict[str, str | None]:
    """The variant of each user of the directory, as decided."""
    want = exposure_of(pilot.rollout, pilot.rollout.status)
    if want is None:
        return {}
    known = {user.key: user.attributes for user in USERS}
    return served(want, known, pilot.rollout.spec.delivery.flags.hash_generation)


def having(variants: Mapping[str, str | None], variant: str) -> set[str]:
    return {key for key, got in variants.items() if got == variant}


def test_treatment_grows_from_the_front_and_control_from_the_end() -> None:
    assert [(slot.variant, slot.weight) for slot in slots(10, control=10, held_back=2)] == [
        ("on", 10),
        ("rest", SHARE_TOTAL - 20),
        ("off", 8),
        ("off", 2),
    ]


def test_without_an_arm_of_its_own_all_others_are_control_and_the_holdback_is_the_last_of_them() -> None:
    found = slots_of(10, control=0, held_back=2, treatment="on", compared="off", others="off")
    assert [(slot.variant, slot.weight) for slot in found] == [("on", 10), ("off", SHARE_TOTAL - 12), ("off", 2)]


def slots(share: int, *, control: int, held_back: int) -> Any:
    return slots_of(share, control=control, held_back=held_back, treatment="on", compared="off", others="rest")


@given(
    shares=st.lists(st.integers(0, SHARE_TOTAL), max_size=8).map(sorted),
    held_back=st.integers(0, SHARE_TOTAL // 2),
)
def test_slots_fill_the_order_and_nobody_leaves_an_arm_but_for_treatment(shares: list[int], held_back: int) -> None:
    before = 0
    for asked in shares:
        share = min(asked, SHARE_TOTAL - held_back)
        control = control_beside(share, wanted=share, before=before, held_back=held_back)
        assert sum(slot.weight for slot in slots(share, control=control, held_back=held_back)) == SHARE_TOTAL
        assert all(slot.weight > 0 for slot in slots(share, control=control, held_back=held_back))
        assert held_back <= control <= SHARE_TOTAL - share
        assert control >= min(before, SHARE_TOTAL - share), "who was control stays, or is treatment now"
        before = control


@pytest.mark.parametrize(
    ("text", "parts"), [("2%", 20_000_000), ("0.5%", 5_000_000), ("12.345678%", 123_456_780), ("50%", 500_000_000)]
)
def test_a_percent_is_read_in_parts_per_billion(text: str, parts: int) -> None:
    assert parts_of_percent(text) == parts


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("rest", ["", "rest"])
def test_evaluators_serve_the_slots_that_are_computed(generation: HashGeneration, rest: str) -> None:
    share, control, held_back = SHARE_TOTAL // 5, SHARE_TOTAL // 4, SHARE_TOTAL // 50
    want = replace(BASE, share=share, held_back=held_back, rest=rest, control_share=control if rest else 0)
    found = served(want, {key: {} for key in KEYS}, generation)
    for key, variant in found.items():
        part = part_of(bucket_of(key, seed="7f3a:", generation=generation))
        between = rest if rest and part < SHARE_TOTAL - control else "off"
        assert variant == ("on" if part < share else between)


def test_full_with_a_holdback_leaves_out_the_holdback_alone() -> None:
    want = replace(BASE, kind="full", held_back=SHARE_TOTAL // 50, enrolled=(), deny=("user-0003",))
    found = served(want, {key: {} for key in KEYS}, "cbor")
    last = {k for k in KEYS if part_of(bucket_of(k, seed="7f3a:", generation="cbor")) >= SHARE_TOTAL * 49 // 50}
    assert 20 < len(last) < 65
    assert having(found, "off") == last | {"user-0003"}
    evaluator = Evaluator(definition_of(want))
    assert evaluator.variant({}) == "on", "who has no key can't be held back"


def test_who_is_included_by_name_is_in_though_the_hash_would_hold_them_back() -> None:
    last = max(KEYS, key=lambda key: bucket_of(key, seed="7f3a:", generation="cbor"))
    want = replace(BASE, kind="full", held_back=SHARE_TOTAL // 50)
    assert served(want, {last: {}}, "cbor") == {last: "off"}
    assert served(replace(want, enrolled=(last,)), {last: {}}, "cbor") == {last: "on"}


def test_the_denied_and_who_has_no_key_are_in_no_arm() -> None:
    want = replace(BASE, share=SHARE_TOTAL // 2, rest="rest", control_share=SHARE_TOTAL // 2, deny=("user-0001",))
    evaluator = Evaluator(definition_of(want))
    assert evaluator.variant({"targetingKey": "user-0001"}) == "rest"
    assert evaluator.variant({}) == "rest"
    assert definition_of(replace(want, kind="off"))["targeting"] == {"if": [True, "rest", "rest"]}


def growing(control: str, generation: HashGeneration, **spec: Any) -> Pilot:
    """Names, shares of a cohort, then of everybody; four of the 200 users are named, about ten held back."""
    audience = {
        "directory": {"configMap": "users"},
        "cohorts": [{"name": "buyers", "criteria": "orders > 4"}],
        "include": ["user-7"],
        "exclude": ["user-11", "user-13"],
        "holdback": "5%",
        "control": control,
    }
    steps = [
        {"name": "few", "users": 10, "cohorts": ["buyers"], "hold": "1m"},
        {"name": "some", "users": 20, "cohorts": ["buyers"], "hold": "1m"},
        {"name": "more", "users": 40, "hold": "1m"},
        {"name": "third", "percent": 33, "hold": "1m"},
        {"name": "half", "percent": "47.5", "hold": "1m"},
        {"name": "most", "percent": 80, "hold": "1m"},
        {"name": "all", "percent": 100, "hold": "1m"},
    ]
    delivery = {"flags": {"hashGeneration": generation}}
    rules = {"rollback": ["errors > 3%"], "throttle": ["errors > 4% for 20s"], "onRollback": {"to": "previous"}}
    said = {"audience": audience, "delivery": delivery, "steps": steps, **rules, **spec}
    return Pilot(make_rollout().indicator("errors").with_spec(**said))


def held_back(pilot: Pilot, parts: int = SHARE_TOTAL // 20) -> set[str]:
    """The holdback, told apart from the code that plans it."""
    cohort = pilot.rollout.status.cohort
    assert cohort
    found = {
        user.key
        for user in USERS
        if part_of(bucket_of(user.key, seed=cohort.seed, generation=cohort.hash_generation)) >= SHARE_TOTAL - parts
    }
    return found - {"user-7", "user-11", "user-13"}


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("control", ["rest", "equal"])
def test_a_whole_rollout_keeps_its_holdback_and_its_arms(control: str, generation: HashGeneration) -> None:
    pilot = growing(control, generation)
    before: dict[str, str | None] = {}
    sizes = []
    for _ in pilot.rollout.spec.steps:
        pilot.settle(after=61)
        now = arms(pilot)
        assert held_back(pilot)
        assert not held_back(pilot) & having(now, "on"), f"held back in step {pilot.step}"
        if pilot.step in ("third", "half", "most", "all"):  # before, some of them are in no cohort that is compared
            assert held_back(pilot) <= having(now, "off"), f"held back in step {pilot.step}"
        assert having(before, "on") <= having(now, "on")
        assert having(before, "off") <= having(now, "off") | having(now, "on"), "nobody leaves an arm for none"
        assert pilot.admitted == len(having(now, "on"))
        sizes.append((pilot.step, len(having(now, "on")), len(having(now, "off"))))
        half = {"few", "some", "more", "third", "half"}
        if control == "equal" and pilot.step in half:
            assert not having(before, "off") & having(now, "on"), "nobody is moved from control to treatment"
            assert len(having(now, "on")) == len(having(now, "off")), sizes
        before = now
    assert pilot.settle(after=61).phase == "Completed"
    assert having(arms(pilot), "off") - {"user-11", "user-13"} == held_back(pilot)
    assert len(having(arms(pilot), "on")) == 198 - len(held_back(pilot))


MOMENTS = st.lists(
    st.tuples(
        st.sampled_from([1, 30, 61, 3600]),
        st.sampled_from(["pass", "pass", "pass", "pass", "breach"]),
        st.sampled_from(["pass", "pass", "pass", "pass", "breach"]),
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(moments=MOMENTS, control=st.sampled_from(["rest", "equal"]), generation=st.sampled_from(GENERATIONS))
def test_whatever_happens_the_holdback_never_gets_the_feature_and_growing_exchanges_nobody(
    moments: list[tuple[int, Any, Any]], control: str, generation: HashGeneration
) -> None:
    pilot = growing(control, generation)
    pilot.decide()
    before, shown = arms(pilot), pilot.rollout.status.exposure
    for after, rollback, throttle in moments:
        sequence = pilot.rollout.status.history[-1].sequence
        pilot.decide(after=after, rollback=rollback, throttle=throttle)
        if pilot.rollout.status.exposure == shown:
            continue
        now, shown = arms(pilot), pilot.rollout.status.exposure
        assert not having(now, "on") & held_back(pilot)
        back = {entry.action for entry in pilot.rollout.status.history if entry.sequence > sequence}
        if not back & {"RollBack", "Throttle"} and having(before, "on"):
            assert having(before, "on") <= having(now, "on")
            assert having(before, "off") <= having(now, "off") | having(now, "on")
        before = now


def test_a_second_attempt_has_the_same_people_in_the_same_arms() -> None:
    pilot = growing("equal", "cbor", onRollback={"to": "zero", "retry": {"after": "1m", "limit": 1}})
    pilot.settle().settle(after=61).settle(after=61)
    first = arms(pilot)
    pilot.decide(after=1, rollback="breach").settle(after=1)
    assert having(arms(pilot), "rest") == {user.key for user in USERS}, "taken back, nobody is in an arm"
    pilot.decide(after=1, rollback="pass").settle(after=120).settle(after=1)
    again = []
    for _ in range(3):
        again.append((having(arms(pilot), "on"), having(arms(pilot), "off")))
        pilot.settle(after=61)
    assert pilot.rollout.status.retries == 1
    assert again[-1] == (having(first, "on"), having(first, "off"))


def test_only_a_step_that_begins_takes_a_lower_holdback() -> None:
    pilot = growing("rest", "cbor")
    for _ in pilot.rollout.spec.steps:
        pilot.settle(after=61)
    held = held_back(pilot)
    audience = pilot.rollout.spec.audience.to_wire() | {"holdback": "1%"}
    pilot.edit(audience=audience).settle(after=61)
    assert having(arms(pilot), "off") - {"user-11", "user-13"} == held
    steps = [step.to_wire() for step in pilot.rollout.spec.steps]
    pilot.edit(steps=[*steps, {"name": "really-all", "percent": 100, "hold": "1m"}]).settle(after=61).settle(after=61)
    assert pilot.step == "really-all"
    assert having(arms(pilot), "off") - {"user-11", "user-13"} == held_back(pilot, SHARE_TOTAL // 100)


def test_by_population_arms_are_shares_of_one_size() -> None:
    audience = {"population": {"users": 100_000}, "holdback": "2%", "control": "equal"}
    steps = [
        {"name": "few", "users": 1000, "hold": "1m"},
        {"name": "half", "percent": 50, "hold": "1m"},
        {"name": "all", "percent": 100, "hold": "1m"},
    ]
    pilot = Pilot(make_rollout().with_spec(audience=audience, steps=steps))
    pilot.users = None
    shown: list[ExposureStatus] = []
    for _ in steps:
        pilot.settle(after=61)
        assert pilot.rollout.status.exposure
        shown.append(pilot.rollout.status.exposure)
    assert [(each.share // 1000, each.control // 1000, each.users) for each in shown] == [
        (10_000, 20_000, 1000),  # no smaller than the holdback
        (500_000, 500_000, 50_000),
        (980_000, 20_000, 98_000),
    ]


def test_a_step_that_wants_users_of_the_holdback_says_so() -> None:
    pilot = growing("rest", "cbor", steps=[{"name": "too-many", "users": 198}])
    pilot.decide()
    assert pilot.phase == "Pending"
    assert "only" in pilot.rollout.status.message
    assert "more are held back" in pilot.rollout.status.message
    pilot = Pilot(
        make_rollout().with_spec(
            audience={"population": {"users": 100}, "holdback": "2%"}, steps=[{"name": "too-many", "users": 99}]
        )
    )
    pilot.users = None
    pilot.decide()
    assert "of which 2.0000% are held back" in pilot.rollout.status.message


def test_status_says_who_is_compared() -> None:
    pilot = growing("equal", "cbor")
    pilot.settle()
    exposure = pilot.rollout.status.exposure
    assert exposure
    assert (exposure.users, exposure.control_users) == (10, 10)
    for _ in pilot.rollout.spec.steps[1:]:
        pilot.settle(after=61)
    assert pilot.rollout.status.history[-1].admitted == "everybody but 5% held back"
    assert pilot.rollout.status.summary
    assert pilot.rollout.status.summary.percent == "94.95%"


def test_a_known_user_of_another_cohort_is_compared_with_nobody() -> None:
    pilot = growing("equal", "cbor")
    pilot.settle()
    others = {user.key for user in USERS if int(user.attributes["orders"]) <= 4} - {"user-7"}
    assert others <= having(arms(pilot), "rest") | held_back(pilot)
    assert isinstance(USERS[0], User)


@pytest.mark.parametrize("seed", range(5))
def test_a_holdback_tells_a_shared_incident_from_a_fault_when_everybody_else_has_the_feature(seed: int) -> None:
    calm = NoiseProfile(0.001, (ENOUGH,) * len(GRID), 72, learned=True, note="")
    limit = Settings(objective_ratio=0.01)

    def outcomes(*, shared: bool) -> set[str]:
        """The verdicts on 1,000 requests a scrape, 20 of them held back; 5 % fail from the 40th scrape on."""
        chance, found, state = Random(seed), set[str](), START
        for at in range(100):
            bad = 0.05 if at >= 40 else 0.001
            errors = sum(chance.random() < bad for _ in range(980))
            held = sum(chance.random() < (bad if shared else 0.001) for _ in range(20))
            state = advance(limit, calm, [ScrapeStep(980, errors, 20, held)], state)
            found.add(verdict_of(limit, calm, state).outcome)
        return found

    assert "rollback" not in outcomes(shared=True)
    assert "rollback" in outcomes(shared=False)
