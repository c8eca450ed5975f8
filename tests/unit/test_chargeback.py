"""The chargeback report: what must hold of its rows whatever the accounts are, and how they are written."""

import csv
import io
import json
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilotage.reports.chargeback import Organization, rows_of
from pilotage.reports.focus import COLUMNS, FOCUS_COLUMNS, OWN_COLUMNS, escaped, plain, to_csv, to_json_lines
from pilotage.tenancy.accounts import (
    LARGEST_BYTES,
    MOST_CORRECTIONS,
    MOST_LINES,
    MOST_PRESENCES,
    SETTLING,
    Account,
    AccountError,
    Bearer,
    Correction,
    Day,
    Line,
    Presence,
    Split,
    read_account,
    write_account,
)
from pilotage.tenancy.allocation import UNALLOCATED, apportion, carried_cents, shares_by_weights
from pilotage.tenancy.charges import charges_of, total_cents
from pilotage.tenancy.cost import Month, from_cents

GOLDEN = Path(__file__).parents[1] / "golden" / "chargeback"
CLOSED_AT = datetime(2026, 12, 4, tzinfo=UTC)
AMOUNTS = st.none() | st.decimals(0, 5000, places=10)
METERS = ("calls", "qps", "storage")


@st.composite
def tenants(draw: st.DrawFn, name: str, *, source: str = "rates") -> Account:
    """A tenant's month with some days and meters, some of them unknown; it may begin and end within the month."""
    month = Month(2026, draw(st.sampled_from([2, 11, 12]))) if name == "any" else Month(2026, 11)
    first = draw(st.integers(0, month.length - 1))
    days = month.days[first : first + draw(st.integers(0, 12))]
    found = Account(bearer=Bearer(name=name), month=str(month))
    for day in days:
        meters = draw(st.lists(st.sampled_from(METERS), max_size=3, unique=True))
        lines = []
        for meter in meters:
            amount = draw(AMOUNTS)
            quantity = None if amount is None else draw(st.decimals(0, 10**9, places=6))
            line = {"meter": meter, "amount": amount, "quantity": quantity, "source": source}
            lines.append(Line.model_validate(line))
        found = found.with_day(Day(date=day, lines=tuple(lines)))
    return found


def common(name: str, kind: str, amounts: Mapping[date, Decimal], split: Split | None = None) -> Account:
    bearer = Bearer.model_validate({"name": name, "kind": kind})
    days = tuple(Day(date=day, lines=(Line(meter="cost", amount=amount),)) for day, amount in sorted(amounts.items()))
    return Account(bearer=bearer, month="2026-11", days=days, split=split)


DAYS = Month(2026, 11).days
POOLS = st.dictionaries(st.sampled_from(DAYS), st.decimals(0, 10**6, places=10), max_size=12)


@settings(max_examples=40)
@given(tenants("any"))
def test_a_tenants_rows_sum_to_its_total_on_every_day_and_none_is_negative(account: Account) -> None:
    charges = charges_of([account])
    exact, told = Decimal(0), 0
    for day in account.days:
        exact += sum((line.amount for line in day.lines if line.amount), Decimal(0))
        cents = [charge.cents for charge in charges if charge.day == day.date]
        assert all(each >= 0 for each in cents)
        told += sum(cents)
        assert abs(from_cents(told) - exact) <= Decimal("0.005")
    assert told == total_cents(account)


@settings(max_examples=40)
@given(tenants("any"))
def test_no_meter_is_off_by_a_whole_cent_for_each_other_meter(account: Account) -> None:
    charges = charges_of([account])
    for meter in METERS:
        lines = [line for day in account.days for line in day.lines if line.meter == meter]
        exact = sum((line.amount for line in lines if line.amount), Decimal(0))
        told = from_cents(sum(charge.cents for charge in charges if charge.meter == meter))
        assert abs(told - exact) <= Decimal("0.01") * len(METERS)


