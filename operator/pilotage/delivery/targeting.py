"""Targeting: an exposure as the definition of a flag, in flagd's format.

What decides, in this order: no bucketing key (the control, until the exposure is full), the deny list, the enrolled
list, then the greatest of the shares whose criteria the user meets. Three things never change while a rollout lives,
because each of them would exchange the users who are in: the seed, the bucketing attribute, and that the treatment
stands before the control.

The flag stays ENABLED and keeps a targeting rule even when it is off: a disabled flag would serve the default of the
application's code, and a flag without a rule would be cached by clients that ask by RPC.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pilotage.delivery.probes import context_of, listed_in, with_lists_of
from pilotage.rollout.audience import any_of
from pilotage.rollout.exposure import SHARE_TOTAL, Exposure, Grant
from pilotage.rollout.flagd import REVISION, Definition, DefinitionError, Evaluator, revision_of

Rule = dict[str, Any]
Context = Mapping[str, Any]


def definition_of(want: Exposure) -> Definition:
    """The flag's definition, tried out on flagd's evaluator.

    Raises:
        AudienceError: the criteria can't be read.
        DefinitionError: the evaluator refuses it.
    """
    definition = _untried(want)
    _try_out(definition, want)
    return definition


def shortfall(served: Mapping[str, Any] | None, want: Exposure, keys: Sequence[str]) -> str:
    """What a served definition lacks to bring the exposure about, in one sentence; nothing if it does.

    Args:
        served: what the data plane serves under the flag's key.
        want: the exposure.
        keys: bucketing keys to try; some of the listed users are tried, too.
    """
    if served is None:
        return f"the flag {want.flag} is not served yet"
    revision = revision_of(served)
    if revision is None:
        return f"the flag {want.flag} is served from a definition that is not Pilotage's: remove it from other sources"
    if revision != want.revision:
        return f"the flag {want.flag} is served at revision {revision}, not {want.revision}"
    if served == _untried(want):  # as nearly always: to try it out costs much more than the comparison
        return ""
    definition = definition_of(want)
    try:
        evaluator, meant = Evaluator(served), Evaluator(definition)
    except DefinitionError:
        return f"the flag {want.flag} is served with a definition that evaluators refuse"
    contexts = [context_of(key, want.bucket_by) for key in (*_ends(want.deny), *_ends(want.enrolled), *keys)]
    wrong = sum(evaluator.variant(context) != meant.variant(context) for context in contexts)
    return f"{wrong} of {len(contexts)} probed users get another variant of {want.flag} than is meant" if wrong else ""


def lost_by(old: Mapping[str, Any], new: Mapping[str, Any], probes: Sequence[Context]) -> tuple[Context, ...]:
    """The probes that have the feature by the old definition and would lose it by the new one.

    Args:
        old: the definition in force.
        new: the definition that shall follow it.
        probes: contexts made by `probes_for` for these two: they hold every user who is listed no longer.
    """
    gone = listed_in(old) - listed_in(new)
    try:
        before = Evaluator({**old, "targeting": with_lists_of(old.get("targeting"), gone)})
    except DefinitionError:
        return ()  # nobody has a feature by a definition that can't be evaluated
    after = Evaluator({**new, "targeting": with_lists_of(new["targeting"], gone)})
    had, has = _variants_with(old), _variants_with(new)
    return tuple(probe for probe in probes if before.variant(probe) in had and after.variant(probe) not in has)


def _untried(want: Exposure) -> Definition:
    return {
        "state": "ENABLED",
        "variants": {want.treatment: True, want.control: False},
        "defaultVariant": want.control,
        "targeting": _targeting(want),
        "metadata": {REVISION: want.revision, "pilotage.exposure": want.kind},
    }


def _targeting(want: Exposure) -> Rule:
    if want.kind == "off":
        return {"if": [True, want.control, want.control]}
    full = want.kind == "full"
    rest = want.treatment if full else _granted(want)
    if want.enrolled and not full:
        rest = _if(_listed(want, want.enrolled), want.treatment, rest)
    if want.deny:
        rest = _if(_listed(want, want.deny), want.control, rest)
    if isinstance(rest, str):
        return {"if": [True, rest, rest]}
    return _if({"!": [_key(want)]}, want.treatment if full else want.control, rest)


def _granted(want: Exposure) -> Rule | str:
    """The share, and what earlier steps granted: of the grants whose criteria a user meets, the greatest counts."""
    rest: Rule | str = want.control
    grants = [grant for grant in (Grant(want.share, want.criteria), *want.kept) if grant.share > 0]
    for grant in sorted(grants, key=lambda grant: grant.share):
        admitted = want.treatment if grant.share >= SHARE_TOTAL else _fractional(want, grant.share)
        rule = any_of(grant.criteria)
        rest = admitted if rule is None else _if(rule, admitted, rest)
    return rest


def _fractional(want: Exposure, share: int) -> Rule:
    bucketing = {"cat": [want.seed, _key(want)]}
    return {"fractional": [bucketing, [want.treatment, share], [want.control, SHARE_TOTAL - share]]}


def _listed(want: Exposure, keys: Sequence[str]) -> Rule:
    # A targetingKey is always a text. Other attributes may be numbers, and Go finds 0 in any list of texts.
    key = _key(want) if want.bucket_by == "targetingKey" else {"cat": [_key(want)]}
    return {"in": [key, list(keys)]}


def _key(want: Exposure) -> Rule:
    return {"var": want.bucket_by}


def _if(condition: Rule, then: Rule | str, otherwise: Rule | str) -> Rule:
    """With three arguments always: flagd's schema has no longer form."""
    return {"if": [condition, then, otherwise]}


def _ends(keys: Sequence[str]) -> Sequence[str]:
    return (*keys[:10], *keys[10:][-10:])


def _try_out(definition: Definition, want: Exposure) -> None:
    evaluator = Evaluator(definition)
    listed = (*want.deny[:1], *want.enrolled[:1], "somebody")
    for context in ({}, *(context_of(key, want.bucket_by) for key in listed)):
        if evaluator.variant(context) not in definition["variants"]:
            raise DefinitionError(f"flagd can't evaluate the definition of {want.flag}")


def _variants_with(definition: Mapping[str, Any]) -> set[str]:
    return {name for name, value in definition["variants"].items() if value is True}
