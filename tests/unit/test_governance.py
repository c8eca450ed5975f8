"""The governance report: what it must say, what it marks, and what must never get through it."""

import asyncio
import functools
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pilotage.kube import Kube, KubeError
from pilotage.reports.governance import Check, Governance, make_governance
from pilotage.reports.governance_checks import Surroundings, check_all
from pilotage.reports.governance_markdown import to_markdown
from pilotage.reports.governance_page import render_governance
from pilotage.reports.palette import PLACEHOLDERS
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.tenant import TenantQuota
from pilotage.tenancy.accounts import Account, Bearer, Day, Line, Presence
from pilotage.tenancy.cost import Month

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
NOVEMBER = Month(2026, 11)


def resource(name: str, used: str, hard: str, percent: str, **more: Any) -> dict[str, Any]:
    told = {"name": name, "used": used, "hard": hard, "percent": percent, "observedTime": NOW.isoformat()}
    return {**told, **more}


def tenant(name: str, display: str, resources: list[dict[str, Any]], **more: Any) -> TenantQuota:
    spec = {
        "displayName": display,
        "owner": {"email": f"{name}@company.com", "team": display, "costCenter": "CC-1"},
        "namespaces": [name],
        "resources": [{"name": each["name"], "hard": 1, "usage": {"query": "up"}} for each in resources],
        **more.pop("spec", {}),
    }
    ready = {"type": "Ready", "status": "True", "reason": "Kept", "lastTransitionTime": NOW.isoformat()}
    status = {"resources": resources, "observedGeneration": 1, "refreshedTime": NOW.isoformat(), "conditions": [ready]}
    metadata = {"name": name, "uid": name, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return TenantQuota.model_validate({"metadata": metadata, "spec": spec, "status": {**status, **more}})


def account(name: str, month: Month, daily: str, users: int = 0, step: str = "", *, budget: int = 0) -> Account:
    found = Account(bearer=Bearer(name=name), month=str(month), budget=Decimal(budget) or None)
    for day in month.days[:19]:
        lines = (
            Line(meter="qps", category="compute", price=Decimal(1), amount=Decimal(daily) * 3 / 4),
            Line(meter="storage", category="storage", price=Decimal(1), amount=Decimal(daily) / 4),
        )
        seconds = 86_400
        presence = Presence(rollout=f"{name}/assistant", step=step, seconds=seconds, user_seconds=users * seconds)
        found = found.with_day(Day(date=day, lines=lines, presences=(presence,) if users else ()))
    return found


def accounts() -> list[Account]:
    """The roadmap's cost: $1,710 a month for 50 users, $5,500 for 500, $15,000 for 1,875."""
    return [
        account("search", Month(2026, 4), "57", 50, "week-7"),
        account("search", Month(2026, 9), str(Decimal(5500) / 30), 500, "month-9"),
        account("search", NOVEMBER, "500", 1875, "launch", budget=50_000),
        account("recs", NOVEMBER, "400", budget=10_000),
        Account.model_validate(
            {
                "bearer": {"name": "cluster", "kind": "cluster"},
                "month": "2026-11",
                "days": [{"date": "2026-11-01", "lines": [{"meter": "nodes", "price": "1", "amount": "70.00"}]}],
            }
        ),
    ]


def tenants() -> list[TenantQuota]:
    prices = [{"tier": "free", "price": 0, "share": "0.6"}, {"tier": "professional", "price": 25, "share": "0.4"}]
    return [
        tenant(
            "search",
            "Product Search",
            [resource("vectors", "930000000", "1000000000", "93"), resource("qps", "8100", "10000", "81")],
            spec={"isolation": "dedicated-shard", "regions": ["us-east-1", "eu-west-1"], "cost": {"prices": prices}},
        ),
        tenant(
            "recs",
            "Recommendations",
            [
                resource("vectors", "80000000", "100000000", "80"),
                resource("qps", "6000", "5000", "120", level="hard", action="throttle"),
                resource("storage", "", "536870912000", "", message="Prometheus has no data"),
            ],
        ),
    ]


def rollouts() -> list[PilotRollout]:
    spec = {"feature": {"flag": "assistant"}, "steps": [{"name": "launch", "percent": 100}]}
    metadata = {"name": "assistant", "namespace": "search"}
    return [PilotRollout.model_validate({"metadata": metadata, "spec": spec, "status": {"phase": "Progressing"}})]


CHECKS = (
    Check("search", "its usage is known", "met", "vectors 93 %"),
    Check("recs", "its usage is known", "not checked", "usage is not known of storage"),
    Check("recs", "its cost keeps to its budget", "not met", "12,000 forecast of 10,000"),
)


def sample(checks: tuple[Check, ...] = CHECKS) -> Governance:
    return make_governance(
        organization="Search Platform",
        month=NOVEMBER,
        written_at=NOW,
        tenants=tenants(),
        rollouts=rollouts(),
        accounts=accounts(),
        checks=checks,
    )


@functools.cache
def page() -> str:
    return render_governance(sample())


def row(text: str, *begin: str) -> str:
    wanted = "| " + " | ".join(begin) + " |"
    return next(line for line in text.splitlines() if line.startswith(wanted))


def test_resources_over_80_percent_are_marked_and_80_itself_is_not() -> None:
    text = to_markdown(sample())
    assert "**93 %**" in row(text, "search", "vectors")
    assert "**over 80 %**" in row(text, "search", "qps")
    assert "**" not in row(text, "recs", "vectors")
    assert "**at the limit**" in row(text, "recs", "qps")


def test_usage_that_is_not_known_is_said_to_be_so_and_is_no_zero() -> None:
    told = row(to_markdown(sample()), "recs", "storage")
    assert "| ? |" in told
    assert "not known" in told
    assert "Prometheus has no data" in told
    assert "not known" in re.findall(r"<svg.*?</svg>", page(), flags=re.DOTALL)[0]


def test_cost_is_shown_with_forecast_and_budget_and_what_nobody_bears() -> None:
    text = to_markdown(sample())
    told = row(text, "recs", "$7,600.00")
    assert "**$12,000.00**" in told
    assert "$10,000.00" in told
    assert "76 %" in told
    assert row(text, "nobody", "$70.00")
    assert row(text, "search", "qps", "$7,125.00", "75 %")


def test_a_meter_of_which_no_day_is_known_has_no_amount_rather_than_none() -> None:
    unknown = account("search", NOVEMBER, "500")
    day = Day(date=NOVEMBER.days[0], lines=(Line(meter="egress", price=Decimal(1)), Line(meter="driver")))
    report = make_governance(
        organization="x",
        month=NOVEMBER,
        written_at=NOW,
        tenants=[],
        rollouts=[],
        accounts=[unknown.with_day(day)],
        checks=[],
    )
    assert row(to_markdown(report), "search", "egress", "not known", "?")
    assert "driver" not in to_markdown(report)


def test_cost_per_user_falls_step_by_step_as_in_the_roadmap() -> None:
    text = to_markdown(sample())
    amounts = [row(text, "search/assistant", step).split("|")[-2].strip() for step in ("week-7", "month-9", "launch")]
    assert amounts == ["$34.20", "$11.00", "$8.00"]
    chart = re.findall(r"<svg.*?</svg>", page(), flags=re.DOTALL)[2]
    for label in ("$34.20", "$11.00", "$8.00", "1,875 users", "month-9"):
        assert label in chart


def test_unit_economics_say_how_many_users_pay_for_the_service() -> None:
    told = row(to_markdown(sample()), "search/assistant", "$10.00")
    assert "1,500 users" in told  # $15,000 at $10 on average
    assert re.search(r"\| 20 % \|$", told)  # 1,875 users pay $18,750


def test_every_check_stands_with_its_verdict_and_its_evidence() -> None:
    text = to_markdown(sample())
    assert row(text, "search", "its usage is known", "met", "vectors 93 %")
    assert "**not checked**" in row(text, "recs", "its usage is known")
    assert "of 3 checks 1 met, 1 not met, 1 not checked." in text
    nothing = to_markdown(sample(()))
    assert "There was nothing to check." in nothing
    assert " met |" not in nothing


def test_the_page_shows_what_markdown_shows_and_draws_three_plots() -> None:
    assert page().count("<svg") == 3
    for table in (
        "Tenants",
        "Utilisation",
        "Cost in 2026-11",
        "Cost per user, by step",
        "Unit economics",
        "Compliance",
    ):
        assert f"<h3>{table}</h3>" in page()
    assert '<span class="mark bad">not met</span>' in page()
    assert not [name for name, color in PLACEHOLDERS.items() if color in page()]


def test_the_page_needs_nothing_from_anywhere_else_and_no_id_comes_twice() -> None:
    assert not re.findall(r'(?:src|href)="(?!#)[^"]*"', page())
    assert "<script" not in page()
    ids = re.findall(r' id="([^"]+)"', page())
    assert len(ids) == len(set(ids))


EVIL = "<script>alert(1)</script>"


def test_texts_from_the_cluster_are_escaped_in_both_forms() -> None:
    evil = tenant("search", EVIL, [resource("qps", "1", "2", "50", message=f"{EVIL} | a | b\n# head")])
    report = make_governance(
        organization=EVIL,
        month=NOVEMBER,
        written_at=NOW,
        tenants=[evil],
        rollouts=[],
        accounts=[],
        checks=[Check("search", EVIL, "met", f"[link](javascript:x) `{EVIL}`")],
    )
    assert "<script" not in render_governance(report)
    text = to_markdown(report)
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\[link", text)
    assert "\n# head" not in text
    for line in text.splitlines():
        if line.startswith("| search"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (5, 9, 11)


def test_a_platform_without_anything_is_told_without_a_plot_and_without_praise() -> None:
    report = make_governance(
        organization="New", month=NOVEMBER, written_at=NOW, tenants=[], rollouts=[], accounts=[], checks=[]
    )
    text = to_markdown(report)
    assert "There are no tenants." in text
    assert "No tenant's cost is counted." in text
    assert "<svg" not in render_governance(report)


class Forbidding(Kube):
    """An API server that lets this person read nothing: a fault that the real one shows only to the wrong people."""

    def __init__(self) -> None:
        """Nothing is connected."""

    async def get(self, path: str, **_: Any) -> dict[str, Any]:
        raise KubeError(403, "Forbidden", path=path)

    async def create(self, path: str, *_: Any, **__: Any) -> dict[str, Any]:
        raise KubeError(403, "Forbidden", path=path)


def checked(found: TenantQuota, *, kept: Account | None = None, now: datetime = NOW) -> dict[str, Check]:
    around = Surroundings(
        kube=Forbidding(),
        tenants=[found],
        accounts={found.metadata.name: kept} if kept else {},
        month=NOVEMBER,
        system="pilotage-system",
        roles="pilotage-tenant",
        now=now,
    )
    return {check.requirement: check for check in asyncio.run(check_all(around))}


def test_what_a_person_may_not_read_is_not_checked_and_says_why() -> None:
    found = checked(tenant("search", "x", [], spec={"access": {"users": ["anna"]}, "compute": {"pods": "5"}}))
    for requirement in (
        "its namespaces exist and are its alone",
        "access, compute limits and network are as declared",
        "its people can't raise its quota nor write its account",
    ):
        assert found[requirement].verdict == "not checked"
        assert "Forbidden" in found[requirement].evidence


@pytest.mark.parametrize(
    ("change", "verdict"),
    [({}, "met"), ({"observedGeneration": 0}, "not met"), ({"refreshedTime": None}, "not met")],
)
def test_a_status_that_speaks_of_an_older_spec_is_no_evidence(change: dict[str, Any], verdict: str) -> None:
    assert checked(tenant("search", "x", [], **change))["the operator watches it"].verdict == verdict


def test_usage_is_met_only_where_all_of_it_is_known_fresh_and_within() -> None:
    requirement = "its usage is known and within its limits"
    good = [resource("qps", "1", "2", "50")]
    assert checked(tenant("a", "x", good))[requirement].verdict == "met"
    assert checked(tenant("a", "x", good), now=NOW + timedelta(hours=1))[requirement].verdict == "not checked"
    assert checked(tenants()[1])[requirement].verdict == "not checked"
    over = [resource("qps", "3", "2", "150", level="hard")]
    assert checked(tenant("a", "x", over))[requirement].verdict == "not met"
    assert checked(tenant("a", "x", []))[requirement].verdict == "not checked"


def test_a_budget_is_met_only_by_a_forecast_that_knows_all_days() -> None:
    requirement, cost = "its cost keeps to its budget", {"currency": "USD", "month": "2026-11", "monthToDate": "50"}

    def verdict(**more: str) -> str:
        return checked(tenant("a", "x", [], cost={**cost, **more}))[requirement].verdict

    assert verdict(budget="100", forecast="90") == "met"
    assert verdict(budget="100", forecast="110") == "not met"
    assert verdict(budget="40", forecast="45") == "not met"
    assert verdict(budget="100", forecast="90", message="1 of its daily amounts is not known") == "not checked"
    assert verdict(budget="100") == "not checked"
    assert verdict(forecast="90") == "not checked"
    assert checked(tenant("a", "x", []))[requirement].verdict == "not checked"


def test_an_account_with_a_day_missing_or_unknown_is_not_met() -> None:
    requirement, whole = "every day of the month is accounted for", account("a", NOVEMBER, "5")
    found = tenant("a", "x", [])
    assert checked(found, kept=whole)[requirement] == Check("a", requirement, "met", "19 whole days counted")
    gap = whole.model_copy(update={"days": (*whole.days[:4], *whole.days[5:])})
    assert checked(found, kept=gap)[requirement].evidence == "not known: 2026-11-05"
    unknown = whole.with_day(Day(date=date(2026, 11, 7), lines=(Line(meter="qps", price=Decimal(1)),)))
    assert checked(found, kept=unknown)[requirement].evidence == "not known: 2026-11-07 qps"
    assert checked(found)[requirement].verdict == "not checked"
    late = checked(found, kept=whole, now=datetime(2026, 12, 5, tzinfo=UTC))[requirement]
    assert late.verdict == "not met"


def test_a_tenant_that_nobody_answers_for_is_not_met() -> None:
    requirement = "somebody answers for it and for its cost"
    found = checked(tenant("a", "x", [], spec={"owner": {"email": "a@b.c"}}))[requirement]
    assert (found.verdict, found.evidence) == ("not met", "spec.owner lacks team, costCenter")
