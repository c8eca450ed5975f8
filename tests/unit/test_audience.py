"""Cohort criteria: what they mean, how they are refused, and that flagd's evaluator sees the same."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pilotage.delivery.targeting import definition_of
from pilotage.resources.grammar import AUDIENCE_PATTERN, OPERATOR
from pilotage.rollout.audience import AudienceError, any_of, matches, to_json_logic
from pilotage.rollout.exposure import SHARE_TOTAL, Exposure
from pilotage.rollout.flagd import Evaluator


@pytest.mark.parametrize(
    ("criteria", "attributes", "expected"),
    [
        ("orders > 10", {"orders": 11}, True),
        ("orders > 10", {"orders": 10}, False),
        ("orders>10", {"orders": 10.5}, True),
        ("orders >= -2.5", {"orders": -2.5}, True),
        ("orders == 11", {"orders": 11.0}, True),
        ("orders != 11", {"orders": 12}, True),
        ("orders in [1, 2,3]", {"orders": 3}, True),
        ("orders in [1, 2,3]", {"orders": 4}, False),
        ("device == 'mobile'", {"device": "mobile"}, True),
        ("device == 'mobile'", {"device": "Mobile"}, False),
        ("device != 'mobile'", {"device": "desktop"}, True),
        ("device != 'mobile'", {"device": "mobile"}, False),
        ("country in ['de','at']", {"country": "at"}, True),
        ("country in ['de','at']", {"country": "d"}, False),
        ("country in ['de,at']", {"country": "de"}, False),
        ("beta == true", {"beta": True}, True),
        ("beta != true", {"beta": False}, True),
        ("beta == false", {"beta": True}, False),
        ("beta in [true]", {"beta": True}, True),
        ("beta in [true]", {"beta": False}, False),
        ("plan.tier == 'gold'", {"plan": {"tier": "gold"}}, True),
        ("plan.tier == 'gold'", {"plan.tier": "gold"}, False),
        ("and == 1 and or == 2 or in in [3]", {"in": 3}, True),
        ("device == ' and x == '", {"device": " and x == "}, True),
    ],
)
def test_criteria_mean_what_they_say(criteria: str, attributes: dict[str, Any], expected: bool) -> None:
    assert matches(criteria, attributes) is expected


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize("attributes", [{}, {"orders": None}, {"other": 5}], ids=["missing", "null", "another"])
def test_a_missing_attribute_makes_every_comparison_false(operator: str, attributes: dict[str, Any]) -> None:
    for literal in ("10", "0", "-1", "'x'", "''", "true", "false"):
        if operator in {"==", "!="} or literal[-1].isdigit():
            assert not matches(f"orders {operator} {literal}", attributes)
    assert not matches("orders in [0, -1]", attributes)
    assert not matches("orders in ['']", attributes)


@pytest.mark.parametrize(
    "text", ["11", "0", "", " ", "1e3", "mobile", "zebra", "\uffff", "\U0001f600", "Infinity", "nan"]
)
def test_a_text_is_never_taken_for_a_number(text: str) -> None:
    for criteria in ("a > 10", "a < 10", "a >= 0", "a <= 0", "a == 11", "a == 0", "a != 5", "a in [0, 11]"):
        assert not matches(criteria, {"a": text})


@pytest.mark.parametrize("number", [0, 1, 11, 11.5])
def test_a_number_is_never_taken_for_a_text(number: float) -> None:
    for criteria in ("a == '11'", "a == '0'", "a == ''", "a != '5'", "a in ['0', '1', '11']"):
        assert not matches(criteria, {"a": number})


def test_and_binds_tighter_than_or() -> None:
    criteria = "a == 1 or b == 1 and c == 1"
    assert matches(criteria, {"a": 1})
    assert not matches(criteria, {"b": 1})
    assert matches(criteria, {"b": 1, "c": 1})
    criteria = "a == 1 and b == 1 or c == 1"
    assert matches(criteria, {"c": 1})
    assert not matches(criteria, {"a": 1})


def test_any_of_several_criteria_is_enough_and_none_admit_everybody() -> None:
    assert matches(("orders > 10", "device == 'mobile'"), {"orders": 3, "device": "mobile"})
    assert not matches(("orders > 10", "device == 'mobile'"), {"orders": 3})
    assert matches((), {})
    assert any_of(()) is None


@pytest.mark.parametrize(
    ("criteria", "character", "remedy"),
    [
        ("", 1, "write an attribute's name"),
        (" orders > 10", 1, "write an attribute's name"),
        ("9orders > 10", 1, "write an attribute's name"),
        ("orders", 7, "write one of <= >= =="),
        ("orders = 10", 8, "write one of <= >= =="),
        ("orders ~ 10", 8, "write one of <= >= =="),
        ("orders > ", 10, "write a number, a text"),
        ("orders > ten", 10, "write a number, a text"),
        ("orders > 10 ", 12, "write `and` or `or`"),
        ("orders > 10  and a == 1", 12, "write `and` or `or`"),
        ("orders > 10 && a == 1", 12, "write `and` or `or`"),
        ("orders > 10 and ", 17, "write an attribute's name"),
        ("device == 'mobile", 11, "write a number, a text in single quotes"),
        ('device == "mobile"', 11, "write a number, a text in single quotes"),
        ("device > 'mobile'", 8, "> needs a number"),
        ("beta < true", 6, "< needs a number"),
        ("country in 'de'", 9, "write one of <= >="),
        ("country in []", 13, "write a number, a text"),
        ("country in ['de'", 17, "write a comma between two values, and ]"),
        ("country in ['de' 'at']", 17, "write a comma between two values, and ]"),
        ("country in ['de', 1]", 13, "the list mixes types"),
        ("beta in [true, 1]", 10, "the list mixes types"),
        ("a == 1 and plan..tier == 'x'", 12, "plan..tier is no path"),
        ("plan. == 'x'", 1, "plan. is no path"),
        ("orders > 10\n", 12, "write `and` or `or`"),
        ("(orders > 10)", 1, "write an attribute's name"),
        ("a.b.0 == 1", 1, "a.b.0 is no path"),
    ],
)
def test_criteria_that_cannot_be_read_are_refused_with_place_and_remedy(
    criteria: str, character: int, remedy: str
) -> None:
    with pytest.raises(AudienceError) as caught:
        to_json_logic(criteria)
    assert str(caught.value).startswith(f"at character {character}: ")
    assert remedy in str(caught.value)
    assert caught.value.position == character - 1


IN_THE_GRAMMAR = re.compile(AUDIENCE_PATTERN.removesuffix("$") + r"\Z", re.ASCII)
MEANT_ERRORS = ("needs a number", "mixes types", "is no path")
PIECES = st.sampled_from(
    ("orders", "plan.tier", "in", "and", "or", " ", "  ", " and ", " or ", " in [", "]", ",", ", ", "'de'", "''", "'")
) | st.sampled_from(
    ("\\", "10", "-1.5", "1.", "true", "false", "<", "<=", ">", "==", "!=", "=", "!", "\n", "(", "\u00e9", "\x00")
)


def refusal(text: str) -> AudienceError | None:
    try:
        to_json_logic(text)
    except AudienceError as error:
        return error
    return None


def is_meant(error: AudienceError) -> bool:
    return any(meant in str(error) for meant in MEANT_ERRORS)


@given(st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=40))
@example("a in [" * 3)
@example("orders > 1234567890123456")
def test_the_parser_reads_what_the_grammar_allows_and_nothing_else(text: str) -> None:
    """So that the API server's pattern and the operator agree; what it refuses beyond that has a reason of its own."""
    allowed = IN_THE_GRAMMAR.match(text) is not None
    error = refusal(text)
    assert (error is None or is_meant(error)) if allowed else error is not None
    assert error is None or 0 <= error.position <= len(text)


