"""How delivery asks the flag service: every replica, patiently, and without believing strangers."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc.aio import ServicerContext
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

from pilotage.delivery import dataplane
from pilotage.delivery.dataplane import FlagServiceClient
from pilotage.delivery.flags import FlagTarget
from pilotage.delivery.target import DeliveryError, Place
from pilotage.delivery.targeting import definition_of
from pilotage.rollout.exposure import Exposure

WANT = Exposure("checkout", "on", "off", "users", enrolled=("user-1",), seed="s:", revision=2)
PLACE = Place("shop", "pilot-flags", "pilotage/one")


class Replica(sync_pb2_grpc.FlagSyncServiceServicer):
    """A replica that serves what the test says: a real one can't be kept behind."""

    def __init__(self, document: str) -> None:
        self.document = document
        self.asked: list[tuple[str, str]] = []

    async def FetchAllFlags(  # noqa: N802 - the name is the protocol's
        self, request: sync_pb2.FetchAllFlagsRequest, context: ServicerContext
    ) -> sync_pb2.FetchAllFlagsResponse:
        metadata = dict(context.invocation_metadata() or ())
        self.asked.append((request.selector, str(metadata.get("authorization"))))
        return sync_pb2.FetchAllFlagsResponse(flag_configuration=self.document)

    SyncFlags = GetMetadata = None  # type: ignore[assignment]  # delivery does not call them


def document(revision: int) -> str:
    definition = definition_of(
        Exposure("checkout", "on", "off", "users", ("x",), ("user-1",), seed="s:", revision=revision)
    )
    return json.dumps({"flags": {"checkout": definition}})


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Any]]:
    servers: list[grpc.aio.Server] = []

    async def started(replica: Replica, address: str, port: int = 0) -> int:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        sync_pb2_grpc.add_FlagSyncServiceServicer_to_server(replica, server)
        bound: int = server.add_insecure_port(f"{address}:{port}")
        await server.start()
        servers.append(server)
        return bound

    yield started
    for server in servers:
        await server.stop(0)


