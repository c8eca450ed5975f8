"""Audience: cohort criteria such as `orders > 10`, made into the JSONLogic that flagd's evaluators run.

    criteria   TERM {and TERM} {or TERM {and TERM}}        `and` binds tighter than `or`; there are no parentheses
    term       ATTRIBUTE OP LITERAL | ATTRIBUTE in [LITERAL, ...]

A term is true only if the attribute is there, and a text is no number: JSONLogic by itself would find `orders < 10`
true for a user without orders, and take "11" for 11.

Applications evaluate with several engines (Go, JavaScript, Python), which must agree about every user. They do so only
on part of JSONLogic, and the rules keep to it. Equality is strict: the loose one fails in JavaScript for a text and a
number, and in old Go for true and anything else. Ordering comes after a test for text, without which JavaScript fails.
There is no arithmetic with attributes (Go fails where one is missing), no `in` (Go finds 0 among texts), and nothing
within `and` that might answer null (Go takes it for true). What remains is Python's: 1 equals true, and 0 false.

A dot in an attribute leads into a nested object: `plan.tier == 'gold'`.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from json_logic import jsonLogic
from openfeature.contrib.tools.flagd.core.targeting.targeting import OPERATORS

from pilotage.resources.grammar import ATTRIBUTE, NUMBER, OPERATOR, TEXT

JsonLogic = dict[str, Any]
Literal = bool | int | float | str

_ATTRIBUTE = re.compile(ATTRIBUTE)
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_OPERATOR = re.compile(OPERATOR)
_LITERAL = re.compile(rf"(?P<number>{NUMBER})|(?P<text>{TEXT})|(?P<truth>true|false)")
_JOINT = re.compile(r" (and|or) ")
_COMMA = re.compile(r", ?")


class AudienceError(ValueError):
    """Criteria that can't be read; the message says where and what to write instead.

    Attributes:
        position: index of the character in the text, from 0.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"at character {position + 1}: {message}")
        self.position = position


def to_json_logic(criteria: str) -> JsonLogic:
    """The JSONLogic rule of one text of criteria.

    Raises:
        AudienceError: it can't be read, orders texts, or mixes types.
    """
    reader = _Reader(criteria)
    either: list[list[JsonLogic]] = [[_term(reader)]]
    while not reader.at_end():
        joint = reader.take(_JOINT, "write `and` or `or` between two terms, with one space on each side")
        if joint.group(1) == "or":
            either.append([])
        either[-1].append(_term(reader))
    return _joined("or", [_joined("and", terms) for terms in either])


def any_of(criteria: Sequence[str]) -> JsonLogic | None:
    """The rule that any of the criteria meets; None if there are none, which is everybody.

    Raises:
        AudienceError: one of them can't be read.
    """
    return _joined("or", [to_json_logic(text) for text in criteria]) if criteria else None


def matches(criteria: str | Sequence[str], attributes: Mapping[str, Any]) -> bool:
    """Whether a user meets the criteria (any of them; everybody meets none), as flagd's evaluators see it.

    Args:
        criteria: one text, or several of which one is enough.
        attributes: of the user's evaluation context, with `targetingKey` where criteria ask for it.

    Raises:
        AudienceError: the criteria can't be read.
    """
    rule = _compiled((criteria,) if isinstance(criteria, str) else tuple(criteria))
    return rule is None or jsonLogic(rule, dict(attributes), OPERATORS) is True


@lru_cache(maxsize=256)
def _compiled(criteria: tuple[str, ...]) -> JsonLogic | None:
    return any_of(criteria)


class _Reader:
    """A place in a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    def at_end(self) -> bool:
        return self.position == len(self.text)

    def skip(self, text: str) -> bool:
        found = self.text.startswith(text, self.position)
        self.position += len(text) if found else 0
        return found

    def take(self, pattern: re.Pattern[str], remedy: str) -> re.Match[str]:
        found = pattern.match(self.text, self.position)
        if found is None:
            raise AudienceError(remedy, self.position)
        self.position = found.end()
        return found


def _term(reader: _Reader) -> JsonLogic:
    start = reader.position
    attribute = reader.take(_ATTRIBUTE, "write an attribute's name, such as orders").group()
    if not _PATH.fullmatch(attribute):
        raise AudienceError(f"{attribute} is no path: write names with single dots between, such as plan.tier", start)
    if reader.skip(" in [") or reader.skip("  in ["):  # the grammar allows a space more
        return _joined("or", [_compared({"var": attribute}, "==", literal) for literal in _list(reader)])
    reader.skip(" ")
    start = reader.position
    operator = reader.take(_OPERATOR, "write one of <= >= == != < > or `in [...]` after the attribute").group()
    reader.skip(" ")
    literal = _literal(reader)
    if isinstance(literal, bool | str) and operator not in {"==", "!="}:
        raise AudienceError(
            f"{operator} needs a number: compare text and true/false with == or !=, and write numbers without quotes",
            start,
        )
    return _compared({"var": attribute}, operator, literal)


def _list(reader: _Reader) -> list[Literal]:
    start = reader.position
    literals = [_literal(reader)]
    while not reader.skip("]"):
        reader.take(_COMMA, "write a comma between two values, and ] after the last")
        literals.append(_literal(reader))
    if len({_type_of(literal) for literal in literals}) > 1:
        raise AudienceError("the list mixes types: list texts, or numbers, or true and false", start)
    return literals


def _literal(reader: _Reader) -> Literal:
    found = reader.take(_LITERAL, "write a number, a text in single quotes (at most 64 characters), true or false")
    if found["number"] is not None:
        return float(found["number"]) if "." in found["number"] else int(found["number"])
    return found["text"][1:-1] if found["text"] is not None else found["truth"] == "true"


def _type_of(literal: Literal) -> str:
    if isinstance(literal, bool):
        return "truth"
    return "text" if isinstance(literal, str) else "number"


def _compared(var: JsonLogic, operator: str, literal: Literal) -> JsonLogic:
    if isinstance(literal, bool) and operator == "!=":
        return {"===": [var, not literal]}
    if operator == "==":
        return {"===": [var, literal]}
    if isinstance(literal, str):
        return {"and": [{"!!": [var]}, {"ends_with": [var, ""]}, {"!==": [var, literal]}]}
    strict = "!==" if operator == "!=" else operator
    return {"and": [{"!==": [var, None]}, {"!==": [var, {"cat": [var]}]}, {strict: [var, literal]}]}


def _joined(operator: str, rules: list[JsonLogic]) -> JsonLogic:
    return rules[0] if len(rules) == 1 else {operator: rules}
