"""The data plane as delivery asks it: every replica of the flag service that can be reached, over gRPC.

Replicas follow the API server each for itself. What one of them serves is what its applications have, so an exposure
is in force only when all of them serve it. One that can't be reached serves nobody new; it is left out while another
answers.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import grpc
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

from pilotage.delivery.target import DeliveryError

ANSWER_SECONDS = 1.0
RESOLVE_AGAIN_SECONDS = 5.0
READ_AGAIN_SECONDS = 60.0
"""A token is renewed long before it expires; client-go reads it as often."""

T = TypeVar("T")

_UNREACHABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class FlagServiceClient:
    """Asks the flag service what it serves. Must be made and used within one event loop.

    Args:
        address: `host:port` of the flag service; all addresses of the host are asked.
        ca_file: authority that signed the service's certificate; without it the connection is plain text.
        token_file: ServiceAccount token with the audience `pilotage-flags`; read again each minute, and when a call is
            refused, because it is renewed.
    """

    def __init__(self, address: str, *, ca_file: Path | None = None, token_file: Path | None = None) -> None:
        self._host, _, self._port = address.rpartition(":")
        self._host = self._host.strip("[]")
        self._ca_file = ca_file
        self._token_file = token_file
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._addresses: tuple[str, ...] = ()
        self._resolved_at = float("-inf")
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._read_at = float("-inf")
        self._under_way: dict[str, asyncio.Task[Any]] = {}

    async def flag_sets(self, namespace: str) -> list[Mapping[str, Any]]:
        """The definitions by flag that each replica serves to a namespace.

        Rollouts of a namespace are due together: those who ask while a call is under way share its answer, which must
        not be changed.

        Raises:
            DeliveryError: no replica can be asked, or one refuses to answer.
        """
        sets: list[Mapping[str, Any]] = await self._share(f"flags of {namespace}", partial(self._flag_sets, namespace))
        return sets

    async def _share(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What comes of a work; who asks while it is under way has it together with the first."""
        if (task := self._under_way.get(name)) is None:
            task = self._under_way[name] = asyncio.create_task(work())
            task.add_done_callback(lambda ended: self._end(name, ended))
        result: T = await asyncio.shield(task)  # who asks may give up; the others don't
        return result

    def _end(self, name: str, task: "asyncio.Task[Any]") -> None:
        del self._under_way[name]
        if not task.cancelled():
            task.exception()  # all who asked may have given up: then nobody else looks at it

    async def _flag_sets(self, namespace: str) -> list[Mapping[str, Any]]:
        metadata = await self._credentials()
        asked = [self._ask(address, namespace, metadata) for address in await self._resolved()]
        answers = [answer for answer in await asyncio.gather(*asked) if answer is not None]
        if not answers:
            raise DeliveryError("the flag service can't be reached")
        return answers

    async def close(self) -> None:
        """Give up what is under way, and the connections."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            await channel.close()

    async def _ask(
        self, address: str, namespace: str, metadata: tuple[tuple[str, str], ...]
    ) -> Mapping[str, Any] | None:
        channel = await self._channel(address)
        stub = sync_pb2_grpc.FlagSyncServiceStub(channel)
        request = sync_pb2.FetchAllFlagsRequest(selector=f"flagSetId={namespace}")
        try:
            answer = await stub.FetchAllFlags(request, timeout=ANSWER_SECONDS, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _UNREACHABLE:
                self._read_at = float("-inf")  # it may be the token that is refused
                raise DeliveryError(f"the flag service refuses to answer: {error.details()}") from error
            self._let_go(address, channel)
            return None
        return _flags_of(answer.flag_configuration)

    async def _credentials(self) -> tuple[tuple[str, str], ...]:
        if self._token_file is not None and asyncio.get_running_loop().time() - self._read_at >= READ_AGAIN_SECONDS:
            await self._share("token", partial(self._read, self._token_file))
        return self._metadata

    async def _read(self, token_file: Path) -> None:
        try:
            token = await asyncio.to_thread(token_file.read_text)
        except OSError as error:
            raise DeliveryError(
                "the token for the flag service can't be read: check --flag-service-token-file"
            ) from error
        self._metadata = (("authorization", f"Bearer {token.strip()}"),)
        self._read_at = asyncio.get_running_loop().time()

    async def _resolved(self) -> tuple[str, ...]:
        if asyncio.get_running_loop().time() - self._resolved_at >= RESOLVE_AGAIN_SECONDS:
            await self._share("addresses", self._resolve)
        return self._addresses

    async def _resolve(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise DeliveryError("the flag service's name is not known to DNS: check --flag-service") from error
        self._addresses = tuple(dict.fromkeys(str(address[0]) for *_, address in found))
        self._resolved_at = loop.time()

    async def _channel(self, address: str) -> grpc.aio.Channel:
        if (channel := self._channels.get(address)) is None:
            # Replicas are asked one by one, but the certificate and the service go by the host's name.
            options = [("grpc.default_authority", f"{self._host}:{self._port}")]
            target = f"ipv6:[{address}]:{self._port}" if ":" in address else f"ipv4:{address}:{self._port}"
            if self._ca_file is None:
                channel = grpc.aio.insecure_channel(target, options=options)
            else:
                credentials = grpc.ssl_channel_credentials(await self._authority(self._ca_file))
                options.append(("grpc.ssl_target_name_override", self._host))
                channel = grpc.aio.secure_channel(target, credentials, options=options)
            self._channels[address] = channel
        return channel

    async def _authority(self, ca_file: Path) -> bytes:
        try:
            return await asyncio.to_thread(ca_file.read_bytes)
        except OSError as error:
            raise DeliveryError("the flag service's authority can't be read: check --flag-service-ca") from error

    def _let_go(self, address: str, channel: grpc.aio.Channel) -> None:
        """A new connection reads the authority anew: it may have been renewed.

        The old one is not closed here but by its last user: closing it would cancel the calls of all others on it.
        """
        if self._channels.get(address) is channel:
            del self._channels[address]


def _flags_of(document: str) -> Mapping[str, Any]:
    try:
        flags = json.loads(document)["flags"]
        if all(isinstance(definition, dict) for definition in flags.values()):
            return dict(flags)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise DeliveryError("the flag service's answer can't be read: something else listens there")