@pytest.fixture
def two_replicas(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name `flags.test` has two addresses, as a headless Service gives them."""

    def resolve(host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        assert host == "flags.test"
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port))) for address in ("127.0.0.1", "127.0.0.2")
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


async def verify(asked: FlagServiceClient) -> tuple[bool, str]:
    verified = await FlagTarget(object(), asked).verify(PLACE, WANT, ["user-2"])  # type: ignore[arg-type]  # not used
    return verified.in_force, verified.message


@pytest.mark.usefixtures("two_replicas")
async def test_an_exposure_is_in_force_when_every_replica_serves_it(start: Callable[..., Any]) -> None:
    one, two = Replica(document(2)), Replica(document(1))
    port = await start(one, "127.0.0.1")
    await start(two, "127.0.0.2", port)
    asked = FlagServiceClient(f"flags.test:{port}")
    assert await verify(asked) == (False, "the flag checkout is served at revision 1, not 2")
    two.document = document(2)
    assert await verify(asked) == (True, "")
    assert one.asked == [("flagSetId=shop", "None")] * 2
    await asked.close()


@pytest.mark.usefixtures("two_replicas")
async def test_a_replica_that_is_gone_is_left_out_while_another_answers(start: Callable[..., Any]) -> None:
    port = await start(Replica(document(2)), "127.0.0.2")
    asked = FlagServiceClient(f"flags.test:{port}")
    assert await verify(asked) == (True, "")
    await asked.close()


async def test_the_token_is_read_again_in_time(
    start: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica, token = Replica(document(2)), tmp_path / "token"
    asked = FlagServiceClient(f"127.0.0.1:{await start(replica, '127.0.0.1')}", token_file=token)
    with pytest.raises(DeliveryError, match="check --flag-service-token-file"):
        await verify(asked)
    for text in ("first\n", "second"):
        token.write_text(text)
        assert await verify(asked) == (True, "")
    monkeypatch.setattr(dataplane, "READ_AGAIN_SECONDS", 0)
    assert await verify(asked) == (True, "")
    assert [sent for _, sent in replica.asked] == ["Bearer first", "Bearer first", "Bearer second"]
    await asked.close()


async def test_many_namespaces_that_are_asked_at_one_moment_look_up_the_address_once(
    start: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []

    def resolve(host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(port)))]

    replica = Replica(document(2))
    port = await start(replica, "127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    asked = FlagServiceClient(f"flags.test:{port}")
    await asyncio.gather(*(asked.flag_sets(f"team-{number}") for number in range(20)))
    assert (len(replica.asked), looked_up) == (20, ["flags.test"])
    await asked.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"flags": 1}', '{"no": "flags"}', '{"flags": {"checkout": 1}}'])
async def test_an_answer_that_cannot_be_read_is_an_error_and_no_crash(start: Callable[..., Any], text: str) -> None:
    asked = FlagServiceClient(f"127.0.0.1:{await start(Replica(text), '127.0.0.1')}")
    with pytest.raises(DeliveryError, match="can't be read"):
        await verify(asked)
    await asked.close()


async def test_nobody_listening_is_told_apart_from_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = FlagServiceClient(f"127.0.0.1:{port}")
    with pytest.raises(DeliveryError, match="the flag service can't be reached"):
        await verify(asked)
    await asked.close()

    def unknown(*_: Any, **__: Any) -> Sequence[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DeliveryError, match="not known to DNS: check --flag-service"):
        await verify(FlagServiceClient("flags.test:8015"))


async def test_an_authority_that_cannot_be_read_names_its_option(tmp_path: Path) -> None:
    asked = FlagServiceClient("127.0.0.1:8015", ca_file=tmp_path / "ca.crt")
    with pytest.raises(DeliveryError, match="check --flag-service-ca"):
        await verify(asked)


class SlowReplica(Replica):
    """Takes as many seconds for a namespace as its name says."""

    async def FetchAllFlags(  # noqa: N802 - the name is the protocol's
        self, request: sync_pb2.FetchAllFlagsRequest, context: ServicerContext
    ) -> sync_pb2.FetchAllFlagsResponse:
        await asyncio.sleep(float(request.selector.removeprefix("flagSetId=")))
        return await super().FetchAllFlags(request, context)


async def test_a_call_that_times_out_does_not_cancel_the_others_on_its_connection(start: Callable[..., Any]) -> None:
    client = FlagServiceClient(f"127.0.0.1:{await start(SlowReplica(document(2)), '127.0.0.1')}")
    hopeless = asyncio.create_task(client.flag_sets("9"))
    await asyncio.sleep(0.5)
    patient = asyncio.create_task(client.flag_sets("0.8"))
    with pytest.raises(DeliveryError, match="can't be reached"):
        await hopeless
    assert [*(await patient)[0]] == ["checkout"]
    await client.close()


async def test_who_asks_for_a_namespace_while_a_call_is_under_way_shares_its_answer(start: Callable[..., Any]) -> None:
    replica = SlowReplica(document(2))
    client = FlagServiceClient(f"127.0.0.1:{await start(replica, '127.0.0.1')}")
    impatient = asyncio.create_task(client.flag_sets("0.3"))
    calls = [asyncio.create_task(client.flag_sets(name)) for name in ("0.3", "0.3", "0.2")]
    await asyncio.sleep(0.1)
    impatient.cancel()  # it began the call that the others wait for
    assert [[*(await call)[0]] for call in calls] == [["checkout"]] * 3
    assert [selector for selector, _ in replica.asked] == ["flagSetId=0.2", "flagSetId=0.3"]
    assert [*(await client.flag_sets("0.2"))[0]] == ["checkout"]
    assert len(replica.asked) == 3  # a call that has ended answers nobody any more
    await client.close()
