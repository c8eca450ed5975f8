"""Which labels a namespace's own queries are kept to: the tenant's, else what the operator is told for all."""

from dataclasses import dataclass

from pilotage.controller.tenants.store import TenantStore
from pilotage.metrics.guard import Pairs


@dataclass(frozen=True, slots=True)
class Matchers:
    """By namespace.

    Attributes:
        store: all TenantQuotas.
        label: that has the namespace's name in all series, such as `namespace`; none if empty.
    """

    store: TenantStore
    label: str = ""

    def of(self, namespace: str) -> Pairs:
        """The labels and values; where several TenantQuotas list the namespace, those of all: nobody gains by that."""
        found: dict[tuple[str, str], None] = {}
        for name in self.store.claiming(namespace):
            tenant = self.store.get(name)
            for each in tenant.spec.access.metrics if tenant else ():
                found[each.label, each.value] = None
        if not found and self.label:
            found[self.label, namespace] = None
        return tuple(found)
