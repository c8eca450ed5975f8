"""A rollout whose status was lost begins anew; where the flag in force lets in more, it says so and waits."""

from collections.abc import Mapping
from typing import Any, cast

import pytest

from pilotage.delivery.flags import FlagTarget
from pilotage.delivery.forms import FEATURE_FLAGS, ConfigMapForm
from pilotage.delivery.target import DeliveryError, Place
from pilotage.delivery.targeting import definition_of
from pilotage.kube import Kube, KubeError
from pilotage.rollout.exposure import SHARE_TOTAL, Exposure

PLACE = Place("shop", "pilot-flags", "pilotage/search")


class OneConfigMap:
    """An API server without FeatureFlags that holds one ConfigMap."""

    def __init__(self, exposure: Exposure) -> None:
        self.held: Mapping[str, Any] = ConfigMapForm().body(PLACE, exposure.flag, definition_of(exposure))

    async def get(self, path: str) -> Mapping[str, Any]:
        if path == FEATURE_FLAGS:
            raise KubeError(404, "NotFound")
        return self.held

    async def patch(self, path: str, body: Mapping[str, Any], **_: object) -> Mapping[str, Any]:
        assert path == ConfigMapForm().path(PLACE)
        self.held = body
        return body


def exposure(percent: int, revision: int) -> Exposure:
    share = SHARE_TOTAL * percent // 100
    return Exposure("search", "on", "off", "percent", share=share, seed="s:", revision=revision)


async def test_a_first_step_that_means_fewer_than_are_in_force_says_so_and_how_to_go_on() -> None:
    kube = OneConfigMap(exposure(50, revision=7))
    with pytest.raises(DeliveryError) as error:
        await FlagTarget(cast("Kube", kube)).apply(PLACE, exposure(10, revision=1))
    assert str(error.value) == (
        "ConfigMap/pilot-flags: search is in force at revision 7, of which this rollout's status knows nothing, and"
        " lets in more users than revision 1: raise spec.feature.revision to take them back and start over"
    )
    assert kube.held == OneConfigMap(exposure(50, revision=7)).held


async def test_a_first_step_that_means_as_many_goes_on_from_there() -> None:
    kube = OneConfigMap(exposure(50, revision=7))
    await FlagTarget(cast("Kube", kube)).apply(PLACE, exposure(60, revision=1))
    assert kube.held == OneConfigMap(exposure(60, revision=1)).held


async def test_a_later_revision_that_would_shrink_is_told_to_undo_the_edit() -> None:
    kube = OneConfigMap(exposure(50, revision=7))
    with pytest.raises(DeliveryError, match="would take search from users who have it: undo the change"):
        await FlagTarget(cast("Kube", kube)).apply(PLACE, exposure(10, revision=8))
