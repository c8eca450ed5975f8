"""Probes: evaluation contexts that tell whether two definitions of a flag treat users alike.

Bucketing keys alone would show nothing about criteria: without attributes nobody meets them. So the attributes are
taken from the rules themselves: for each alternative of the criteria, and each attribute that it compares, the values
on both sides of the bound.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pilotage.rollout.exposure import Exposure

KEYS = tuple(f"probe-{number}" for number in range(1000))
"""Bucketing keys of nobody: a thousand of them find a share that shrinks by a percent of all users."""

KEYS_PER_CASE = 250
CASES_LIMIT = 24

Context = dict[str, Any]


def context_of(key: str, *attributes: str) -> Context:
    """The evaluation context of a user of whom only the bucketing key is known: these attributes (paths) hold it."""
    return _nested(dict.fromkeys(attributes, key))


def probes_for(want: Exposure, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Context]:
    """Contexts to compare two definitions with: nobody in particular, users who are listed no longer, and KEYS.

    Denied users are left out: to lose the feature is what they are denied for.
    """
    rules = [rule for definition in (old, new) for rule in _operations(definition.get("targeting"))]
    bucketed = {want.bucket_by, *(var for rule in rules for var in _negated(rule))}
    listed = listed_in(old) - listed_in(new) - set(want.deny)
    contexts = [context_of(key, *bucketed) for key in sorted(listed)]
    contexts += [_nested({var: key if var == want.bucket_by else f"{var}:{key}" for var in bucketed}) for key in KEYS]
    cases = [case for rule in rules for case in _cases(rule)][:CASES_LIMIT]
    return [{}, *contexts, *(_merged(case, context) for case in cases for context in contexts[-KEYS_PER_CASE:])]


def listed_in(definition: Mapping[str, Any]) -> set[str]:
    """The users whom a definition names."""
    return {key for rule in _operations(definition.get("targeting")) for key in _listed(rule)}


def with_lists_of(rule: Any, keys: set[str]) -> Any:
    """The rule with lists of these users only: the same for them and for all who are not listed, but quick."""
    match rule:
        case {"in": [key, list(listed)]}:
            return {"in": [key, [name for name in listed if name in keys]]}
        case Mapping():
            return {operator: with_lists_of(arguments, keys) for operator, arguments in rule.items()}
        case list():
            return [with_lists_of(argument, keys) for argument in rule]
    return rule


def _operations(rule: Any) -> Iterator[Mapping[str, Any]]:
    """The rule and all rules within it."""
    if isinstance(rule, Mapping):
        yield rule
        for arguments in rule.values():
            yield from _operations(arguments)
    elif isinstance(rule, list):
        for argument in rule:
            yield from _operations(argument)


def _negated(rule: Mapping[str, Any]) -> list[str]:
    """The bucketing attribute: our rules ask at first whether it is missing."""
    match rule:
        case {"!": [{"var": str(name)}]}:
            return [name]
    return []


def _listed(rule: Mapping[str, Any]) -> list[str]:
    match rule:
        case {"in": [_, list(keys)]}:
            return [key for key in keys if isinstance(key, str)]
    return []


def _cases(rule: Mapping[str, Any]) -> Iterator[Context]:
    """Attributes that meet, or just miss, each alternative of a condition."""
    match rule:
        case {"if": [condition, *_]}:
            for alternative in _alternatives(condition):
                yield from _around_bounds(alternative)


def _alternatives(condition: Any) -> Iterator[Any]:
    match condition:
        case {"or": [*parts]}:
            for part in parts:
                yield from _alternatives(part)
        case _:
            yield condition


def _around_bounds(condition: Any) -> Iterator[Context]:
    """Sets of attributes: in each, every attribute that is compared has one of the values around its bounds."""
    values: dict[str, list[Any]] = {}
    for rule in _operations(condition):
        for operator in ("<", "<=", ">", ">=", "===", "!=="):
            match rule.get(operator):
                case [{"var": str(name)}, (str() | int() | float()) as literal]:
                    values.setdefault(name, []).extend(_around(literal))
    for index in range(max(map(len, values.values()), default=0)):
        yield _nested({name: found[index % len(found)] for name, found in values.items()})


def _around(literal: str | float) -> list[Any]:
    match literal:
        case bool():
            return [literal, not literal]
        case str():
            return [literal, f"{literal}-"]
    return [literal, literal + 1, literal - 1]


def _nested(attributes: Mapping[str, Any]) -> Context:
    made: Context = {}
    for path, value in attributes.items():
        *parents, name = path.split(".")
        nested = {name: value}
        for parent in reversed(parents):
            nested = {parent: nested}
        made = _merged(made, nested)
    return made


def _merged(attributes: Mapping[str, Any], others: Mapping[str, Any]) -> Context:
    made = dict(attributes)
    for name, value in others.items():
        inner = made.get(name)
        made[name] = _merged(inner, value) if isinstance(inner, Mapping) and isinstance(value, Mapping) else value
    return made