@settings(max_examples=40)
@given(a=tenants("a"), b=tenants("b"), amounts=POOLS, storage=st.integers(0, 100))
def test_a_shared_service_is_split_to_the_cent_and_what_cant_be_split_is_nobodys(
    a: Account, b: Account, amounts: dict[date, Decimal], storage: int
) -> None:
    weights = {"storage": Decimal(storage) / 100, "qps": 1 - Decimal(storage) / 100}
    service = common("vector-db", "service", amounts, Split(tenants=("a", "b"), weights=weights))
    charges = [charge for charge in charges_of([a, b, service]) if charge.account is service]
    assert sum(charge.cents for charge in charges) == total_cents(service)
    for day in service.days:
        of = [charge for charge in charges if charge.day == day.date]
        assert sum((charge.share or Fraction(0) for charge in of), Fraction(0)) == 1
        assert [charge.bearer for charge in of].count(UNALLOCATED) == 1
        assert all(charge.cents >= 0 for charge in of)


@settings(max_examples=40)
@given(a=tenants("a", source="cluster"), b=tenants("b"), amounts=POOLS)
def test_what_tenants_leave_of_a_cluster_is_a_row_of_nobodys(
    a: Account, b: Account, amounts: dict[date, Decimal]
) -> None:
    cluster = common("cluster", "cluster", amounts)
    charges = charges_of([a, b, cluster])
    of_cluster = [
        charge
        for charge in charges
        if charge.account is cluster or (charge.account is a and charge.day in {day.date for day in cluster.days})
    ]
    assert sum(charge.cents for charge in of_cluster) == total_cents(cluster)
    assert [c.day for c in charges if c.bearer == UNALLOCATED] == [day.date for day in cluster.days]


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.decimals(0, 10**9, places=6) | st.none())))
def test_shares_sum_to_one_whoever_uses_what(used: list[tuple[str, Decimal | None]]) -> None:
    weights = {"x": Decimal("0.3"), "y": Decimal("0.7")}
    by_tenant: dict[str, dict[str, Decimal | None]] = {
        name: {"x": amount, "y": Decimal(n)} for n, (name, amount) in enumerate(used)
    }
    found = shares_by_weights(by_tenant, weights)
    assert sum(found.values(), Fraction(0)) == 1
    assert all(share >= 0 for share in found.values())


def test_shares_are_those_of_the_published_weights() -> None:
    used: dict[str, dict[str, Decimal | None]] = {
        "search": {"storage": Decimal(900), "qps": Decimal(50)},
        "recs": {"storage": Decimal(100), "qps": Decimal(150)},
    }
    found = shares_by_weights(used, {"storage": Decimal("0.5"), "qps": Decimal("0.5")})
    assert found == {"search": Fraction(23, 40), "recs": Fraction(17, 40), UNALLOCATED: 0}


def test_a_tenant_whose_usage_is_unknown_makes_nobody_else_pay_more() -> None:
    used: dict[str, dict[str, Decimal | None]] = {
        "search": {"storage": Decimal(900), "qps": Decimal(50)},
        "recs": {"storage": None, "qps": Decimal(50)},
    }
    found = shares_by_weights(used, {"storage": Decimal("0.5"), "qps": Decimal("0.5")})
    assert found == {"search": Fraction(1, 4), "recs": Fraction(1, 4), UNALLOCATED: Fraction(1, 2)}


