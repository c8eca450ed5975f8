"""All keepers, in the order in which they are asked: what others need comes first.

The projection is first: it finds out how the namespaces stand.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pilotage.controller.clock import Clock
from pilotage.controller.rollouts import Leadership
from pilotage.controller.store import RolloutStore
from pilotage.controller.tenants.access import AccessKeeper
from pilotage.controller.tenants.costs import CostKeeper
from pilotage.controller.tenants.costs_store import AccountStore
from pilotage.controller.tenants.keeping import Keeper
from pilotage.controller.tenants.owned import Owned
from pilotage.controller.tenants.projection import ProjectionKeeper
from pilotage.controller.tenants.scaling_demands import RolloutDemands
from pilotage.controller.tenants.scaling_making import make_scaling
from pilotage.controller.tenants.store import TenantStore
from pilotage.controller.tenants.throttle import ThrottleKeeper
from pilotage.kube import Kube
from pilotage.metrics.following import Asks
from pilotage.resources.indicators import IndicatorTemplateSpec


@dataclass(frozen=True, slots=True)
class KeeperParts:
    """What keepers are made of.

    Attributes:
        kube: the API server.
        leadership: asked before each write.
        clock: what time it is.
        source: where evidence comes from.
        templates: all IndicatorTemplates by name, as they are known.
        store: all TenantQuotas.
        rollouts: all rollouts, as they are known.
        namespace: the operator's own, where accounts are kept.
        roles: what the names of the chart's ClusterRoles for tenants begin with.
        prometheus: URL of Prometheus for autoscalers that ask it themselves; empty if not known.
    """

    kube: Kube
    leadership: Leadership
    clock: Clock
    source: Asks
    templates: Mapping[str, IndicatorTemplateSpec]
    store: TenantStore
    rollouts: RolloutStore
    namespace: str
    roles: str
    prometheus: str


def build_keepers(parts: KeeperParts) -> tuple[Keeper, ...]:
    """All keepers."""
    owned = Owned(parts.kube, parts.leadership)
    return (
        ProjectionKeeper(owned),
        ThrottleKeeper(parts.kube, owned, parts.clock),
        AccessKeeper(owned, roles=parts.roles, system=parts.namespace),
        make_scaling(
            parts.kube,
            owned,
            parts.leadership,
            source=parts.source,
            templates=parts.templates,
            demands=RolloutDemands(parts.rollouts).of,
            prometheus=parts.prometheus,
        ),
        CostKeeper(
            AccountStore(parts.kube, parts.leadership, parts.namespace),
            parts.source.ask,
            parts.templates,
            parts.rollouts,
        ),
    )
