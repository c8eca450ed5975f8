"""Buckets of a histogram become errors over total, or the reason why nobody can tell how many were slow."""

from array import array
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.judging.evidence import PARTIAL, Answer, Answered, Measurement, NoData, Series
from pilotage.metrics.buckets import UNBOUNDED, fold_buckets
from pilotage.metrics.client import Reply, Sampled
from pilotage.metrics.fold import EMPTY, NO_EVENTS
from pilotage.metrics.grouping import fold, parts_of


def bucket(le: str | None, *values: float, variant: str = "on", first: int = 0, **labels: str) -> Sampled:
    if le is not None:
        labels["le"] = le
    if variant:
        labels["variant"] = variant
    return Sampled(labels, array("d", range(first, first + len(values))), array("d", values))


def above(seconds: float | None, *series: Sampled, partial: bool = False) -> Answer:
    return fold_buckets(Reply(series, partial=partial), "variant", above=seconds, start=0)


def test_what_lies_above_the_bound_is_errors_and_all_is_the_weight() -> None:
    found = above(0.5, bucket("0.25", 70, 60), bucket("0.5", 90, 100), bucket("+Inf", 100, 100))
    assert found == Answered((("on", Series((0, 1), (0.1, 0.0), (100, 100))),))


@pytest.mark.parametrize("le", ["0.5", "0.50", "5e-1", "0.5000000000000001"])
def test_a_boundary_is_a_number_however_it_is_written(le: str) -> None:
    assert above(0.5, bucket(le, 90), bucket("+Inf", 100)) == Answered((("on", Series((0,), (0.1,), (100,))),))


def test_variants_are_told_apart_and_none_has_another_ones_buckets() -> None:
    found = above(
        1,
        *(bucket("1", 90), bucket("+Inf", 100), bucket("1", 50, variant="off"), bucket("+Inf", 50, variant="off")),
    )
    expected = (("off", Series((0,), (0.0,), (50,))), ("on", Series((0,), (0.1,), (100,))))
    assert found == Answered(expected)


def test_a_bound_between_two_boundaries_is_no_data_and_names_both() -> None:
    series = [bucket(le, 1) for le in ("0.1", "0.25", "0.5", "+Inf")]
    said = "0.3 is no boundary of the histogram's buckets: take 0.25 or 0.5, or add the bucket"
    assert above(0.3, *series) == NoData(said)
    assert above(2, *series) == NoData("2 is no boundary of the histogram's buckets: take 0.5, or add the bucket")
    assert above(0.05, *series) == NoData("0.05 is no boundary of the histogram's buckets: take 0.1, or add the bucket")
    assert above(1, bucket("+Inf", 1)) == NoData("1 is no boundary of the histogram's buckets: add the bucket")


def test_a_variant_whose_buckets_lack_the_bound_is_not_taken_for_fast() -> None:
    found = above(
        0.5, bucket("0.5", 9), bucket("+Inf", 9), bucket("0.4", 9, variant="off"), bucket("+Inf", 9, variant="off")
    )
    assert isinstance(found, NoData)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([], EMPTY),
        ([bucket("0.5", 0), bucket("+Inf", 0)], NO_EVENTS),
        ([bucket("0.5", 1)], NoData('the buckets lack le="+Inf", which counts all events')),
        (
            [bucket(None, 1)],
            NoData("the answer lacks the label le: aggregate by it too, such as sum by (variant, le) (...)"),
        ),
        (
            [bucket("fast", 1)],
            NoData("the answer lacks the label le: aggregate by it too, such as sum by (variant, le) (...)"),
        ),
        (
            [bucket("0.5", 1, pod="a"), bucket("0.5", 1, pod="b"), bucket("+Inf", 2)],
            NoData("several series for one bucket: aggregate the query, such as sum by (variant, le) (...)"),
        ),
    ],
)
def test_what_is_no_histogram_is_no_data(series: list[Sampled], expected: NoData) -> None:
    assert above(0.5, *series) == expected


def test_a_partial_answer_and_one_without_a_bound_are_no_data() -> None:
    assert above(0.5, bucket("0.5", 1), bucket("+Inf", 1), partial=True) == PARTIAL
    assert above(None, bucket("0.5", 1), bucket("+Inf", 1)) == UNBOUNDED


def test_a_step_that_misses_one_of_the_two_counts_is_left_out() -> None:
    found = above(0.5, bucket("0.5", 9, 9, first=1), bucket("+Inf", 10, 10, 10, nan))
    assert found == Answered((("on", Series((1, 2), (0.1, 0.1), (10, 10))),))


def test_buckets_that_shrink_by_a_hair_are_no_negative_errors() -> None:
    assert above(0.5, bucket("0.5", 10.2), bucket("+Inf", 10)) == Answered((("on", Series((0,), (0.0,), (10,))),))


def test_the_part_of_a_group_is_folded_like_any_other() -> None:
    measurement = Measurement(buckets="b", above=0.5)
    reply = Reply((bucket("0.5", 9), bucket("+Inf", 10)))
    assert fold(measurement, [parts_of(reply, "")], start=0) == Answered((("on", Series((0,), (0.1,), (10,))),))


counts = st.lists(st.integers(0, 1000), min_size=1, max_size=6)


@given(counts, st.data())
def test_the_share_is_that_of_the_events_themselves(between: list[int], data: st.DataObject) -> None:
    """Events counted one by one between boundaries, and read back from cumulative buckets."""
    boundaries = [float(number) for number in range(1, len(between))] + [inf]
    chosen = data.draw(st.sampled_from(boundaries[:-1] or [inf]))
    cumulative = [sum(between[: place + 1]) for place in range(len(between))]
    series = [bucket(f"{le}".replace("inf", "+Inf"), total) for le, total in zip(boundaries, cumulative, strict=True)]
    found = above(chosen, *series)
    if sum(between) == 0:
        assert found == NO_EVENTS
        return
    slower = sum(count for le, count in zip(boundaries, between, strict=True) if le > chosen)
    assert found == Answered((("on", Series((0,), (slower / sum(between),), (sum(between),))),))
