"""Targeting: an exposure as the definition of a flag, in flagd's format.

What decides, in this order: no bucketing key (no feature, until the exposure is full), the deny list, the enrolled
list, then the greatest of the shares whose criteria the user meets, in slots: treatment, rest, control, holdback. Three
things never change while a rollout lives, because each of them would exchange the users who are in: the seed, the
bucketing attribute, and the order of the slots.

The flag stays ENABLED and keeps a targeting rule even when it is off: a disabled flag would serve the default of the
application's code, and a flag without a rule would be cached by clients that ask by RPC.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pilotage.delivery.leases import lease_of, until_lease, without_lease
from pilotage.delivery.probes import context_of, listed_in, with_lists_of
from pilotage.rollout.arms import slots_of
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
    for part in (replace(want, lease_until=None, fallback=None), *([want.fallback] if want.fallback else ())):
        _try_out(_untried(part), part)
    return definition


def shortfall(served: Mapping[str, Any] | None, want: Exposure, keys: Sequence[str]) -> str:
    """What a served definition lacks to bring the exposure about, in one sentence; nothing if it does.

    Its lease is left out of it: it is the same exposure for a shorter time (`is_outdated`).

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
    want, served = replace(want, lease_until=None, fallback=None), without_lease(served)
    if served == _untried(want):  # as nearly always: to try it out costs much more than the comparison
        return ""
    definition = definition_of(want)
    try:
        evaluator, meant = Evaluator(served), Evaluator(definition)
    except DefinitionError:
        return f"the flag {want.flag} is served with a definition that evaluators refuse"
    contexts = [
        context_of(key, want.bucket_by)
        for key in (*_ends(want.deny), *_ends(want.enrolled), *_ends(want.controls), *keys)
    ]
    wrong = sum(evaluator.variant(context) != meant.variant(context) for context in contexts)
    return f"{wrong} of {len(contexts)} probed users get another variant of {want.flag} than is meant" if wrong else ""


def is_outdated(served: Mapping[str, Any] | None, want: Exposure) -> bool:
    """Whether what is served has another lease than the exposure, or another fallback."""
    return served is not None and _leased(served) != _leased(_untried(want))


def is_taken_back(served: Mapping[str, Any] | None, want: Exposure) -> bool:
    """Whether what is served is our own "off for everybody", of a later revision than the exposure's."""
    revision = revision_of(served)
    if revision is None or revision <= want.revision:
        return False
    return served == _untried(replace(want, kind="off", revision=revision, lease_until=None, fallback=None))


def lost_by(old: Mapping[str, Any], new: Mapping[str, Any], probes: Sequence[Context]) -> tuple[Context, ...]:
    """The probes that have the feature by the old definition and would lose it by the new one.

    Args:
        old: the definition in force.
        new: the definition that shall follow it.
        probes: contexts made by `probes_for` for these two: they hold every user who is listed no longer.
    """
    old, new = without_lease(old), without_lease(new)
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
        "variants": {want.treatment: True, want.control: False} | ({want.rest: False} if want.rest else {}),
        "defaultVariant": want.outside,
        "targeting": until_lease(
            _targeting(want), want.lease_until, _targeting(want.fallback) if want.fallback else None
        ),
        "metadata": {REVISION: want.revision, "pilotage.exposure": want.kind},
    }


def _targeting(want: Exposure) -> Rule:
    if want.kind == "off":
        return {"if": [True, want.outside, want.outside]}
    full = want.kind == "full"
    rest = _granted(want, want.outside)
    if want.controls and not full:
        rest = _if(_listed(want, want.controls), _granted(want, want.control), rest)
    if want.enrolled and rest != want.treatment:
        rest = _if(_listed(want, want.enrolled), want.treatment, rest)
    if want.deny:
        rest = _if(_listed(want, want.deny), want.outside, rest)
    if isinstance(rest, str):
        return {"if": [True, rest, rest]}
    return _if({"!": [_key(want)]}, want.treatment if full else want.outside, rest)


def _granted(want: Exposure, others: str) -> Rule | str:
    """The share, and what earlier steps granted: of the grants whose criteria a user meets, the greatest counts.

    Args:
        want: the exposure.
        others: the variant of those who are neither treatment nor control by their bucket.
    """
    if want.kind == "full":
        return _in_slots(want, Grant(SHARE_TOTAL - want.held_back, (), want.control_share), others)
    rest: Rule | str = others
    grants = [grant for grant in (Grant(want.share, want.criteria, want.control_share), *want.kept) if grant.share > 0]
    for grant in sorted(grants, key=lambda grant: grant.share):
        admitted = _in_slots(want, grant, others)
        rule = any_of(grant.criteria)
        rest = admitted if rule is None else _if(rule, admitted, rest)
    return rest


def _in_slots(want: Exposure, grant: Grant, others: str) -> Rule | str:
    slots = slots_of(
        grant.share,
        control=grant.control,
        held_back=want.held_back,
        treatment=want.treatment,
        compared=want.control,
        others=others,
    )
    if len(slots) == 1:
        return slots[0].variant
    bucketing = {"cat": [want.seed, _key(want)]}
    return {"fractional": [bucketing, *([slot.variant, slot.weight] for slot in slots)]}


def _listed(want: Exposure, keys: Sequence[str]) -> Rule:
    # A targetingKey is always a text. Other attributes may be numbers, and Go finds 0 in any list of texts.
    key = _key(want) if want.bucket_by == "targetingKey" else {"cat": [_key(want)]}
    return {"in": [key, list(keys)]}


def _key(want: Exposure) -> Rule:
    return {"var": want.bucket_by}


def _if(condition: Rule, then: Rule | str, otherwise: Rule | str) -> Rule:
    """With three arguments always: flagd's schema has no longer form."""
    return {"if": [condition, then, otherwise]}


def _leased(definition: Mapping[str, Any]) -> tuple[int | None, Any]:
    return lease_of(definition), definition.get("targeting") if lease_of(definition) is not None else None


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
