"""What must be true of the judge for any data: missing data decides nothing, and time has one direction."""

from datetime import UTC, datetime, timedelta
from functools import cache
from math import ceil, inf, nan

from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.evidence import Answered, Series
from pilotage.judging.threshold import ThresholdRule
from pilotage.resources.rollout import PilotRolloutSpec
from tests.builders import judge, read_rules

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
STEP = 15
BAD, GOOD = 0.5, 0.001

steps = st.integers(1, 20)
places = st.sampled_from([BAD, GOOD, None, nan, inf])
tracks = st.lists(places, min_size=1, max_size=30)
whole_tracks = st.lists(st.sampled_from([BAD, GOOD]), min_size=22, max_size=30)


def must_not_apply(count: int) -> ThresholdRule:
    return _rule("rollback", f"x > 1% for {count * STEP}s")


def must_hold(count: int) -> ThresholdRule:
    return _rule("go", f"x <= 1% for {count * STEP}s")


@cache
def _rule(role: str, criterion: str) -> ThresholdRule:
    said = {
        "feature": {"flag": "f"},
        "indicators": [{"name": "x", "query": "x", "unit": "ratio"}],
        "steps": [{"name": "one", "users": 1}],
        role: [criterion],
    }
    return read_rules(PilotRolloutSpec.model_validate(said), {}, namespace="shop", name="f")[0]


def series(values: list[float | None], end: datetime = NOW) -> Series:
    last = end.timestamp()
    found = [(last - (len(values) - 1 - i) * STEP, value) for i, value in enumerate(values) if value is not None]
    return Series(tuple(at for at, _ in found), tuple(value for _, value in found))


def verdict(rule: ThresholdRule, values: list[float | None], now: datetime = NOW) -> str:
    return judge(rule, Answered((("on", series(values)),)), now).verdict


@given(whole_tracks, steps)
def test_with_all_data_breach_and_pass_are_what_their_words_say(values: list[float | None], count: int) -> None:
    last = values[-count:]
    assert (verdict(must_not_apply(count), values) == "breach") == all(value == BAD for value in last)
    assert (verdict(must_hold(count), values) == "pass") == all(value == GOOD for value in last)


@given(tracks, steps)
def test_fewer_than_four_fifths_of_the_steps_decide_nothing(values: list[float | None], count: int) -> None:
    usable = [value if value in (BAD, GOOD) else None for value in values]
    while usable and usable[-1] is None:
        usable.pop()  # counted from the newest step with data
    present = sum(value is not None for value in usable[-count:])
    if present < ceil(0.8 * count - 1e-9):
        assert verdict(must_not_apply(count), values) != "breach"
        assert verdict(must_hold(count), values) != "pass"


@given(tracks, steps)
def test_one_other_value_within_the_time_is_enough_to_wait(values: list[float | None], count: int) -> None:
    if BAD in values[-count:]:
        assert verdict(must_hold(count), values) != "pass"
    if GOOD in values[-count:]:
        assert verdict(must_not_apply(count), values) != "breach"


@given(st.lists(st.sampled_from([nan, inf, -inf, None]), max_size=30), steps)
def test_what_is_no_number_decides_nothing(values: list[float | None], count: int) -> None:
    assert verdict(must_not_apply(count), values) == "no-data"
    assert verdict(must_hold(count), values) == "no-data"


@given(tracks, steps, st.integers(2 * STEP + 15 + 1, 10_000))
def test_old_data_decide_nothing(values: list[float | None], count: int, age: int) -> None:
    later = NOW + timedelta(seconds=age)
    assert verdict(must_not_apply(count), values, later) == "no-data"
    assert verdict(must_hold(count), values, later) == "no-data"


@given(tracks, whole_tracks, steps)
def test_control_never_changes_what_is_said_of_treatment(
    values: list[float | None], control: list[float | None], count: int
) -> None:
    treatment = series(values)
    if not treatment.times:
        return
    alone, beside = Answered((("on", treatment),)), Answered((("off", series(control)), ("on", treatment)))
    for rule in (must_not_apply(count), must_hold(count)):
        assert judge(rule, alone, NOW) == judge(rule, beside, NOW)


@given(steps, st.integers(1, 10))
def test_a_fault_that_lasts_is_pending_until_the_announced_moment_and_a_breach_from_then_on(
    count: int, healthy: int
) -> None:
    rule = must_not_apply(count)
    announced: set[datetime | None] = set()
    for lasted in range(1, count + 5):
        values: list[float | None] = [*[GOOD] * healthy, *[BAD] * lasted]
        now = NOW + timedelta(seconds=STEP * lasted)
        finding = judge(rule, Answered((("on", series(values, now)),)), now)
        assert finding.verdict == ("breach" if lasted >= count else "pending")
        assert finding.since == NOW
        if finding.verdict == "pending":
            announced.add(finding.earliest)
    assert announced <= {NOW + timedelta(seconds=STEP * count)}


@given(tracks, steps)
def test_a_verdict_is_borne_out_by_the_newest_value(values: list[float | None], count: int) -> None:
    numbers: list[float | None] = [value for value in values if value in (BAD, GOOD)]
    for rule in (must_not_apply(count), must_hold(count)):
        said = verdict(rule, values)
        if said == "breach":
            assert numbers[-1] == BAD
        if said == "pass":
            assert numbers[-1] == GOOD
