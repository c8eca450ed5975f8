"""kopf as an informer: what is registered, how it is set, and what happens when it ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from itertools import pairwise
from typing import Any, cast

import kopf
import pytest

from pilotage.controller import informer
from pilotage.controller.informer import Informer, _Handover, _take, build_registry, connection_of
from pilotage.controller.kopf_settings import EndlessBackoff, build_settings
from pilotage.kube import Kube
from tests.unit.manual_clock import ManualClock, settle


class Anybody:
    """Stands for a client: only its credentials are asked for, and whether the API server streams lists."""

    class configuration:  # noqa: N801 - it stands for an attribute
        host, ssl_ca_cert, cert_file, key_file = "https://kube:6443", "/ca.crt", None, None
        verify_ssl, proxy = True, None
        token = "bearer one\n"

        @classmethod
        async def auth_settings(cls) -> dict[str, Any]:
            return {"BearerToken": {"value": cls.token}}

    @staticmethod
    async def follow(*_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        yield b"{}"


KUBE = cast("Kube", Anybody())


def test_no_handler_is_registered_that_makes_kopf_write() -> None:
    registry = build_registry(KUBE, lambda *_: None)
    assert len(registry._watching.get_all_handlers()) == 5
    for kind in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert not kind.get_all_handlers()


def test_kopf_is_silent_patient_and_alone() -> None:
    settings = build_settings()
    assert not settings.posting.enabled
    assert settings.peering.standalone
    assert settings.scanning.disabled
    assert settings.queueing.worker_limit is None
    assert isinstance(settings.watching.server_timeout, int)
    assert settings.process.ultimate_exiting_timeout is None


def test_the_patience_never_ends_and_its_pauses_are_capped() -> None:
    pauses = iter(EndlessBackoff())
    taken = [next(pauses) for _ in range(1000)]
    assert taken[0] <= 1.0
    assert max(taken) <= 30.0
    assert min(taken[10:]) >= 15.0


def test_the_null_storages_keep_nothing() -> None:
    settings = build_settings()
    body = kopf.Body({"metadata": {}, "spec": {"large": "x" * 1000}})
    assert settings.persistence.diffbase_storage.build(body=body) == {}
    assert settings.persistence.diffbase_storage.fetch(body=body) is None
    assert settings.persistence.progress_storage.fetch(key=cast("Any", "any"), body=body) is None


def test_of_an_object_that_was_handled_kopf_keeps_the_metadata_only() -> None:
    body = {"metadata": {"name": "x", "managedFields": [{"manager": "kubectl"}]}, "spec": {"a": 1}, "status": {"b": 2}}
    taken = _take(body)
    assert taken == {"metadata": {"name": "x"}, "spec": {"a": 1}, "status": {"b": 2}}
    assert body == {"metadata": {"name": "x"}}


async def test_events_arrive_in_order_and_one_that_fails_stops_no_other() -> None:
    loop, taken, failed = asyncio.get_running_loop(), list[str](), list[Any]()

    def take(plural: str, _kind: str | None, _body: dict[str, Any]) -> None:
        if plural == "bad":
            raise ValueError(plural)
        taken.append(plural)

    loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))
    handover = _Handover(loop, take)
    for plural in ("a", "bad", "b"):
        handover.put(plural, None, {})
    await settle()
    handover.put("c", None, {})
    await settle()
    assert taken == ["a", "b", "c"]
    assert [str(each) for each in failed] == ["bad"]


async def test_the_credentials_are_read_anew_at_each_login() -> None:
    first = await connection_of(KUBE)
    Anybody.configuration.token = "bearer two\n"
    second = await connection_of(KUBE)
    assert (first.scheme, first.token, second.token) == ("Bearer", "one", "two")
    assert (first.server, first.ca_path, first.insecure) == ("https://kube:6443", "/ca.crt", False)


async def test_when_kopf_ends_it_is_started_again_after_longer_and_longer_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lives: list[float] = []
    clock = ManualClock()

    class BriefSession:
        def __init__(self, *_: Any) -> None:
            lives.append(clock.monotonic() - 1000.0)

        async def run(self) -> None:
            raise RuntimeError("a watch has failed")

        def stop(self) -> None:
            pass

    monkeypatch.setattr(informer, "_Session", BriefSession)
    restarts: list[None] = []
    watching = Informer(KUBE, clock, lambda *_: None)
    watching.on_restart = lambda: restarts.append(None)
    task = asyncio.create_task(watching.run())
    for _ in range(80):
        await asyncio.sleep(0.01)
        await settle()
        await clock.advance(1.0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert 4 <= len(lives) <= 9
    assert len(restarts) == len(lives) - 1
    assert not watching.running
    gaps = [later - earlier for earlier, later in pairwise(lives)]
    assert gaps[-1] > 3 * gaps[0]
