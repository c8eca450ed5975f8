"""What the last headroom costs when many ask for it at the same moment, by the way in which promises are written.

python -m bench.reserving [--claims 50] [--runs 5]

A real API server holds a TenantQuota with room for ten. Each claim is promised by a compare-and-swap on its status: all
that wait together, as the operator does it; one write for each, one after the other; or each for itself, which tries
again after every conflict. None of them may promise more than there is.
"""

import argparse
import asyncio
import platform
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pilotage.controller.clock import SystemClock
from pilotage.controller.schedule import Key
from pilotage.controller.store import RolloutStore
from pilotage.controller.tenants.quotas import TenantQuotas
from pilotage.controller.tenants.reserving import Reserving, ReservingParts
from pilotage.controller.tenants.store import TenantStore
from pilotage.kube import REQUESTS, Kube, KubeError
from pilotage.resources.tenant import TenantQuota
from pilotage.resources.tenant_status import TenantQuotaStatus
from pilotage.rollout.tenant_seen import ledger_of, rooms_of, with_ledger
from pilotage.tenancy.reserving import Claim, claim_id
from testbed import open_cluster
from testbed.install import install

NAME = "bench"
NEED, FREE = Decimal(6), 60
API = "/apis/pilotage.dev/v1alpha1/tenantquotas"

Way = Callable[["Place", Claim], Awaitable[None]]


class Alone:
    """Nobody else wants to lead."""

    guard_seconds = 10.0

    def require(self) -> None:
        """Lead."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where promises are written."""

    kube: Kube
    quotas: TenantQuotas
    reserving: Reserving


def _answer(claim: Claim) -> Callable[[TenantQuota], TenantQuotaStatus]:
    def answer(tenant: TenantQuota) -> TenantQuotaStatus:
        now = datetime.now(UTC)
        return with_ledger(tenant, ledger_of(tenant).reserve(claim, rooms_of(tenant, now), now).ledger)

    return answer


async def together(place: Place, claim: Claim) -> None:
    """As the operator does it."""
    await place.reserving.promise(Key("shop", claim.holder), NAME, claim)


async def one_by_one(place: Place, claim: Claim) -> None:
    """A write for each claim; they wait for each other."""
    await place.quotas.change(NAME, _answer(claim))


async def each_for_itself(place: Place, claim: Claim) -> None:
    """A read and a write for each claim, and again after each conflict."""
    while True:
        found = await place.kube.get(f"{API}/{NAME}")
        status = _answer(claim)(TenantQuota.model_validate(found)).to_wire()
        body: dict[str, Any] = {
            "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]},
            "status": {"reservations": status.get("reservations", [])},
        }
        if body["status"]["reservations"] == found["status"].get("reservations", []):
            return
        try:
            await place.kube.patch(f"{API}/{NAME}/status", body, content_type="merge", field_manager="bench")
        except KubeError as error:
            if error.reason != "Conflict":
                raise
        else:
            return


WAYS: dict[str, Way] = {"together": together, "one by one": one_by_one, "each for itself": each_for_itself}


async def _prepare(kube: Kube, run: int) -> Place:
    tenants = TenantStore()
    spec = {"resources": [{"name": "qps", "hard": 100, "usage": {"query": "vector(40)"}}]}
    body = {"apiVersion": "pilotage.dev/v1alpha1", "kind": "TenantQuota", "metadata": {"name": NAME}, "spec": spec}
    if run == 0:
        await kube.create(API, body)
    told = {"name": "qps", "used": str(100 - FREE), "hard": "100", "level": "within", "action": "none"}
    told["observedTime"] = datetime.now(UTC).isoformat(timespec="seconds")
    status = {"status": {"resources": [told], "reservations": None}}
    tenants.put(await kube.patch(f"{API}/{NAME}/status", status, content_type="merge", field_manager="bench"))
    quotas = TenantQuotas(kube, tenants, Alone())
    parts = ReservingParts(tenants, quotas, RolloutStore(), lambda _key: None, SystemClock())
    return Place(kube, quotas, Reserving(parts))


def _requests() -> dict[tuple[str, str], float]:
    samples = [sample for metric in REQUESTS.collect() for sample in metric.samples if sample.name.endswith("_total")]
    return {(each.labels["method"], each.labels["code"]): each.value for each in samples}


async def _measure(place: Place, way: Way, claims: int) -> str:
    wanted = [Claim(claim_id(f"uid-{n}", "five", 1), f"shop/r{n}", "five", {"qps": NEED}) for n in range(claims)]
    before, began_at = _requests(), time.perf_counter()
    await asyncio.gather(*(way(place, claim) for claim in wanted))
    seconds = time.perf_counter() - began_at
    spent = {key: value - before.get(key, 0) for key, value in _requests().items()}
    found = TenantQuota.model_validate(await place.kube.get(f"{API}/{NAME}"))
    promised = ledger_of(found).reserved("qps")
    assert promised == FREE, "who fits is promised, and nobody else"
    reads, writes, conflicts = (spent.get(key, 0) for key in (("GET", "200"), ("PATCH", "200"), ("PATCH", "409")))
    return f"{reads:5.0f} {writes:6.0f} {conflicts:9.0f} {seconds * 1000:7.0f}"


async def _run(kube: Kube, claims: int, runs: int) -> None:
    print(f"{claims} claims at once, room for {FREE // NEED}; {platform.machine()}, Python {platform.python_version()}")
    print(f"{'way':16} {'reads':>5} {'writes':>6} {'conflicts':>9} {'ms':>7}")
    for run in range(runs):
        for name, way in WAYS.items():
            place = await _prepare(kube, run + list(WAYS).index(name))
            print(f"{name:16} {await _measure(place, way, claims)}")


async def _main(claims: int, runs: int) -> None:
    with open_cluster(("etcd", "kube-apiserver")) as cluster:
        install(cluster)
        async with await Kube.connect(cluster.kubeconfig) as kube:
            await _run(kube, claims, runs)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--claims", type=int, default=50)
    parser.add_argument("--runs", type=int, default=5)
    said = parser.parse_args()
    asyncio.run(_main(said.claims, said.runs))
