"""One answer for many rollouts, and long ranges in pieces: each reads its own part, and nothing falls between."""

import itertools
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.evidence import Answer, Answered, Group, Measurement, NoData, Question, Series
from pilotage.metrics.chunks import MOST_POINTS, chunks
from pilotage.metrics.client import Reply, Sampled
from pilotage.metrics.grouping import fold, parts_of
from pilotage.metrics.members import Members
from pilotage.metrics.streams import stream_of

QUERY = Measurement(query="q", group=Group("flag", "search"))
RATIO = Measurement(errors="e", total="t", group=Group("flag", "search"))


def series(value: float, **labels: str) -> Sampled:
    return Sampled(labels, array("d", [0]), array("d", [value]))


def reply(*found: Sampled, partial: bool = False) -> Reply:
    return Reply(found, partial=partial)


def answer(measurement: Measurement, *replies: Reply) -> Answer:
    return fold(measurement, [parts_of(each, "flag") for each in replies], start=0)


def valued(value: float, *weights: float) -> Series:
    return Series((0,), (value,), weights)


def test_each_rollout_reads_its_own_part() -> None:
    found = reply(series(1, flag="search", variant="on"), series(2, flag="cart", variant="on"))
    assert answer(QUERY, found) == Answered((("on", valued(1)),))


def test_a_value_is_matched_exactly() -> None:
    found = reply(*(series(1, flag=flag, variant="on") for flag in ("search2", "research", "Search", "s.arch")))
    expected = NoData('Prometheus has no data with flag="search"')
    assert answer(QUERY, found) == expected
    assert answer(QUERY, reply()) == expected
    assert answer(RATIO, reply(series(1, flag="search")), found) == expected


def test_no_errors_in_ones_own_part_are_zero_errors() -> None:
    errors = reply(series(3, flag="cart", variant="on"))
    total = reply(series(9, flag="cart", variant="on"), series(5, flag="search", variant="on"))
    assert answer(RATIO, errors, total) == Answered((("on", valued(0, 5)),))


@pytest.mark.parametrize(
    ("errors", "total"),
    [
        (reply(series(1, variant="on")), reply(series(2, flag="search", variant="on"))),
        (reply(series(1, flag="search", variant="on")), reply(series(2, variant="on"))),
        (reply(series(1, variant="on")), reply(series(2, variant="on"))),
    ],
)
def test_an_answer_without_the_label_is_nobodys_and_no_zero(errors: Reply, total: Reply) -> None:
    assert answer(RATIO, errors, total) == NoData(
        "the answer lacks the label flag: aggregate each query by it, such as sum by (flag, variant) (...)"
    )


def test_traffic_without_the_label_beside_it_is_fine() -> None:
    found = reply(series(1, variant="on"), series(2, flag="search", variant="on"))
    assert answer(QUERY, found) == Answered((("on", valued(2)),))


def test_doubled_series_spoil_their_own_part_alone() -> None:
    doubled = (series(1, flag="cart", variant="on", pod="a"), series(1, flag="cart", variant="on", pod="b"))
    found = reply(*doubled, series(2, flag="search", variant="on"))
    assert answer(QUERY, found) == Answered((("on", valued(2)),))
    cart = Measurement(query="q", group=Group("flag", "cart"))
    message = "several series for the variant on: aggregate the query, such as sum by (flag, variant) (...)"
    assert answer(cart, found) == NoData(message)


def test_a_partial_reply_is_no_data_for_everybody() -> None:
    found = reply(series(1, flag="search"), partial=True)
    assert answer(QUERY, found) == NoData("Prometheus warns that its response is partial")
    assert answer(RATIO, reply(), found) == NoData("Prometheus warns that its response is partial")


@given(st.integers(0, 60_000), st.sampled_from([1.0, 15.0, 0.5, 3600.0]), st.floats(1.7e9, 1.8e9))
def test_pieces_hold_each_step_once_and_none_too_many(steps: int, step: float, start: float) -> None:
    made = list(chunks(start, start + steps * step, step))
    counts = [round((last - first) / step) + 1 for first, last in made]
    assert max(counts) <= MOST_POINTS
    assert sum(counts) == steps + 1
    assert all(later[0] == pytest.approx(earlier[1] + step, abs=1e-3) for earlier, later in itertools.pairwise(made))


def test_those_who_asked_before_are_named_and_whoever_is_new_asks_for_everybody() -> None:
    members = Members()

    def named(value: str, end: float) -> str:
        return members.named(("q",), value, end=end, step=15)

    assert [named("a", 0), named("b", 0)] == ["", ""]
    assert [named("b", 15), named("new", 15), named("a", 15), named("b", 15)] == ["a|b", "", "a|b", "a|b"]
    assert named("new", 30) == "a|b|new"
    assert named("a", 15) == ""  # late, for an end that others have left: what was named then is not kept
    for end in range(45, 120, 15):
        named("a", end)
    assert named("a", 120) == "a"  # nobody else has asked for a minute
    assert members.named(("other",), "a", end=120, step=15) == ""


def test_names_go_into_the_matcher_escaped() -> None:
    members = Members()
    for value in ("b", "a.c"):
        members.named(("q",), value, end=0, step=15)
    names = members.named(("q",), "b", end=15, step=15)
    asked = Question(Measurement(query='x{flag=~"$group"}', group=Group("flag", "b")), 60, 0, 15)
    assert stream_of(asked, 15, names=names).queries == (r'x{flag=~"a\\.c|b"}',)


def test_names_that_are_too_many_for_a_url_give_way_to_everybody() -> None:
    members = Members()
    values = [f"feature-{number}" for number in range(100)]
    for end in (0, 15):
        assert {members.named(("q",), value, end=end, step=15) for value in values} == {""}
