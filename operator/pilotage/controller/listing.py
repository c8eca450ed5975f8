"""What a watch can't tell: that all was listed, and what vanished while nobody watched.

kopf has no end marker for its first list, and after an expired watch it lists again without saying what is gone. Both
are answered by a list of our own that carries metadata only.
"""

import logging
from collections.abc import Callable

from pilotage.controller.clock import Clock
from pilotage.controller.schedule import Key
from pilotage.controller.store import RolloutStore, TemplateStore
from pilotage.kube import Kube, KubeError
from pilotage.resources.base import GROUP, VERSION
from pilotage.resources.indicators import IndicatorTemplate
from pilotage.resources.rollout import PilotRollout

_LOG = logging.getLogger(__name__)
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ROLLOUTS = f"/apis/{GROUP}/{VERSION}/{PilotRollout.plural}"
TEMPLATES = f"/apis/{GROUP}/{VERSION}/{IndicatorTemplate.plural}"
SWEEP_SECONDS = 600.0


async def wait_for_kinds(kube: Kube, clock: Clock) -> None:
    """Return when the API server serves our kinds; kopf would silently never serve a kind that comes later."""
    said = ""
    while missing := await _missing_kinds(kube):
        if missing != said:
            _LOG.error("%s; install the CRDs of this release (folder crds/, or the chart)", missing)
            said = missing
        await clock.sleep(2.0)


async def _missing_kinds(kube: Kube) -> str:
    for kind in (PilotRollout, IndicatorTemplate):
        name = f"{kind.plural}.{GROUP}"
        try:
            crd = await kube.get(f"{_CRDS}/{name}")
        except KubeError as error:
            return f"CustomResourceDefinition {name}: {error}"
        served = any(each["name"] == VERSION and each["served"] for each in crd["spec"]["versions"])
        conditions = crd.get("status", {}).get("conditions", ())
        established = any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
        if not (served and established):
            return f"CustomResourceDefinition {name} does not serve {VERSION}, or is not Established yet"
    return ""


async def wait_until_listed(kube: Kube, clock: Clock, rollouts: RolloutStore, templates: TemplateStore) -> None:
    """Return when everything that exists now has reached the stores."""
    while True:
        try:
            _, keys = await _list_rollouts(kube)
            _, names = await _list_templates(kube)
        except KubeError as error:
            _LOG.warning("can't list: %s", error)
            await clock.sleep(1.0)
            continue
        for _ in range(200):
            if all(key in rollouts for key in keys) and all(name in templates for name in names):
                return
            await clock.sleep(0.05)


async def sweep(kube: Kube, rollouts: RolloutStore, templates: TemplateStore, on_gone: Callable[[Key], None]) -> None:
    """Forget what is gone without a word.

    Raises:
        KubeError: it could not be listed; nothing was forgotten.
    """
    version, keys = await _list_rollouts(kube)
    for key in set(rollouts) - set(keys):
        if rollouts.remove(key, version):
            _LOG.info("swept: it was deleted unseen", extra={"namespace": key.namespace, "rollout": key.name})
            on_gone(key)
    version, names = await _list_templates(kube)
    for name in set(templates) - set(names):
        templates.remove(name, version)


async def _list_rollouts(kube: Kube) -> tuple[int, list[Key]]:
    version, metadata = await kube.list_metadata(ROLLOUTS)
    return int(version), [Key(each["namespace"], each["name"]) for each in metadata]


async def _list_templates(kube: Kube) -> tuple[int, list[str]]:
    version, metadata = await kube.list_metadata(TEMPLATES)
    return int(version), [each["name"] for each in metadata]
