"""An operator that starts before its kinds are served waits for them, and says which one is missing."""

import asyncio
from typing import Any, cast

import pytest

from pilotage.controller.listing import wait_for_kinds
from pilotage.kube import Kube, KubeError
from tests.unit.manual_clock import ManualClock, settle

CONDITIONS = {
    "just created: the API server has written no conditions yet": None,
    "names accepted": [{"type": "NamesAccepted", "status": "True"}],
    "established": [{"type": "Established", "status": "True"}],
}


class Definitions:
    """The API server's definitions, at some moment after they were created."""

    def __init__(self) -> None:
        self.moment: str | None = None

    async def get(self, path: str) -> dict[str, Any]:
        if self.moment is None:
            raise KubeError(404, "NotFound", path=path)
        served = [{"name": "v1alpha1", "served": True}]
        return {"spec": {"versions": served}, "status": {"conditions": CONDITIONS[self.moment]}}


async def test_kinds_that_come_while_it_waits_are_waited_for_until_they_are_established(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, definitions = ManualClock(), Definitions()
    task = asyncio.create_task(wait_for_kinds(cast("Kube", definitions), clock))
    for moment in (None, *CONDITIONS):
        assert not task.done()
        definitions.moment = moment
        await settle()
        await clock.advance(2.0)
    await task
    said = [record.getMessage() for record in caplog.records]
    assert ["404 NotFound" in said[0], "is not Established yet" in said[1]] == [True, True]
    assert len(said) == 2
