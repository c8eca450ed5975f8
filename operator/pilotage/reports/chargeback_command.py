"""`pilotage report chargeback`: reads a month's accounts from Kubernetes and writes who bears what."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pilotage.kube import Kube
from pilotage.reports.chargeback import Organization, rows_of
from pilotage.reports.focus import to_csv, to_json_lines
from pilotage.tenancy.accounts import Account, read_account
from pilotage.tenancy.charges import charges_of
from pilotage.tenancy.cost import Month

Format = Literal["csv", "json"]

_SELECTOR = "pilotage.dev/account,pilotage.dev/month={month}"
_CHUNK = 50


class NoAccountsError(Exception):
    """There is no account of the month."""


@dataclass(frozen=True, slots=True)
class Written:
    """The report, and what a reader should know of it.

    Attributes:
        text: the file.
        rows: how many there are.
        totals: by currency, what the rows sum to.
        notes: what is not final or not known, a sentence each.
    """

    text: str
    rows: int
    totals: dict[str, Decimal]
    notes: tuple[str, ...]


async def read_accounts(kube: Kube, namespace: str, month: Month) -> tuple[Account, ...]:
    """All accounts of a month.

    Raises:
        KubeError: they could not be read.
        AccountError: one makes no sense.
    """
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    query = {"labelSelector": _SELECTOR.format(month=month), "limit": str(_CHUNK)}
    found: list[Account] = []
    while True:
        page = await kube.get(path, query=query)
        found += [read_account(item.get("data") or {}) for item in page["items"]]
        token = page["metadata"].get("continue")
        if not token:
            return tuple(found)
        query = {**query, "continue": token}


async def chargeback(kube: Kube, *, namespace: str, month: Month, form: Format, organization: Organization) -> Written:
    """The report of a month.

    Raises:
        KubeError: accounts could not be read.
        AccountError: an account makes no sense.
        NoAccountsError: there is none.
    """
    accounts = await read_accounts(kube, namespace, month)
    if not accounts:
        msg = (
            f"there is no account of {month} in the namespace {namespace}: say with --accounts where the operator runs"
        )
        raise NoAccountsError(msg)
    return written(accounts, form, organization)


def written(accounts: Sequence[Account], form: Format, organization: Organization) -> Written:
    """The report of these accounts."""
    charges = charges_of(accounts)
    rows = rows_of(charges, organization)
    totals: dict[str, Decimal] = {}
    for charge in charges:
        currency = charge.account.currency
        totals[currency] = totals.get(currency, Decimal(0)) + charge.cost
    text = to_csv(rows) if form == "csv" else to_json_lines(rows)
    return Written(text, len(rows), totals, tuple(_notes(accounts)))


def _notes(accounts: Sequence[Account]) -> list[str]:
    notes = []
    if any(account.closed_time is None for account in accounts):
        notes.append("the month is not closed: its rows may still change")
    lines = [line for account in accounts for day in account.days for line in day.lines]
    unknown = sum(line.amount is None and line.costs for line in lines)
    if unknown:
        notes.append(f"{unknown} rows are 0 because their usage is not known; corrections charge it once it is")
    return notes
