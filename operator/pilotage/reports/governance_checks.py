"""What a governance report checks: each requirement is looked at when the report is written, on the API server.

Nothing is taken for granted. What could not be looked at, for want of rights or data, is not checked, which is not met
either; and each answer carries what was seen.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pilotage.kube import Kube, KubeError
from pilotage.reports.governance import Check, Verdict
from pilotage.resources.tenant import TenantQuota
from pilotage.tenancy.access import bindings
from pilotage.tenancy.accounts import SETTLING, Account
from pilotage.tenancy.compute import limits
from pilotage.tenancy.cost import Month
from pilotage.tenancy.isolation import policies
from pilotage.tenancy.objects import Wanted

_NOT_FOUND = 404
_FRESH = timedelta(minutes=15)

Finding = tuple[str, Verdict, str]
"""Requirement, verdict, evidence."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What checks are made against.

    Attributes:
        kube: with the rights of who writes the report.
        tenants: all TenantQuotas.
        accounts: of the month.
        month: the month.
        system: the operator's namespace.
        roles: what the names of the chart's roles for tenants begin with.
        now: the time.
    """

    kube: Kube
    tenants: Sequence[TenantQuota]
    accounts: Mapping[str, Account]
    month: Month
    system: str
    roles: str
    now: datetime


async def check_all(around: Surroundings) -> tuple[Check, ...]:
    """All checks of all tenants."""
    found: list[Check] = []
    for tenant in around.tenants:
        told = [look(tenant, around) for look in (_owner, _status, _usage, _budget, _account)]
        told += [await _asked(ask, tenant, around) for ask in (_namespaces, _objects, _own_quota)]
        found += [Check(tenant.metadata.name, *each) for each in told]
    return tuple(found)


Ask = Callable[[TenantQuota, Surroundings], Awaitable[Finding]]
_REQUIREMENTS: dict[str, str] = {
    "_namespaces": "its namespaces exist and are its alone",
    "_objects": "access, compute limits and network are as declared",
    "_own_quota": "its people can't raise its quota nor write its account",
}


async def _asked(ask: Ask, tenant: TenantQuota, around: Surroundings) -> Finding:
    requirement = _REQUIREMENTS[getattr(ask, "__name__", "")]
    try:
        return await ask(tenant, around)
    except KubeError as error:
        return requirement, "not checked", f"the API server was asked and said {error.reason}"


def _owner(tenant: TenantQuota, _: Surroundings) -> Finding:
    owner = tenant.spec.owner
    said = {"email": owner.email, "team": owner.team, "costCenter": owner.cost_center}
    missing = [name for name, text in said.items() if not text]
    evidence = f"spec.owner lacks {', '.join(missing)}" if missing else f"{owner.email}, {owner.cost_center}"
    return "somebody answers for it and for its cost", "not met" if missing else "met", evidence


def _status(tenant: TenantQuota, around: Surroundings) -> Finding:
    requirement = "the operator watches it"
    told, generation = tenant.status.observed_generation, tenant.metadata.generation
    at = tenant.status.refreshed_time
    if at is None:
        return requirement, "not met", "status was never written"
    age = around.now - at
    if told != generation:
        return requirement, "not met", f"status speaks of generation {told}, the spec is {generation}"
    ready = next((each for each in tenant.status.conditions if each.type == "Ready"), None)
    if ready is None or ready.status != "True":
        return requirement, "not met", f"condition Ready: {ready.reason if ready else 'absent'}"
    return requirement, "met", f"condition Ready at generation {generation}, written {_age(age)} ago"


def _usage(tenant: TenantQuota, around: Surroundings) -> Finding:
    requirement = "its usage is known and within its limits"
    if not tenant.spec.resources:
        return requirement, "not checked", "spec.resources is empty: nothing is measured"
    told = {each.name: each for each in tenant.status.resources}
    unknown = [each.name for each in tenant.spec.resources if not (told.get(each.name) and told[each.name].used)]
    if unknown:
        return requirement, "not checked", f"usage is not known of {', '.join(unknown)}"
    over = [each for each in told.values() if each.level == "hard"]
    if over:
        return requirement, "not met", "; ".join(f"{each.name} {each.percent} %" for each in over)
    oldest = min((each.observed_time for each in told.values() if each.observed_time), default=around.now)
    if around.now - oldest > _FRESH:
        return requirement, "not checked", f"the oldest sample is {_age(around.now - oldest)} old"
    fullest = ", ".join(f"{each.name} {each.percent} %" for each in told.values())
    return requirement, "met", f"{fullest}; oldest sample {_age(around.now - oldest)} ago"


def _budget(tenant: TenantQuota, _: Surroundings) -> Finding:
    requirement = "its cost keeps to its budget"
    cost = tenant.status.cost
    if cost is None or not cost.budget:
        return requirement, "not checked", "no budget is declared" if cost else "its cost is not counted"
    if not cost.forecast:
        return requirement, "not checked", "there is no forecast yet"
    evidence = f"{cost.month_to_date} spent, {cost.forecast} forecast of {cost.budget} {cost.currency}"
    if float(cost.forecast) > float(cost.budget) or float(cost.month_to_date or 0) > float(cost.budget):
        return requirement, "not met", evidence
    return requirement, "not checked" if cost.message else "met", "; ".join(filter(None, (evidence, cost.message)))


def _account(tenant: TenantQuota, around: Surroundings) -> Finding:
    requirement = "every day of the month is accounted for"
    account = around.accounts.get(tenant.metadata.name)
    if account is None:
        return requirement, "not checked", f"there is no account of {around.month}"
    created = tenant.metadata.creation_timestamp
    since = created.date() if created else around.month.days[0]
    days = [day for day in around.month.days if since <= day < around.now.date()]
    kept = {day.date: day for day in account.days}
    missing = [str(day) for day in days if day not in kept]
    unknown = [f"{day} {line.meter}" for day in days if day in kept for line in kept[day].lines if line.amount is None]
    if missing or unknown:
        return requirement, "not met", f"not known: {', '.join([*missing, *unknown][:5])}"
    overdue = around.now > around.month.ends_at + SETTLING + timedelta(hours=1) and account.closed_time is None
    if overdue:
        return requirement, "not met", "the month is over and was not closed"
    return requirement, "met", f"{len(days)} whole days counted"


async def _namespaces(tenant: TenantQuota, around: Surroundings) -> Finding:
    requirement = _REQUIREMENTS["_namespaces"]
    wrong, seen = [], []
    for name in tenant.spec.namespaces:
        claimed = [t.metadata.name for t in around.tenants if name in t.spec.namespaces and t is not tenant]
        found = await _read(around.kube, f"/api/v1/namespaces/{name}")
        if found is None:
            wrong.append(f"{name} does not exist")
        elif claimed:
            wrong.append(f"{name} is claimed by {', '.join(claimed)} too")
        else:
            seen.append(f"{name} (uid {found['metadata']['uid'][:8]})")
    if not tenant.spec.namespaces:
        return requirement, "not checked", "spec.namespaces is empty"
    return requirement, "not met" if wrong else "met", "; ".join(wrong) or ", ".join(seen)


async def _objects(tenant: TenantQuota, around: Surroundings) -> Finding:
    """Each object that the TenantQuota asks for is read and compared with what it asks for."""
    requirement = _REQUIREMENTS["_objects"]
    wanted = [each for name in tenant.spec.namespaces for each in _wanted(tenant, name, around)]
    if not wanted:
        return requirement, "not checked", "the TenantQuota asks for none of them"
    wrong = []
    for each in wanted:
        title = f"{each.sort.kind} {each.namespace}/{each.name}"
        found = await _read(around.kube, each.path)
        if found is None:
            wrong.append(f"{title} is missing")
        elif not all(_same(found.get(part), value, exact=part in each.exact) for part, value in each.content.items()):
            wrong.append(f"{title} differs from what is declared")
    kinds = {each.sort.kind: sum(w.sort.kind == each.sort.kind for w in wanted) for each in wanted}
    evidence = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) + " read and as declared"
    return requirement, "not met" if wrong else "met", "; ".join(wrong[:5]) or evidence


def _wanted(tenant: TenantQuota, namespace: str, around: Surroundings) -> tuple[Wanted, ...]:
    spec = tenant.spec
    return (
        *bindings(spec, namespace, roles=around.roles),
        *limits(spec, namespace),
        *policies(spec, namespace, namespaces=spec.namespaces, system=around.system),
    )


async def _own_quota(tenant: TenantQuota, around: Surroundings) -> Finding:
    """The API server is asked what the tenant's people and applications may do."""
    requirement = _REQUIREMENTS["_own_quota"]
    access = tenant.spec.access
    accounts = [f"system:serviceaccount:{each.namespace}:{each.name}" for each in access.applications]
    subjects: list[dict[str, Any]] = [{"user": user} for user in (*access.users, *accounts)]
    subjects += [{"user": "somebody", "groups": [group, "system:authenticated"]} for group in access.groups]
    if not subjects:
        return requirement, "not checked", "spec.access names nobody"
    may = []
    for subject in subjects:
        for attributes in _FORBIDDEN:
            place = {"namespace": around.system} if attributes["resource"] == "configmaps" else {}
            if await _may(around.kube, subject, {**attributes, **place}):
                who = (subject.get("groups") or [subject["user"]])[0]
                may.append(f"{who} may {attributes['verb']} {attributes['resource']}")
    asked = len(subjects) * len(_FORBIDDEN)
    evidence = f"{asked} SubjectAccessReviews of {len(subjects)} subjects, all denied"
    return requirement, "not met" if may else "met", "; ".join(may) or evidence


