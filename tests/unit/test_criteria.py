"""Criteria and bounds: what is read, what is refused and where, and that the CRD's pattern agrees with the parser."""

import re
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pilotage.judging.criteria import Bound, Criterion, parse_bound, parse_criterion
from pilotage.judging.explaining import CriterionError
from pilotage.resources.bounds import Bound as BoundText
from pilotage.resources.grammar import BOUND_PATTERN, CRITERION_PATTERN, SEVERITIES, STATES
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
moded = st.one_of(
    st.just({"mode": "", "duration": ""}),
    st.fixed_dictionaries({"mode": st.sampled_from(["for", "in"]), "duration": durations}),
)
severities, states = st.sampled_from(SEVERITIES), st.sampled_from(STATES)
words = st.one_of(
    st.tuples(severities), st.tuples(states), st.tuples(severities, states), st.tuples(states, severities)
)
criteria = st.one_of(
    st.builds(lambda name, bound, tail: Criterion(name, bound, **tail), indicators, bounds, moded),
    st.builds(
        lambda name, bound: Criterion(name, bound, function="lift", arguments=(name,), significant=True),
        indicators,
        bounds.filter(lambda bound: bound.op[0] in "<>"),
    ),
    st.builds(
        lambda name, bound, tail: Criterion(name, bound, **tail, function="score", arguments=(name,)),
        indicators,
        bounds,
        moded.filter(lambda tail: tail["mode"] != "in"),
    ),
    st.builds(
        lambda said, bound, tail: Criterion("", bound, **tail, function="incidents", arguments=said),
        words,
        bounds,
        moded,
    ),
)
pieces = st.sampled_from(
    [
        *("errors", "lift", "score", "incidents", "(", ")", "critical", "open", ",", ", ", "any"),
        *(" ", "  ", ">", "=>", ">=", "==", "=", "≥", "<", "!=", "5", "0.1", "0,1", "-", ".5", "1e3", "+"),
        *("%", " %", "ms", "min", "s", "d", "percent", " for ", " in ", " significant", " and ", "10m", "10 min", "\n"),
    ]
)
near_misses = st.one_of(
    st.text(alphabet="ab_-<>=! %.,()0159msdhwforin\n", max_size=24), st.lists(pieces, max_size=12).map("".join)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("error_ratio > 1% for 10m", Criterion("error_ratio", Bound(">", Decimal(1), "%"), "for", "10m")),
        ("p95>3s", Criterion("p95", Bound(">", Decimal(3), "s"))),
        ("availability >= 99.9% for 90d", Criterion("availability", Bound(">=", Decimal("99.9"), "%"), "for", "90d")),
        ("tickets > 50 in 1h", Criterion("tickets", Bound(">", Decimal(50)), "in", "1h")),
        ("incidents == 0", Criterion("incidents", Bound("==", Decimal(0)))),
        ("for < -0.5", Criterion("for", Bound("<", Decimal("-0.5")))),
        (
            "lift(conversions) > 10% significant",
            Criterion(
                "conversions",
                Bound(">", Decimal(10), "%"),
                function="lift",
                arguments=("conversions",),
                significant=True,
            ),
        ),
        (
            "score(customer)>=8.0 for 7d",
            Criterion("customer", Bound(">=", Decimal("8.0")), "for", "7d", function="score", arguments=("customer",)),
        ),
        (
            "incidents(critical, open) == 0 for 7d",
            Criterion(
                "",
                Bound("==", Decimal(0)),
                "for",
                "7d",
                function="incidents",
                arguments=("critical", "open"),
            ),
        ),
        (
            "incidents(open,major) <= 5 in 7d",
            Criterion("", Bound("<=", Decimal(5)), "in", "7d", function="incidents", arguments=("open", "major")),
        ),
        ("lift > 1", Criterion("lift", Bound(">", Decimal(1)))),
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
        ("lift(conversions) > 10%", 24, "`significant`"),
        ("lift(conversions) == 10% significant", 19, "an operator (<, <=, >, >=)"),
        ("lift(conversions) > 10% for 7d", 24, "` significant`"),
        ("lift(conversions, x) > 10% significant", 17, "`)`"),
        ("lift() > 10% significant", 6, "the name of an indicator"),
        ("score(customer) >= 8.0 in 7d", 23, "`for` with a duration"),
        ("score(customer) >= 8.0 significant", 23, "`for` with a duration"),
        ("incidents() == 0", 11, "one of critical, major, minor and/or one of open, resolved, any"),
        ("incidents(severe) == 0", 11, "one of critical, major, minor"),
        ("incidents(critical, major) == 0", 19, "`)` after one of critical"),
        ("mean(errors) > 1", 1, "one of the functions lift(...), score(...), incidents(...)"),
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


@pytest.mark.parametrize(
    ("text", "position", "remedy"),
    [
        ("errors => 1%", 8, "write `>=`"),
        ("errors =< 1%", 8, "write `<=`"),
        ("errors = 1%", 8, "write `==`"),
        ("errors === 1%", 10, "write `==`"),
        ("errors <> 1%", 9, "write `!=`"),
        ("errors ≥ 1%", 8, "write `>=`"),
        ("errors≤1%", 7, "write `<=`"),
        ("errors > = 1%", 10, "write `>=`"),
        ("errors above 1%", 8, "write `>`"),
        ("errors > 0,1%", 11, "write a point, and at least one digit after it: `0.1`"),
        ("errors > .5%", 10, "write `0.5`"),
        ("errors > +5", 10, "write `5`"),
        ("errors >  5%", 10, "write one blank at most"),
        ("errors > 5 %", 11, "write `5%`"),
        ("errors > 5 percent for 10m", 11, "write `5%`"),
        ("p95 > 5 ms", 8, "write `5ms`"),
        ("p95 > 5msec", 10, "write `5ms`"),
        ("p95 > 5min", 9, "write `5m`"),
        ("errors > 5% 10m", 12, "write `for 10m` (without a break) or `in 10m` (the value over that window)"),
        ("errors > 5% 10 min", 12, "write `for 10m` (without a break) or `in 10m`"),
        ("score(customer) > 8 7d", 20, "write `for 7d` (without a break)"),
        ("errors > 5% for 10 min", 17, "write `10m`"),
        ("errors > 5% for 10min", 20, "write `10m`"),
        ("errors > 5% for 2 weeks", 17, "write `2w`"),
        ("errors > 5% for 1 hour 30 minutes", 17, "write `1h30m`"),
        ("errors > 5% and p95 > 3s", 12, "a criterion is one comparison: make each an item of the list"),
        ("errors > 5% for 10m or p95 > 3s", 20, "a criterion is one comparison"),
        ("errors > 5% && p95 > 3s", 12, "a criterion is one comparison"),
        ("errors > 5% significant", 12, "only lift(...) can be significant: leave it out"),
        ("lift(conversions) > 10%", 24, "add ` significant`"),
        ("lift(conversions) > 10 %", 23, "write `10%`"),
        ("Errors > 5%", 1, "write it in lower case: errors"),
        ("lift(Conversions) > 5% significant", 6, "write it in lower case: conversions"),
        ("lift (conversions) > 5% significant", 5, "write no blank before the parenthesis"),
        ("cost < $0.02", 8, "write the number without a currency"),
        ("errors > 5% ", 12, "remove what follows"),
    ],
)
def test_a_near_miss_is_told_how_to_be_mended(text: str, position: int, remedy: str) -> None:
    with pytest.raises(CriterionError, match=f"^character {position} of ") as caught:
        parse_criterion(text)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "remedy"),
    [("< 5 ms", "write `5ms`"), ("<0,1%", "`0.1`"), ("=> 5", "write `>=`"), ("< 5 percent", "write `5%`")],
)
def test_a_near_miss_of_a_bound_is_told_how_to_be_mended(text: str, remedy: str) -> None:
    with pytest.raises(CriterionError) as caught:
        parse_bound(text)
    assert remedy in caught.value.remedy


@given(near_misses)
def test_a_text_that_is_refused_is_refused_at_a_place_within_it(text: str) -> None:
    for error in (_refusal(parse_criterion, text), _refusal(parse_bound, text)):
        assert error is None or 0 <= error.position <= len(text)
        assert error is None or f"character {error.position + 1} of {text!r}: expected {error.expected}" in str(error)


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
    return _refusal(parse, text) is None


def _refusal(parse: Callable[[str], object], text: str) -> CriterionError | None:
    try:
        parse(text)
    except CriterionError as error:
        return error
    return None


def _accepts(schema: TypeAdapter[str], text: str) -> bool:
    try:
        schema.validate_python(text)
    except ValidationError:
        return False
    return True
