"""Keeps a tenant's own PromQL to the tenant's own series: label matchers are enforced in every selector.

A query is parsed, each selector gets the matchers beside its own (all of them must hold, so that a query can narrow
and never widen), and the whole is printed anew. What is sent is therefore never the tenant's text. The print is read
back and checked: what a parser and a printer disagree about is refused, as is everything that is not understood.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

import promql_parser
from promql_parser import Expr, Matcher, MatchOp, MatrixSelector, VectorSelector

LONGEST_QUERY = 4096
"""A spec holds 2,048 characters; names that are filled in make it longer."""

MOST_OPERATORS = 50
"""Of brackets and operators: the library takes minutes for a query of a thousand, which nobody writes by hand."""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:/-]{0,251}[A-Za-z0-9])?")
_STRINGS = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`""", re.DOTALL)
_OPERATORS = re.compile(r"[(\[+\-*/%^<>]|[=!]=|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_WINDOW = re.compile(r"\$window\b")
_WINDOW_STAND_IN = "6d23h59m57s"
"""Printed as it is read, so that it can be found again."""

_UNNAMED_METRICS = frozenset({"info"})
"""Functions that read series which no selector names, and no matcher therefore guards."""

_OPERATOR_TEXTS = ((MatchOp.Equal, "="), (MatchOp.NotEqual, "!="), (MatchOp.Re, "=~"), (MatchOp.NotRe, "!~"))

Pairs = tuple[tuple[str, str], ...]
"""Labels and the value that each must have."""

_Triple = tuple[str, str, str]
"""A matcher: label, operator, value."""


class GuardError(ValueError):
    """A query that can't be kept to the tenant's series; the text says what to do, and fits into status."""


def check_matchers(pairs: Iterable[tuple[str, str]]) -> Pairs:
    """The pairs, if they can be enforced.

    Raises:
        ValueError: a label is no label's name, or a value holds more than letters, digits and `_.:/-`.
    """
    made = tuple(pairs)
    for label, value in made:
        if not _LABEL.fullmatch(label) or label == "__name__":
            raise ValueError(f"{label!r} can't be enforced: it is no label's name")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"{label}={value!r} can't be enforced: use letters, digits and _.:/- in the value")
    return made


@lru_cache(maxsize=4096)
def enforce(query: str, pairs: Pairs) -> str:
    """The query with these matchers in every selector, in each of its `or` groups.

    Args:
        query: PromQL; `$window` may be open in it, all else is filled in.
        pairs: as `check_matchers` gave them.

    Raises:
        GuardError: it is too large, can't be read, or reads series that no selector names.
    """
    if not pairs:
        return query
    check_matchers(pairs)
    _check_size(query)
    windows = len(_WINDOW.findall(query))
    expression = _parsed(_WINDOW.sub(_WINDOW_STAND_IN, query))
    selectors = _selectors(expression)
    try:
        made = promql_parser.transform(expression, None, lambda node: _guarded(node, pairs)).prettify()
    except (ValueError, TypeError) as error:
        raise GuardError(_UNREADABLE) from error
    _check_print(made, selectors, pairs)
    if made.count(_WINDOW_STAND_IN) != windows:
        raise GuardError("uses $window as a value: it is for a range or an offset, as in rate(requests_total[$window])")
    return made.replace(_WINDOW_STAND_IN, "$window")


_UNREADABLE = (
    "can't be read as PromQL, so it can't be kept to your own series: correct it, or use an IndicatorTemplate of the"
    " platform team"
)


def _check_size(query: str) -> None:
    if len(query) > LONGEST_QUERY:
        raise GuardError(f"is longer than {LONGEST_QUERY} characters: record a part of it by a rule")
    if len(_OPERATORS.findall(_STRINGS.sub('""', query))) > MOST_OPERATORS:
        raise GuardError(f"has more than {MOST_OPERATORS} brackets and operators: record a part of it by a rule")


def _parsed(query: str) -> Expr:
    try:
        return promql_parser.parse(query)
    except (ValueError, TypeError) as error:
        raise GuardError(_UNREADABLE) from error


def _selectors(expression: Expr) -> int:
    """How many selectors there are; each is one place where series are read."""
    found: list[Expr] = []
    promql_parser.walk(expression, found.append)
    for node in found:
        if isinstance(node, promql_parser.Call) and node.func.name in _UNNAMED_METRICS:
            raise GuardError(f"uses {node.func.name}(), which reads series that no selector names: join them yourself")
    return sum(isinstance(node, VectorSelector | MatrixSelector) for node in found)


def _guarded(node: Expr, pairs: Pairs) -> Expr | None:
    """The selector anew, with the matchers; None for all other nodes, which stay. A range's own selector comes too."""
    if not isinstance(node, VectorSelector):
        return None
    name, suffix = _around(node.prettify())
    wanted = [[*group, *((label, "=", value) for label, value in pairs)] for group in _groups(node)]
    inside = " or ".join(",".join(map(_printed, group)) for group in wanted)
    made = _parsed(f"{name}{{{inside}}}{suffix}")
    if not isinstance(made, VectorSelector) or _groups(made) != wanted or _around(made.prettify()) != (name, suffix):
        raise GuardError(_UNREADABLE)
    return made


def _groups(node: VectorSelector | MatrixSelector) -> list[list[_Triple]]:
    """The matchers of a selector, in groups of which one must hold; a plain selector has one group."""
    matchers = (node.vector_selector if isinstance(node, MatrixSelector) else node).matchers
    if matchers.matchers and matchers.or_matchers:
        raise GuardError(_UNREADABLE)
    return [[_triple(each) for each in group] for group in matchers.or_matchers or [matchers.matchers]]


def _triple(matcher: Matcher) -> _Triple:
    return (matcher.name, next(text for op, text in _OPERATOR_TEXTS if op == matcher.op), matcher.value)


def _printed(matcher: _Triple) -> str:
    label, operator, value = matcher
    return f"{label if _LABEL.fullmatch(label) else _quoted(label)}{operator}{_quoted(value)}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _around(printed: str) -> tuple[str, str]:
    """The metric's name before a printed selector's braces, and what comes after them: offset and @.

    What comes after holds no brace, and the name neither brace nor blank.
    """
    name = re.match(r"[a-zA-Z0-9_:]*", printed)
    assert name is not None
    rest = printed[name.end() :]
    return name[0], rest[rest.rfind("}") + 1 :]


def _check_print(printed: str, selectors: int, pairs: Pairs) -> None:
    """That what is sent is read as it was meant: as many selectors, and the matchers in all groups of each."""
    expression = _parsed(printed)
    found: list[VectorSelector | MatrixSelector] = []

    def collect(node: Expr) -> None:
        if isinstance(node, VectorSelector | MatrixSelector):
            found.append(node)

    promql_parser.walk(expression, collect)
    wanted = {(label, "=", value) for label, value in pairs}
    guarded = all(wanted <= set(group) for node in found for group in _groups(node))
    if len(found) != selectors or not guarded or expression.prettify() != printed:
        raise GuardError(_UNREADABLE)