_QUOTA = {"group": "pilotage.dev", "resource": "tenantquotas"}
_FORBIDDEN: tuple[dict[str, str], ...] = (
    {**_QUOTA, "verb": "create"},
    {**_QUOTA, "verb": "update"},
    {**_QUOTA, "verb": "patch"},
    {**_QUOTA, "verb": "patch", "subresource": "status"},
    {"group": "", "resource": "configmaps", "verb": "create"},
    {"group": "", "resource": "configmaps", "verb": "patch"},
)


async def _may(kube: Kube, subject: Mapping[str, Any], attributes: Mapping[str, str]) -> bool:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {**subject, "resourceAttributes": dict(attributes)},
    }
    answer = await kube.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(answer["status"].get("allowed"))


async def _read(kube: Kube, path: str) -> dict[str, Any] | None:
    try:
        return await kube.get(path)
    except KubeError as error:
        if error.status != _NOT_FOUND:
            raise
        return None


def _same(found: Any, wanted: Any, *, exact: bool) -> bool:
    """Whether what is wanted is there, and nothing else where that matters."""
    if isinstance(wanted, Mapping):
        if not isinstance(found, Mapping) or (exact and set(found) != set(wanted)):
            return False
        return all(name in found and _same(found[name], value, exact=exact) for name, value in wanted.items())
    if isinstance(wanted, list):
        same_length = isinstance(found, list) and len(found) == len(wanted)
        return same_length and all(_same(a, b, exact=exact) for a, b in zip(found, wanted, strict=True))
    return bool(found == wanted)


def _age(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    return f"{minutes} min" if minutes else f"{max(int(age.total_seconds()), 0)} s"