@pytest.mark.parametrize("weights", [{}, {"a": Decimal("0.9")}, {"a": Decimal(2), "b": Decimal(-1)}])
def test_weights_that_dont_sum_to_one_are_refused(weights: dict[str, Decimal]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        shares_by_weights({}, weights)


@given(st.lists(st.decimals(0, 10**5, places=10)))
def test_running_sums_in_cents_are_the_rounded_running_sums(amounts: list[Decimal]) -> None:
    told, exact = 0, Decimal(0)
    for amount, cents in zip(amounts, carried_cents(amounts), strict=True):
        told, exact = told + cents, exact + amount
        assert abs(from_cents(told) - exact) <= Decimal("0.005")
        assert cents >= 0


def test_a_third_of_a_cent_a_day_is_ten_cents_a_month() -> None:
    assert sum(carried_cents([Decimal(1) / 300] * 30)) == 10
    assert apportion([(1, {"a": Fraction(1, 3), "b": Fraction(2, 3)})] * 3) == [
        {"a": 0, "b": 1},
        {"a": 1, "b": 0},
        {"a": 0, "b": 1},
    ]


def sample() -> list[Account]:
    """Two tenants that share a database, in a cluster that is measured; one begins in the month."""
    search = Bearer(
        name="search-prod",
        uid="5e0c7a0e",
        display_name="Product Search",
        type="application",
        cost_center="CC-1234",
        team="Search & Discovery",
        owner="search-team@company.com",
        isolation="dedicated-shard",
        regions=("us-east-1", "eu-west-1"),
    )
    evil = Bearer(name="sandbox", display_name='=HYPERLINK("evil")', team="@SUM(1+1)", cost_center="-2+3")
    accounts = [
        Account(bearer=search, month="2026-11", budget=Decimal(50_000)),
        Account(bearer=evil, month="2026-11", budget=Decimal(1000)),
    ]
    for number, day in enumerate(DAYS[:3]):
        qps = Line(
            meter="qps",
            category="compute",
            quantity=Decimal(9000 + number),
            price=Decimal("0.01"),
            amount=Decimal(9000 + number) / 3000,
            unit="QPS",
            observed=Decimal("0.75") if number == 1 else Decimal(1),
        )
        storage = Line(
            meter="storage",
            category="storage",
            quantity=Decimal(4 * 2**40),
            per=Decimal(2**30),
            price=Decimal("0.10"),
            amount=Decimal(4096) / 300,
            unit="GiB",
        )
        presence = Presence(rollout="shop/semantic-search", step="week-1", seconds=86_400, user_seconds=4_320_000)
        accounts[0] = accounts[0].with_day(Day(date=day, lines=(qps, storage), presences=(presence,)))
        if number:
            pods = Line(meter="pods", category="compute", amount=Decimal("0.333333"), source="cluster")
            seen = None if number == 2 else Decimal(2**40)
            unknown = Line(meter="storage", category="storage", quantity=seen, price=Decimal("0.10"))
            accounts[1] = accounts[1].with_day(Day(date=day, lines=(pods, unknown)))
    split = Split(tenants=("search-prod", "sandbox"), weights={"storage": Decimal(1)})
    hundred = dict.fromkeys(DAYS[:3], Decimal(100) / 3)
    return [*accounts, common("vector-db", "service", hundred, split), common("cluster", "cluster", hundred)]


def as_csv(accounts: list[Account]) -> str:
    return to_csv(rows_of(charges_of(accounts), Organization()))


def as_json(accounts: list[Account]) -> str:
    return to_json_lines(rows_of(charges_of(accounts), Organization()))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_the_report_is_the_golden_file_to_the_byte(form: str) -> None:
    text = as_csv(sample()) if form == "csv" else as_json(sample())
    file = GOLDEN / f"2026-11.{form}"
    assert text == file.read_text(encoding="utf-8")


def test_another_run_makes_the_same_bytes_in_whatever_order_accounts_come() -> None:
    for write in (as_csv, as_json):
        assert write(sample()) == write(sample()[::-1])
        kept = [read_account(dict(reversed(write_account(account).items()))) for account in sample()]
        assert write(sample()) == write(kept)


def test_csv_and_json_say_the_same() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(sample()))))
    documents = [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in as_json(sample()).splitlines()]
    assert len(rows) == len(documents)
    for row, document in zip(rows, documents, strict=True):
        assert list(document) == list(COLUMNS)
        assert Decimal(row["BilledCost"]) == document["BilledCost"]
        assert {key for key, cell in row.items() if not cell} == {k for k, v in document.items() if v in (None, "")}


