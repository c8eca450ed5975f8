"""What a tenant's pods may request: a ResourceQuota and a LimitRange in each of its namespaces."""

from collections.abc import Mapping

from pilotage.resources.tenant import TenantQuotaSpec
from pilotage.resources.tenant_access import LimitDefaults
from pilotage.tenancy.amounts import parse_amount
from pilotage.tenancy.objects import Sort, Wanted

RESOURCE_QUOTA = Sort("v1", "ResourceQuota", "resourcequotas")
LIMIT_RANGE = Sort("v1", "LimitRange", "limitranges")
QUOTA_NAME = "tenant-compute"
LIMITS_NAME = "tenant-containers"

_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_NANO = -3
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def limits(spec: TenantQuotaSpec, namespace: str) -> tuple[Wanted, ...]:
    """The ResourceQuota and the LimitRange of one of the tenant's namespaces, where the TenantQuota asks for them."""
    made = []
    if spec.compute:
        hard = {"spec": {"hard": _quantities(spec.compute)}}
        made.append(Wanted(RESOURCE_QUOTA, namespace, QUOTA_NAME, hard, exact=("spec",)))
    if spec.limit_range is not None and (item := _container(spec.limit_range)):
        range_ = {"spec": {"limits": [{"type": "Container", **item}]}}
        # Not exact: the API server fills in what follows from these (a default from max), and that differs by version.
        made.append(Wanted(LIMIT_RANGE, namespace, LIMITS_NAME, range_))
    return tuple(made)


def _container(said: LimitDefaults) -> dict[str, dict[str, str]]:
    parts = {"default": said.default, "defaultRequest": said.default_request, "min": said.min, "max": said.max}
    return {name: _quantities(part) for name, part in parts.items() if part}


def _quantities(said: Mapping[str, int | str]) -> dict[str, str]:
    return {name: canonical(amount) for name, amount in sorted(said.items())}


def canonical(written: int | str) -> str:
    """The quantity as the API server writes it back: the same amount with the largest suffix that leaves it whole.

    `0.5` is `500m`, `1024Mi` is `1Gi`, `1000` is `1k`. Without this, what was applied would look different from what is
    there, and be applied for ever. After the canonical form of
    https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/; amounts below a nano are rounded
    up, as there.

    Raises:
        ValueError: it is no amount.
    """
    amount = parse_amount(written)
    if str(written).endswith("i") and amount >= 1024 and amount == amount.to_integral_value():  # noqa: PLR2004 - a Ki
        return _scaled(int(amount), 1024, _BINARY)
    nanos = amount.scaleb(-3 * _NANO)
    whole = int(nanos) + (nanos != int(nanos))
    return _scaled(whole, 1000, _DECIMAL) if whole else "0"


def _scaled(number: int, base: int, suffixes: tuple[str, ...]) -> str:
    power = 0
    while power < len(suffixes) - 1 and number % base == 0:
        number, power = number // base, power + 1
    return f"{number}{suffixes[power]}"