@given(st.from_regex(IN_THE_GRAMMAR))
def test_whatever_the_grammar_makes_is_read_or_refused_for_its_meaning(text: str) -> None:
    error = refusal(text)
    assert error is None or is_meant(error)


NUMBERS = st.integers(-20, 20) | st.sampled_from([0.5, 10.25, -3.75])
TEXTS = st.sampled_from(["", "de", "at", "mobile", "11", "0", "true", " de", "\u00e9", "\U0001f600"])
LITERALS = NUMBERS | TEXTS | st.booleans()
VALUES = st.none() | LITERALS
NAMES = st.sampled_from(["a", "b", "c"])


def written(literal: Any) -> str:
    return f"'{literal}'" if isinstance(literal, str) else str(literal).lower()


@st.composite
def terms(draw: st.DrawFn) -> tuple[str, str, Any]:
    operator = draw(st.sampled_from([*OPERATOR.strip("()").split("|"), "in"]))
    if operator == "in":
        kind = draw(st.sampled_from([NUMBERS, TEXTS, st.booleans()]))
        return draw(NAMES), operator, draw(st.lists(kind, min_size=1, max_size=3))
    return draw(NAMES), operator, draw(LITERALS if operator in {"==", "!="} else NUMBERS)


def text_of(term: tuple[str, str, Any]) -> str:
    name, operator, literal = term
    if operator == "in":
        return f"{name} in [{', '.join(map(written, literal))}]"
    return f"{name} {operator} {written(literal)}"


def holds(term: tuple[str, str, Any], attributes: dict[str, Any]) -> bool:
    """What a term means, said again without JSONLogic. True and false count as numbers here, as in Python."""
    name, operator, literal = term
    value = attributes.get(name)
    literals = literal if operator == "in" else [literal]
    if value is None or isinstance(value, str) != isinstance(literals[0], str):
        return False
    if operator == "in":
        return value in literals
    if operator == "!=":
        if isinstance(literal, bool):
            return bool(value == (not literal))
        return value not in ("", literal)
    answers: dict[str, bool] = {
        "==": value == literal,
        **({} if isinstance(value, str) else {
            "<": value < literal, "<=": value <= literal, ">": value > literal, ">=": value >= literal,
        }),
    }  # fmt: skip
    return answers[operator]


@given(
    alternatives=st.lists(st.lists(terms(), min_size=1, max_size=3), min_size=1, max_size=3),
    attributes=st.dictionaries(NAMES, VALUES),
)
def test_operator_and_application_agree_on_who_meets_the_criteria(
    alternatives: list[list[tuple[str, str, Any]]], attributes: dict[str, Any]
) -> None:
    criteria = " or ".join(" and ".join(map(text_of, group)) for group in alternatives)
    expected = any(all(holds(term, attributes) for term in group) for group in alternatives)
    want = Exposure("f", "on", "off", "percent", share=SHARE_TOTAL, criteria=(criteria,))
    assert matches(criteria, attributes) is expected
    served = Evaluator(definition_of(want)).variant({**attributes, "targetingKey": "user-1"})
    assert served == ("on" if expected else "off")


def test_a_rule_uses_only_what_the_evaluators_of_all_languages_agree_on() -> None:
    """Go fails on `+` of a missing attribute and on `==` of two types, JavaScript on `<` of a text and a number."""
    rule = str(
        to_json_logic("a > 1 and b != 'x' or c in ['y', 'z'] and d == true and e != 3 or f in [1, 2] or g != true")
    )
    used = set(re.findall(r"'([^' ]+)': \[", rule))
    assert used == {"and", "or", "!!", "===", "!==", "cat", "ends_with", ">"}
