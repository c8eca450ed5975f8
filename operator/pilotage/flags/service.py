"""The flag service: `flagd.sync.v1` over gRPC, as every flagd provider speaks it in its in-process mode."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import NoReturn

import grpc
from grpc.aio import ServicerContext
from openfeature.schemas.protobuf.flagd.sync.v1 import sync_pb2, sync_pb2_grpc

from pilotage.flags.access import (
    Caller,
    ForbiddenError,
    InvalidSelectorError,
    Reviewer,
    ReviewFailedError,
    UnauthenticatedError,
    namespace_for,
)
from pilotage.flags.certificate import server_credentials
from pilotage.flags.flagsets import FlagSets, NotEnrolledError
from pilotage.flags.telemetry import PUSHES, REFUSALS, SUBSCRIBERS
from pilotage.kube import Kube

log = logging.getLogger(__name__)

FIRST_DOCUMENT_SECONDS = 5.0
STOP_SECONDS = 0.5

_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not a share of the traffic
    # The stream of a dead application ends within a minute.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # Python's provider pings every millisecond unless it is told otherwise, and would be cut off for it.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
)


class ConfigurationError(ValueError):
    """The service can't be started like this; the message names the remedy."""


async def serve(
    kube: Kube,
    *,
    host: str = "127.0.0.1",
    port: int = 8015,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    authenticate: bool = True,
    operator: str = "",
    ready: Callable[[int], None] | None = None,
) -> None:
    """Serve flags until cancelled.

    Args:
        kube: client that may read flags in the enrolled namespaces, and create TokenReviews.
        host: address to listen on.
        port: port to listen on; 0 for any free one.
        tls_cert: certificate chain (PEM); it is read again when the file changes.
        tls_key: its key.
        authenticate: whether callers must prove who they are; without it they name their namespace by the selector.
        operator: `namespace:name` of the ServiceAccount that may read the flags of every namespace.
        ready: called with the port when it listens.

    Raises:
        ConfigurationError: it can't be started like this.
    """
    if (tls_cert is None) != (tls_key is None):
        raise ConfigurationError("give both --tls-cert and --tls-key, or none of them")
    if authenticate and tls_cert is None and not _is_loopback(host):
        raise ConfigurationError(f"tokens would go to {host} in clear text: give --tls-cert and --tls-key")
    flag_sets = FlagSets(kube)
    server = grpc.aio.server(options=_OPTIONS)
    service = FlagSyncService(flag_sets, Reviewer(kube, operator=operator) if authenticate else None)
    sync_pb2_grpc.add_FlagSyncServiceServicer_to_server(service, server)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if tls_cert is None or tls_key is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, server_credentials(tls_cert, tls_key))
    except RuntimeError as error:
        raise ConfigurationError(f"can't listen on {address}: is the port taken?") from error
    await server.start()
    log.info("serving flags", extra={"host": host, "port": bound, "tls": tls_cert is not None})
    if ready is not None:
        ready(bound)
    try:
        await asyncio.Event().wait()  # for ever; a cancelled wait_for_termination would make stop() fail
    finally:
        await server.stop(STOP_SECONDS)
        await flag_sets.close()


class FlagSyncService(sync_pb2_grpc.FlagSyncServiceServicer):
    """Answers applications and the operator.

    Args:
        flag_sets: what is served.
        reviewer: proves callers; None lets everybody in.
    """

    def __init__(self, flag_sets: FlagSets, reviewer: Reviewer | None) -> None:
        self._flag_sets = flag_sets
        self._reviewer = reviewer

    async def SyncFlags(  # noqa: N802 - the name is the protocol's
        self, request: sync_pb2.SyncFlagsRequest, context: ServicerContext
    ) -> AsyncIterator[sync_pb2.SyncFlagsResponse]:
        """Stream the namespace's document, and each newer one."""
        namespace = await self._admit(request.selector, context)
        document: str | None = None
        async with self._flag_sets.using(namespace) as flag_set:
            with SUBSCRIBERS.track_inprogress():
                while True:
                    try:
                        document = await flag_set.document_after(document)
                    except NotEnrolledError:
                        await _abort_not_enrolled(context, namespace)
                    PUSHES.inc()
                    yield sync_pb2.SyncFlagsResponse(flag_configuration=document)

    async def FetchAllFlags(  # noqa: N802 - the name is the protocol's
        self, request: sync_pb2.FetchAllFlagsRequest, context: ServicerContext
    ) -> sync_pb2.FetchAllFlagsResponse:
        """The namespace's current document."""
        namespace = await self._admit(request.selector, context)
        async with self._flag_sets.using(namespace) as flag_set:
            try:
                async with asyncio.timeout(FIRST_DOCUMENT_SECONDS):
                    document = await flag_set.document_after(None)
            except TimeoutError:
                await _abort(context, grpc.StatusCode.UNAVAILABLE, "the API server can't be asked for the flags yet")
            except NotEnrolledError:
                await _abort_not_enrolled(context, namespace)
        return sync_pb2.FetchAllFlagsResponse(flag_configuration=document)

    async def GetMetadata(  # noqa: N802 - the name is the protocol's
        self, _request: sync_pb2.GetMetadataRequest, context: ServicerContext
    ) -> NoReturn:
        """Not implemented, on purpose: an empty answer would end Python's provider with a KeyError."""
        await _abort(context, grpc.StatusCode.UNIMPLEMENTED, "there is no metadata: use SyncFlags")

    async def _admit(self, selector: str, context: ServicerContext) -> str:
        """The namespace whose flags the call may have; else the call ends here."""
        metadata = {key.lower(): value for key, value in context.invocation_metadata() or ()}
        try:
            caller = await self._caller(str(metadata.get("authorization", "")))
            return namespace_for(caller, str(metadata.get("flagd-selector", selector)))
        except UnauthenticatedError as error:
            await _abort(context, grpc.StatusCode.UNAUTHENTICATED, str(error))
        except ForbiddenError as error:
            await _abort(context, grpc.StatusCode.PERMISSION_DENIED, str(error))
        except InvalidSelectorError as error:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except ReviewFailedError as error:
            await _abort(context, grpc.StatusCode.UNAVAILABLE, str(error))

    async def _caller(self, authorization: str) -> Caller:
        if self._reviewer is None:
            return Caller("", reads_all=True)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise UnauthenticatedError("send `authorization: Bearer <ServiceAccount token>` as metadata of the call")
        return await self._reviewer.review(token.strip())


async def _abort(context: ServicerContext, code: grpc.StatusCode, text: str) -> NoReturn:
    REFUSALS.labels(code.name).inc()
    await context.abort(code, text)
    raise AssertionError("abort does not return")


async def _abort_not_enrolled(context: ServicerContext, namespace: str) -> NoReturn:
    text = f"namespace {namespace} is not enrolled: bind ClusterRole pilotage-flags-reader there"
    await _abort(context, grpc.StatusCode.PERMISSION_DENIED, text)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
