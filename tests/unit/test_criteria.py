"""Criteria and bounds: what is read, what is refused and where, and that the CRD's pattern agrees with the parser."""

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pilotage.judging.criteria import Bound, Criterion, CriterionError, parse_bound, parse_criterion
from pilotage.resources.grammar import BOUND_PATTERN, CRITERION_PATTERN
from pilotage.resources.rollout import Bound as BoundText
from pilotage.resources.rollout import Criterion as CriterionText

# Pydantic checks `pattern` with Rust's engine, which like the API server's RE2 has no backtracking: a third reader.
SCHEMA_CRITERION: TypeAdapter[str] = TypeAdapter(CriterionText)
SCHEMA_BOUND: TypeAdapter[str] = TypeAdapter(BoundText)

indicators = st.from_regex(r"[a-z][a-z0-9_-]{0,20}", fullmatch=True)
bounds = st.builds(
    Bound,
    op=st.sampled_from(["<", "<=", ">", ">=", "==", "!="]),
    number=st.decimals(
        min_value=-(10**15) + 1, max_value=10**15 - 1, places=3, allow_nan=False, allow_infinity=False
    ).map(lambda number: abs(number) if number.is_zero() else number),
    suffix=st.sampled_from(["", "%", "ms", "s", "m", "h", "d"]),
)
durations = st.from_regex(r"([0-9]{1,6}(ms|s|m|h|d|w)){1,3}", fullmatch=True)
criteria = st.one_of(
    st.builds(Criterion, indicators, bounds),
    st.builds(Criterion, indicators, bounds, mode=st.sampled_from(["for", "in"]), duration=durations),
)
near_misses = st.text(alphabet="ab_-<>=! %.0159msdhwforin\n", max_size=24)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("error_ratio > 1% for 10m", Criterion("error_ratio", Bound(">", Decimal(1), "%"), "for", "10m")),
        ("p95>3s", Criterion("p95", Bound(">", Decimal(3), "s"))),
        ("availability >= 99.9% for 90d", Criterion("availability", Bound(">=", Decimal("99.9"), "%"), "for", "90d")),
        ("tickets > 50 in 1h", Criterion("tickets", Bound(">", Decimal(50)), "in", "1h")),
        ("incidents == 0", Criterion("incidents", Bound("==", Decimal(0)))),
        ("for < -0.5", Criterion("for", Bound("<", Decimal("-0.5")))),
    ],
)
def test_a_criterion_is_read_as_it_is_written(text: str, expected: Criterion) -> None:
    assert parse_criterion(text) == expected


@pytest.mark.parametrize(
    ("text", "value", "dimension"),
    [
        ("< 1%", 0.01, "ratio"),
        ("< 99.9%", 0.999, "ratio"),
        ("<50ms", 0.05, "seconds"),
        ("> 2m", 120.0, "seconds"),
        ("> 1.5h", 5400.0, "seconds"),
        ("> 1d", 86400.0, "seconds"),
        (">= 8.5", 8.5, "plain"),
    ],
)
def test_units_are_typed(text: str, value: float, dimension: str) -> None:
    bound = parse_bound(text)
    assert (bound.value, bound.dimension) == (value, dimension)


@pytest.mark.parametrize(
    ("text", "position", "expected"),
    [
        ("", 1, "name of an indicator"),
        ("Error > 1", 1, "name of an indicator"),
        ("errors 1%", 8, "an operator"),
        ("errors = 1%", 8, "an operator"),
        ("errors > one", 10, "a number"),
        ("errors >  1", 10, "a number"),
        ("errors > 5kg", 11, "a unit"),
        ("errors > 1 % for 10m", 11, "a unit"),
        ("errors > 1% within 10m", 12, "`for` or `in`"),
        ("errors > 1% for soon", 17, "a duration"),
        ("errors > 1% for 10m ", 20, "the end"),
        ("errors > 1% for 10m\n", 20, "the end"),
    ],
)
def test_a_wrong_criterion_is_refused_with_the_place_and_what_belongs_there(
    text: str, position: int, expected: str
) -> None:
    with pytest.raises(CriterionError, match=f"^character {position} of ") as caught:
        parse_criterion(text)
    assert expected in str(caught.value)
    assert caught.value.position == position - 1


def test_a_wrong_bound_is_refused_with_the_place() -> None:
    with pytest.raises(CriterionError, match=r"character 3 of '< fast': expected a number"):
        parse_bound("< fast")
    with pytest.raises(CriterionError, match=r"character 4 of '< 5 ms': expected a unit"):
        parse_bound("< 5 ms")


@given(criteria)
def test_what_is_written_is_read_back(criterion: Criterion) -> None:
    assert parse_criterion(str(criterion)) == criterion


@given(bounds)
def test_a_bound_is_read_back(bound: Bound) -> None:
    assert parse_bound(str(bound)) == bound


@given(st.one_of(criteria.map(str), near_misses, st.from_regex(CRITERION_PATTERN)))
def test_the_schema_lets_through_exactly_the_criteria_that_are_understood(text: str) -> None:
    assume(len(text) <= 160)
    assert _parses(parse_criterion, text) == _accepts(SCHEMA_CRITERION, text)


@given(st.one_of(bounds.map(str), near_misses, st.from_regex(BOUND_PATTERN)))
def test_the_schema_lets_through_exactly_the_bounds_that_are_understood(text: str) -> None:
    assume(len(text) <= 40)
    assert _parses(parse_bound, text) == _accepts(SCHEMA_BOUND, text)


@pytest.mark.parametrize("pattern", [CRITERION_PATTERN, BOUND_PATTERN])
def test_patterns_use_only_what_re2_and_json_schema_know(pattern: str) -> None:
    assert not re.search(r"\(\?|\\[1-9]|[*+?}][+?]", pattern)


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except CriterionError:
        return False
    return True


def _accepts(schema: TypeAdapter[str], text: str) -> bool:
    try:
        schema.validate_python(text)
    except ValidationError:
        return False
    return True
