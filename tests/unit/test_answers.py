"""How replies become answers: errors and total asked apart, variants told apart, what can't be judged left out."""

from array import array
from math import inf, nan

import pytest

from pilotage.judging.evidence import PARTIAL, Answered, NoData, Series
from pilotage.metrics.client import Reply, Sampled
from pilotage.metrics.fold import EMPTY, NO_EVENTS, NOT_A_NUMBER, fold_query, fold_ratio


def reply(*partial: bool, **by_variant: list[float]) -> Reply:
    """Samples at 0, 1, 2, ...; the keyword `none` is a series without the label."""
    series = (
        Sampled({} if variant == "none" else {"variant": variant}, array("d", range(len(values))), array("d", values))
        for variant, values in by_variant.items()
    )
    return Reply(tuple(series), partial=any(partial))


def ratio(errors: Reply, total: Reply) -> object:
    return fold_ratio(errors, total, "variant", start=0)


def test_no_errors_with_a_total_are_zero_errors() -> None:
    assert ratio(reply(), reply(on=[10, 20])) == Answered((("on", Series((0, 1), (0, 0), (10, 20))),))


def test_steps_without_events_are_left_out() -> None:
    assert ratio(reply(on=[0, 1, 0]), reply(on=[0, 4, nan])) == Answered((("on", Series((1,), (0.25,), (4,))),))


def test_errors_that_are_nan_are_no_zero() -> None:
    assert ratio(reply(on=[nan, 1]), reply(on=[5, 5])) == Answered((("on", Series((1,), (0.2,), (5,))),))


def test_a_variant_without_traffic_has_no_answer() -> None:
    made = ratio(reply(on=[1], off=[1]), reply(on=[2], off=[0]))
    assert made == Answered((("on", Series((0,), (0.5,), (2,))),))


@pytest.mark.parametrize(
    ("errors", "total", "expected"),
    [
        (reply(), reply(), EMPTY),
        (reply(on=[1]), reply(), EMPTY),
        (reply(on=[1]), reply(on=[0]), NO_EVENTS),
        (reply(on=[0]), reply(on=[nan]), NO_EVENTS),
        (reply(True, on=[0]), reply(on=[1]), PARTIAL),
        (reply(on=[0]), reply(True, on=[1]), PARTIAL),
    ],
)
def test_without_events_there_is_no_ratio(errors: Reply, total: Reply, expected: NoData) -> None:
    assert ratio(errors, total) == expected


@pytest.mark.parametrize(
    ("errors", "total"), [(reply(none=[1]), reply(on=[1], off=[1])), (reply(on=[1]), reply(none=[2]))]
)
def test_errors_and_total_must_be_told_apart_alike(errors: Reply, total: Reply) -> None:
    made = ratio(errors, total)
    assert made == NoData("errors and total differ in the label variant: aggregate both by it, or neither")


def test_traffic_without_a_variant_beside_variants_is_fine() -> None:
    made = ratio(reply(none=[1], on=[1]), reply(none=[2], on=[4]))
    assert isinstance(made, Answered)
    assert made.series_of("on") == Series((0,), (0.25,), (4,))


def test_values_that_are_no_numbers_are_left_out() -> None:
    made = fold_query(reply(on=[1, nan, inf, 4]), "variant", start=0)
    assert made == Answered((("on", Series((0, 3), (1, 4))),))
    assert fold_query(reply(on=[nan]), "variant", start=0) == NOT_A_NUMBER
    assert fold_query(reply(), "variant", start=0) == EMPTY


def test_samples_before_the_start_are_left_out() -> None:
    assert fold_query(reply(on=[1, 2, 3]), "variant", start=2) == Answered((("on", Series((2,), (3,))),))
    assert fold_query(reply(on=[1, 2, 3]), "variant", start=9) == EMPTY


def test_several_series_of_one_kind_are_named() -> None:
    doubled = Reply((*reply(on=[1]).series, *reply(on=[2]).series))
    message = "several series for the variant on: aggregate the query, such as sum by (variant) (...)"
    assert fold_query(doubled, "variant", start=0) == NoData(message)
    bare = Reply((*reply(none=[1]).series, *reply(none=[2]).series))
    message = "several series for one value: aggregate the query, such as sum by (variant) (...)"
    assert fold_query(bare, "variant", start=0) == NoData(message)
