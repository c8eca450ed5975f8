"""Makes the keeper of scaling policies with its parts."""

from collections.abc import Mapping

from pilotage.controller.rollouts import Leadership
from pilotage.controller.tenants.owned import Owned
from pilotage.controller.tenants.scaling import Demands, ScalingKeeper
from pilotage.controller.tenants.scaling_engines import ObjectEngine, ScaleEngine
from pilotage.controller.tenants.scaling_metrics import ScalingMetrics
from pilotage.delivery.scale import Workloads
from pilotage.kube import Kube
from pilotage.metrics.following import Asks
from pilotage.resources.indicators import IndicatorTemplateSpec


def make_scaling(
    kube: Kube,
    owned: Owned,
    leadership: Leadership,
    *,
    source: Asks,
    templates: Mapping[str, IndicatorTemplateSpec],
    demands: Demands,
    prometheus: str,
) -> ScalingKeeper:
    """The keeper.

    Args:
        kube: the API server.
        owned: what writes and removes objects of tenants.
        leadership: asked before each write.
        source: where metrics come from.
        templates: all IndicatorTemplates by name, as they are known.
        demands: what the rollouts of a namespace ask.
        prometheus: URL of Prometheus as KEDA reaches it; empty if not known.
    """
    workloads, metrics = Workloads(kube, leadership), ScalingMetrics(source, templates)
    return ScalingKeeper(
        kube,
        owned,
        metrics,
        objects=ObjectEngine(owned, workloads, metrics, prometheus=prometheus),
        subresource=ScaleEngine(workloads, metrics),
        demands=demands,
    )
