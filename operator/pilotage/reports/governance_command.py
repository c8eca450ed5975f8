"""`pilotage report governance`: reads tenants, rollouts and accounts, and looks at what is required of them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TypeVar

from pilotage.kube import Kube
from pilotage.reports.chargeback_command import read_accounts
from pilotage.reports.governance import Governance, make_governance
from pilotage.reports.governance_checks import Surroundings, check_all
from pilotage.resources.base import Resource
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.tenant import TenantQuota
from pilotage.tenancy.cost import Month

MONTHS = 12
"""So far back the cost of steps is told."""

_CHUNK = 500

Kind = TypeVar("Kind", bound=Resource)


async def collect_governance(
    kube: Kube, *, organization: str, month: Month, system: str, roles: str, now: datetime
) -> Governance:
    """Read everything, and look at what is required.

    Args:
        kube: with the rights of who writes the report.
        organization: who runs the platform.
        month: that cost is told of.
        system: the operator's namespace.
        roles: what the names of the chart's roles for tenants begin with.
        now: the time.

    Raises:
        KubeError: something could not be read.
        AccountError: an account makes no sense.
    """
    tenants = await _all(kube, TenantQuota)
    rollouts = await _all(kube, PilotRollout)
    accounts = [account for each in _months(month) for account in await read_accounts(kube, system, each)]
    of_month = {a.bearer.name: a for a in accounts if a.month == str(month) and a.bearer.kind == "tenant"}
    around = Surroundings(kube, tenants, of_month, month, system, roles, now)
    return make_governance(
        organization=organization,
        month=month,
        written_at=now,
        tenants=tenants,
        rollouts=rollouts,
        accounts=accounts,
        checks=await check_all(around),
    )


def _months(last: Month) -> Iterator[Month]:
    """The last months, the newest first."""
    for _ in range(MONTHS):
        yield last
        last = Month.of(last.begins_at - timedelta(days=1))


async def _all(kube: Kube, kind: type[Kind]) -> tuple[Kind, ...]:
    found: list[Kind] = []
    query = {"limit": str(_CHUNK)}
    while True:
        page = await kube.get(kind.path(), query=query)
        found += [kind.model_validate(item) for item in page["items"]]
        token = page["metadata"].get("continue")
        if not token:
            return tuple(found)
        query = {**query, "continue": token}