def test_columns_are_those_of_focus_first_and_then_ours() -> None:
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", column) for column in FOCUS_COLUMNS)
    assert all(re.fullmatch(r"x_[A-Z][A-Za-z]+", column) for column in OWN_COLUMNS)
    assert len(set(COLUMNS)) == len(COLUMNS)


_MANDATORY = (
    *("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "BillingAccountId", "BillingAccountName"),
    *("BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd"),
    *("ChargeCategory", "ChargeDescription", "InvoiceIssuerName", "ProviderName", "PublisherName"),
    *("ServiceProviderName", "ServiceCategory", "ServiceName"),
)


def test_no_cell_that_focus_requires_is_null() -> None:
    for document in map(json.loads, as_json(sample()).splitlines()):
        assert not [column for column in _MANDATORY if document[column] in (None, "")]
        assert document["ChargePeriodStart"] < document["ChargePeriodEnd"] <= document["BillingPeriodEnd"]


_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_TEXT = st.text(max_size=12) | st.sampled_from(["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n@x", "'=1"])


@given(name=_TEXT, team=_TEXT, reason=_TEXT, step=_TEXT)
def test_no_text_becomes_a_formula_of_a_spreadsheet(name: str, team: str, reason: str, step: str) -> None:
    bearer = Bearer(name="a", display_name=name, team=team, cost_center=team, owner=name)
    presence = Presence(rollout="shop/x", step=step, seconds=1, user_seconds=1)
    day = Day(date=DAYS[0], lines=(Line(meter="qps", amount=Decimal(1)),), presences=(presence,))
    found = Account(bearer=bearer, month="2026-11").with_day(day).closed(CLOSED_AT)
    negative = Correction(name="c", date=DAYS[0], meter="qps", amount=Decimal(-1), reason=reason, time=CLOSED_AT)
    written = list(csv.reader(io.StringIO(as_csv([found.corrected([negative])]), newline="")))
    assert {len(row) for row in written} == {len(COLUMNS)}
    for cell in (cell for row in written for cell in row):
        assert not cell.lstrip().startswith(("=", "+", "@")), cell
        assert not cell.startswith(("-", "\t", "\r")) or _NUMBER.fullmatch(cell), cell


def test_a_number_below_zero_stays_a_number() -> None:
    assert [plain(Decimal(text)) for text in ("-0.5", "1E+3", "1.10", "0.0000012300", "7", "-0")] == [
        *("-0.50", "1000", "1.10", "0.00000123", "7", "-0"),
    ]
    assert escaped("-5") == "'-5"


def test_a_closed_month_changes_by_correction_rows_alone() -> None:
    open_ones = sample()
    closed = [account.closed(CLOSED_AT) for account in open_ones]
    before = as_csv(closed).splitlines()
    with pytest.raises(AccountError, match="closed: enter a correction"):
        closed[0].with_day(Day(date=DAYS[0]))
    late = Correction(
        name="bill", date=DAYS[2], meter="qps", amount=Decimal("-3.005"), reason="the bill", time=CLOSED_AT
    )
    after = as_csv([closed[0].corrected([late, late]).corrected([late]), *closed[1:]]).splitlines()
    assert [line for line in after if line in before] == before
    (added,) = [line for line in after if line not in before]
    assert ",Correction," in added
    assert "Correction of qps on 2026-11-03: the bill" in added
    assert ",-3.00," in added


def test_an_open_month_is_closed_three_days_after_its_end_and_takes_no_correction_before() -> None:
    account = sample()[0]
    end = Month(2026, 11).ends_at
    assert account.closed(end + SETTLING - timedelta(seconds=1)).closed_time is None
    assert account.closed(end + SETTLING).closed_time == end + SETTLING
    late = Correction(name="b", date=DAYS[2], meter="qps", amount=Decimal(1), reason="x", time=CLOSED_AT)
    assert account.corrected([late]) == account
    elsewhere = late.model_copy(update={"date": date(2026, 10, 31)})
    assert account.closed(CLOSED_AT).corrected([elsewhere]).corrections == ()


def test_a_day_with_unknown_usage_is_a_row_of_zero_that_says_so() -> None:
    rows = [json.loads(line) for line in as_json(sample()).splitlines()]
    (found,) = [
        row
        for row in rows
        if row["x_TenantId"] == "sandbox" and row["SkuId"] == "storage" and "03T" in row["ChargePeriodStart"]
    ]
    assert found["BilledCost"] == 0
    assert found["ConsumedQuantity"] is None
    assert "usage is not known" in found["ChargeDescription"]
    assert found["x_Estimated"] == "true"


def test_a_day_of_another_month_is_refused() -> None:
    with pytest.raises(AccountError, match="no day of 2026-11"):
        sample()[0].with_day(Day(date=date(2026, 12, 1)))


def test_the_largest_account_fits_into_a_config_map() -> None:
    long = "m" * 40
    account = Account(bearer=Bearer(name="t" * 253), month="2026-12", budget=Decimal(10**15))
    lines = tuple(
        Line(
            meter=f"{long[:-2]}{n:02}",
            category="requests",
            quantity=Decimal("123456789012345678.123456"),
            observed=Decimal("0.333333"),
            elapsed=Decimal("0.500023"),
            price=Decimal("999999999999999.999999999999"),
            per=Decimal(2**60),
            unit="u" * 30,
            amount=Decimal("123456789012345678.0123456789"),
        )
        for n in range(MOST_LINES)
    )
    presences = tuple(
        Presence(rollout=f"{'n' * 63}/{'r' * 63}", step=f"{'s' * 60}-{n}", seconds=86_400, user_seconds=10**15)
        for n in range(MOST_PRESENCES)
    )
    for day in account.period.days:
        account = account.with_day(Day(date=day, lines=lines, presences=presences))
    closed_at = datetime(2027, 1, 4, tzinfo=UTC)
    correction = Correction(
        name="", date=account.period.days[0], meter="m" * 40, amount=Decimal("-1.5"), reason="r" * 253, time=closed_at
    )
    corrections = [correction.model_copy(update={"name": f"{'c' * 60}{n:03}"}) for n in range(MOST_CORRECTIONS)]
    account = account.closed(closed_at).corrected(corrections)
    assert len(account.corrections) == MOST_CORRECTIONS
    size = sum(len(key) + len(text) for key, text in write_account(account).items())
    assert size <= LARGEST_BYTES
    assert read_account(write_account(account)) == account


def test_an_account_that_is_too_large_or_full_says_so() -> None:
    account = Account(bearer=Bearer(name="t"), month="2026-11")
    with pytest.raises(AccountError, match="at most 56 meters"):
        account.with_day(Day(date=DAYS[0], lines=tuple(Line(meter=str(n)) for n in range(MOST_LINES + 1))))
    presences = tuple(Presence(rollout="r" * 2000, step="s", seconds=1, user_seconds=1) for _ in range(MOST_PRESENCES))
    for day in DAYS:
        account = account.with_day(Day(date=day, presences=presences))
    with pytest.raises(AccountError, match="too large"):
        write_account(account)
    closed = account.closed(CLOSED_AT)
    corrections = [
        Correction(name=str(n), date=DAYS[0], meter="m", amount=Decimal(1), reason="", time=CLOSED_AT)
        for n in range(MOST_CORRECTIONS + 1)
    ]
    with pytest.raises(AccountError, match="at most 200 corrections"):
        closed.corrected(corrections)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"account.json": "{"},
        {"account.json": "[]"},
        {"account.json": '{"bearer": {"name": "a"}, "month": "2026-11"}', "2026-11-01": '{"lines": 3}'},
        {"account.json": '{"bearer": {"name": "a"}, "month": "2026-11"}', "2026-11-01": "null"},
    ],
)
def test_an_account_that_cant_be_read_is_an_error_and_not_an_empty_one(data: dict[str, str]) -> None:
    with pytest.raises(AccountError, match="can't be read"):
        read_account(data)
