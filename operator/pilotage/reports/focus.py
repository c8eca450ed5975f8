"""Rows in the columns of the FinOps FOCUS specification (1.2 and 1.3), as CSV or as JSON Lines. Pure.

FOCUS-shaped, not conformant: FOCUS describes what a provider bills, and these rows say what a platform's tenants bear.
Columns of ours begin with `x_`. The same rows make the same bytes.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

Cell = str | Decimal | datetime | Mapping[str, object] | None

FOCUS_COLUMNS = (
    *("BillingAccountId", "BillingAccountName", "SubAccountId", "SubAccountName", "SubAccountType"),
    *("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"),
    *("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "BillingCurrency"),
    *("ChargeCategory", "ChargeClass", "ChargeFrequency", "ChargeDescription"),
    *("ServiceCategory", "ServiceSubcategory", "ServiceName"),
    *("ServiceProviderName", "HostProviderName", "ProviderName", "PublisherName", "InvoiceIssuerName"),
    *("SkuId", "SkuMeter", "PricingQuantity", "PricingUnit", "ConsumedQuantity", "ConsumedUnit", "ListUnitPrice"),
    *("ContractedUnitPrice", "RegionId", "ResourceId", "ResourceName", "ResourceType"),
    *("AllocatedMethodId", "AllocatedMethodDetails", "AllocatedResourceId", "AllocatedResourceName", "AllocatedTags"),
    "Tags",
)

OWN_COLUMNS = (
    *("x_TenantId", "x_TenantType", "x_CostCenter", "x_IsolationLevel", "x_Regions", "x_ChargeKind"),
    *("x_PilotRollout", "x_Cohort", "x_BudgetLimit", "x_UsageObserved", "x_Estimated", "x_MonthState"),
)

COLUMNS = FOCUS_COLUMNS + OWN_COLUMNS

Row = Mapping[str, Cell]
"""Cells by column; a column that is missing is null."""

_FORMULA = re.compile(r"[\s\ufeff]*[=+\-@]|\t")
_BREAKS = re.compile(r"[\r\n\0]+")
"""Not every reader of CSV knows that a quoted cell may hold them."""


def to_csv(rows: Iterable[Row]) -> str:
    """The rows with a header line; null is an empty cell, and no text can begin a formula of a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(_csv_cell(row.get(column)) for column in COLUMNS)
    return text.getvalue()


def to_json_lines(rows: Iterable[Row]) -> str:
    """A JSON object for each row, with all columns; numbers are written as exact decimals."""
    return "".join(_json_line(row) + "\n" for row in rows)


def _json_line(row: Row) -> str:
    return "{" + ", ".join(f"{json.dumps(column)}: {_json_cell(row.get(column))}" for column in COLUMNS) + "}"


def _json_cell(cell: Cell) -> str:
    match cell:
        case Decimal():
            return plain(cell)
        case datetime():
            return json.dumps(_time(cell))
        case None | str():
            return json.dumps(cell, ensure_ascii=False)
        case _:
            return json.dumps(dict(cell), ensure_ascii=False, sort_keys=True)


def _csv_cell(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case Decimal():
            return plain(cell)  # a negative number stays one: nobody can put anything else there
        case datetime():
            return _time(cell)
        case str():
            return escaped(cell)
        case _:
            return escaped(json.dumps(dict(cell), ensure_ascii=False, sort_keys=True))


def escaped(text: str) -> str:
    """A text in one line, with `'` before what a spreadsheet would take for a formula, also after leading blanks."""
    line = _BREAKS.sub(" ", text)
    return f"'{line}" if _FORMULA.match(line) else line


def plain(number: Decimal) -> str:
    """Digits without exponent, thousands separators, plus sign or trailing zeros beyond the cent."""
    text = f"{number:f}"
    whole, dot, rest = text.partition(".")
    rest = re.sub(r"0+$", "", rest) if len(rest) > 2 else rest  # noqa: PLR2004 - cents
    rest = rest.ljust(2, "0") if dot and rest else rest
    return f"{whole}.{rest}" if rest else whole


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
