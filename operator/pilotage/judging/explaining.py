"""Explains a text that is no criterion: where it stops to be one, what belongs there, and how to mend a near miss.

The text is walked part by part with the expressions of `resources.grammar`; the first part that doesn't fit is the
place. Slips that people make (`=>`, `0,1%`, `for 10 min`) get their remedy.
"""

import re
from dataclasses import dataclass
from typing import NoReturn

from pilotage.resources import grammar

_FUNCTION = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*) ?\(")
_NAME = re.compile(grammar.INDICATOR)
_NUMBER = re.compile(rf" ?{grammar.NUMBER}")
_UNIT = re.compile(grammar.UNIT)
_DURATION = re.compile(grammar.DURATION)
_OPERATORS = {
    "": (re.compile(rf" ?{grammar.OPERATOR}"), "an operator (<, <=, >, >=, ==, !=)"),
    "lift": (re.compile(rf" ?{grammar.ORDERING}"), "an operator (<, <=, >, >=)"),
}
_MODES = {"": ("for", "in"), "incidents": ("for", "in"), "score": ("for",), "lift": ()}

_SIGN_SLIPS = {"===": "==", "=>": ">=", "=<": "<=", "<>": "!=", "=": "==", "≥": ">=", "≤": "<=", "≠": "!="}
_OPERATOR_SLIPS = _SIGN_SLIPS | {"above ": ">", "over ": ">", "below ": "<", "under ": "<", "is ": "=="}
_UNIT_SLIPS = {
    **dict.fromkeys(("percent", "pct", "per cent"), "%"),
    **dict.fromkeys(("milliseconds", "millisecond", "millis", "msecs", "msec"), "ms"),
    **dict.fromkeys(("seconds", "second", "secs", "sec"), "s"),
    **dict.fromkeys(("minutes", "minute", "mins", "min"), "m"),
    **dict.fromkeys(("hours", "hour", "hrs", "hr"), "h"),
    **dict.fromkeys(("days", "day"), "d"),
    **dict.fromkeys(("weeks", "week"), "w"),
}
_WORDS = re.compile(grammar.INCIDENT_WORDS)
_OPEN, _CLOSE = re.compile(r"\("), re.compile(r"\)")
_SIGNIFICANT = re.compile(" significant")
_MEANS = {"for": "without a break", "in": "the value over that window"}
_WORDY = re.compile(rf" *(?P<unit>{'|'.join(_UNIT_SLIPS)}|%|ms|[smhdw])(?![A-Za-z])", re.IGNORECASE)
_WORDY_DURATION = re.compile(r"(?:[0-9]+ *[A-Za-z]+ *(?:and +)?)*[0-9]+ *[A-Za-z]+", re.IGNORECASE)
_JOINED = re.compile(r" *(&&|\|\|| (and|or)\b)", re.IGNORECASE)


class CriterionError(ValueError):
    """A text that the grammar does not know; the message says where it goes wrong and what is expected there."""

    def __init__(self, text: str, position: int, expected: str, remedy: str = "") -> None:
        """Keep the place; `position` counts characters from 0."""
        self.text = text
        self.position = position
        self.expected = expected
        self.remedy = remedy
        found = f"found {text[position : position + 12]!r}" if position < len(text) else "it ends there"
        tail = f"; {remedy}" if remedy else ""
        super().__init__(f"character {position + 1} of {text!r}: expected {expected}, {found}{tail}")


def refuse_bound(text: str) -> NoReturn:
    """Say why a text is no bound.

    Raises:
        CriterionError: always.
    """
    walk = _Walk(text)
    _take_comparison(walk, "")
    walk.stop("a unit (%, ms, s, m, h, d) or the end", _tail_remedy(walk, ()))


def refuse_criterion(text: str) -> NoReturn:
    """Say why a text is no criterion.

    Raises:
        CriterionError: always.
    """
    walk = _Walk(text)
    function = _take_subject(walk)
    _take_comparison(walk, function)
    modes = _MODES[function]
    if function == "lift":
        if text[walk.position :] == "":
            walk.stop("`significant`", "add ` significant`: a lift counts only if it is no chance")
        walk.take(_SIGNIFICANT, "a unit (%) or ` significant`", _tail_remedy(walk, modes))
        walk.stop("the end", _tail_remedy(walk, modes))
    words = " or ".join(f"`{mode}`" for mode in modes)
    mode = re.compile(f" ({'|'.join(modes)}) ")
    walk.take(mode, f"a unit (%, ms, s, m, h, d), {words} with a duration, or the end", _tail_remedy(walk, modes))
    walk.take(_DURATION, "a duration such as 90s, 10m or 14d", _duration_remedy(walk))
    walk.stop("the end", _duration_remedy(walk) or _tail_remedy(walk, ()))


@dataclass(slots=True)
class _Walk:
    """A place in a text; `begun` is where the part before it began."""

    text: str
    position: int = 0
    begun: int = 0

    @property
    def rest(self) -> str:
        return self.text[self.position :]

    def take(self, pattern: re.Pattern[str], expected: str, remedy: str = "") -> str:
        """Go past what the pattern finds here; where it finds nothing, that is the place of the error."""
        found = pattern.match(self.text, self.position)
        if found is None:
            # Where a blank is allowed before the part, what is wrong comes behind it.
            self.position += pattern.pattern.startswith(" ?") and self.rest.startswith(" ")
            self.stop(expected, remedy)
        self.begun, self.position = self.position, found.end()
        return found[0]

    def stop(self, expected: str, remedy: str = "") -> NoReturn:
        raise CriterionError(self.text, self.position, expected, remedy)


def _take_subject(walk: _Walk) -> str:
    """Go past the indicator or the function, whose name is returned ("" for an indicator)."""
    called = _FUNCTION.match(walk.text)
    if called is None:
        walk.take(_NAME, "the name of an indicator, such as error_ratio", _name_remedy(walk.text))
        return ""
    name = called[1]
    if name not in _MODES:
        walk.stop("an indicator's name or one of the functions lift(...), score(...), incidents(...)")
    walk.take(re.compile(re.escape(name)), name)
    walk.take(_OPEN, "`(`", "write no blank before the parenthesis")
    if name == "incidents":
        words = f"one of {', '.join(grammar.SEVERITIES)} and/or one of {', '.join(grammar.STATES)}"
        walk.take(_WORDS, words)
        walk.take(_CLOSE, f"`)` after {words}")
    else:
        what = "an indicator" if name == "lift" else "a score"
        walk.take(_NAME, f"the name of {what}", _name_remedy(walk.rest))
        walk.take(_CLOSE, f"`)`: {name} takes one name")
    return name


def _take_comparison(walk: _Walk, function: str) -> None:
    """Go past the operator, the number and the unit."""
    pattern, expected = _OPERATORS.get(function, _OPERATORS[""])
    walk.take(pattern, expected, _operator_remedy(walk.rest))
    walk.take(_NUMBER, "a number such as 5, 0.5 or 99.9", _number_remedy(walk))
    walk.take(_UNIT, "")


def _name_remedy(rest: str) -> str:
    named = re.match(r"[A-Za-z0-9_-]+", rest)
    if named and named[0] != named[0].lower():
        return f"write it in lower case: {named[0].lower()}"
    return ""


def _operator_remedy(rest: str) -> str:
    rest = rest.lstrip().lower()
    slip = next((slip for slip in _OPERATOR_SLIPS if rest.startswith(slip)), None)
    return f"write `{_OPERATOR_SLIPS[slip]}`" if slip else ""


def _number_remedy(walk: _Walk) -> str:
    rest = walk.rest.lstrip()
    joined = walk.text[walk.begun : walk.position].strip() + rest[:1]
    if rest[:1] in ("=", ">"):
        return f"write `{_SIGN_SLIPS.get(joined, joined)}`"
    if walk.rest.startswith("  "):
        return "write one blank at most"
    if found := re.match(r"([-+]?)(\.[0-9]+|[0-9]+)", rest):
        digits = f"0{found[2]}" if found[2].startswith(".") else found[2]
        return f"write `{'-' if found[1] == '-' else ''}{digits}`"
    if found := re.match(r"[€$]", rest):
        return "write the number without a currency"
    return ""


def _tail_remedy(walk: _Walk, modes: tuple[str, ...]) -> str:
    """How to mend what follows a complete comparison."""
    rest = walk.rest
    if _JOINED.match(rest):
        return "a criterion is one comparison: make each an item of the list"
    if found := re.match(r"[,.]([0-9]+)", rest):
        number = walk.text[: walk.position].rsplit(" ", 1)[-1].lstrip("<>=!")
        return f"write a point, and at least one digit after it: `{number}.{found[1]}`"
    if rest.strip() == "significant":
        return "only lift(...) can be significant: leave it out"
    if modes and (found := _WORDY_DURATION.fullmatch(rest.strip())):
        duration = _mended(found)
        meant = [f"`{mode} {duration}` ({_MEANS[mode]})" for mode in modes]
        return f"write {' or '.join(meant)}"
    return "remove what follows" if rest and not rest.strip() else _unit_remedy(walk)


def _unit_remedy(walk: _Walk) -> str:
    # The unit that was taken may be the beginning of a word: `5min`.
    found = _WORDY.match(walk.text, walk.begun)
    if found is None or found.end() <= walk.position:
        return ""
    number = walk.text[: walk.begun].rsplit(" ", 1)[-1].lstrip("<>=!")
    return f"write `{number}{_UNIT_SLIPS.get(found['unit'].lower(), found['unit'].lower())}`"


def _duration_remedy(walk: _Walk) -> str:
    """How to mend a duration such as `10 min`; the walk is before it, or behind the part of it that fits."""
    begun = walk.begun if walk.position and walk.text[walk.begun].isdigit() else walk.position
    found = _WORDY_DURATION.fullmatch(walk.text[begun:].strip())
    return f"write `{_mended(found)}`" if found else ""


def _mended(found: re.Match[str]) -> str:
    parts = re.findall(r"([0-9]+) *([A-Za-z]+)", found[0])
    return "".join(f"{number}{_UNIT_SLIPS.get(unit.lower(), unit.lower())}" for number, unit in parts)
