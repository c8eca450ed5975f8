"""Leases in a flag's definition: one rule until a time, another one after it, by the clock of whoever evaluates.

    {"if": [{"<": [{"var": ["$flagd.timestamp", LATE]}, 1772442000]}, RULE, FALLBACK]}

flagd's evaluators put the time of the evaluation into the context, in seconds since 1970. One that does not is taken
for late: it never serves what is not proven.
"""

from collections.abc import Mapping
from typing import Any

Rule = dict[str, Any]

_LATE = 99_999_999_999
"""What stands for a missing time: later than every lease."""


def until_lease(rule: Rule, until: int | None, fallback: Rule | None) -> Rule:
    """The rule that holds until a time; without one, for ever.

    Args:
        rule: what holds until then.
        until: the time, in seconds since 1970.
        fallback: what holds after it.
    """
    if until is None or fallback is None:
        return rule
    return {"if": [{"<": [{"var": ["$flagd.timestamp", _LATE]}, until]}, rule, fallback]}


def lease_of(definition: Mapping[str, Any]) -> int | None:
    """When a definition's lease ends, in seconds since 1970; None if it has none."""
    match definition.get("targeting"):
        case {"if": [{"<": [{"var": ["$flagd.timestamp", _]}, int() | float() as until]}, _, _]}:
            return int(until)
    return None


def without_lease(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The definition as it is until its lease ends."""
    if lease_of(definition) is None:
        return dict(definition)
    return {**definition, "targeting": definition["targeting"]["if"][1]}
