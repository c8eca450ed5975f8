"""Accounts on the API server: a ConfigMap for each tenant and month, in the operator's own namespace.

They are not in the TenantQuota's status, which is read and written every minute by others and would carry a month of
days each time. No TenantQuota owns them: what was charged must be known after the tenant is gone. In the operator's own
namespace no tenant can write them. Nothing here deletes them: how long they are kept is the platform team's to say.
"""

import asyncio
from dataclasses import dataclass

from pilotage.controller.rollouts import Leadership
from pilotage.kube import Kube, KubeError
from pilotage.tenancy.accounts import Account, read_account, write_account
from pilotage.tenancy.cost import Month

MANAGER = "pilotage-costs"
ACCOUNT_LABEL = "pilotage.dev/account"
MONTH_LABEL = "pilotage.dev/month"
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Stored:
    """An account, and the resourceVersion that it was read at."""

    account: Account
    version: str


class AccountStore:
    """Reads and writes accounts.

    Args:
        kube: the API server.
        leadership: only the leader writes.
        namespace: the operator's own.
    """

    def __init__(self, kube: Kube, leadership: Leadership, namespace: str) -> None:
        self._kube = kube
        self._leadership = leadership
        self._path = f"/api/v1/namespaces/{namespace}/configmaps"

    async def read(self, kind: str, name: str, month: Month) -> Stored | None:
        """The account; None if there is none.

        Raises:
            KubeError: it could not be read.
            AccountError: it makes no sense.
        """
        try:
            found = await self._kube.get(f"{self._path}/{object_name(kind, name, month)}")
        except KubeError as error:
            if error.status != _NOT_FOUND:
                raise
            return None
        return Stored(read_account(found.get("data") or {}), found["metadata"]["resourceVersion"])

    async def write(self, account: Account, before: Stored | None) -> None:
        """Keep the account; nothing is sent if it is as it was.

        Raises:
            KubeError: it was not written; `Conflict` or `AlreadyExists` if somebody wrote since it was read.
            AccountError: it is too large.
            NotLeadingError: this replica does not lead.
        """
        data: dict[str, str | None] = dict(write_account(account))
        known = write_account(before.account) if before is not None else {}
        if data == known:
            return
        self._leadership.require()
        async with asyncio.timeout(self._leadership.guard_seconds):
            if before is None:
                await self._kube.create(self._path, _body(account, data))
                return
            changed = {key: text for key, text in data.items() if known.get(key) != text}
            body = {
                "metadata": {"resourceVersion": before.version},
                "data": changed | dict.fromkeys(known.keys() - data),
            }
            path = f"{self._path}/{_name(account)}"
            await self._kube.patch(path, body, content_type="merge", field_manager=MANAGER)


def object_name(kind: str, name: str, month: Month) -> str:
    """Of the ConfigMap; kinds keep a tenant and a service of one name apart."""
    return f"pilotage-cost.{kind}.{name}.{month}"


def _name(account: Account) -> str:
    return object_name(account.bearer.kind, account.bearer.name, account.period)


def _body(account: Account, data: dict[str, str | None]) -> dict[str, object]:
    labels = {
        "app.kubernetes.io/managed-by": "pilotage",
        ACCOUNT_LABEL: account.bearer.kind,
        MONTH_LABEL: account.month,
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": _name(account), "labels": labels},
        "data": data,
    }
