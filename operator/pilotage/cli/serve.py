"""What `pilotage flags` does once its arguments are read."""

import argparse
import asyncio
import logging
from contextlib import suppress

from pilotage.cli.process import StartError, run_process
from pilotage.controller.probes import Probes
from pilotage.flags.service import ConfigurationError, serve
from pilotage.kube import Kube

_LOG = logging.getLogger(__name__)


async def serve_flags(arguments: argparse.Namespace) -> int:
    """Serve until told to stop: 0; 1 if it could not start, or has ended by itself."""
    return await run_process(arguments, _serve)


async def _serve(kube: Kube, arguments: argparse.Namespace, stop: asyncio.Event) -> int:
    listening = asyncio.Event()
    probes = Probes(
        arguments.http_host,
        arguments.http_port,
        healthy=lambda: "",
        ready=lambda: "" if listening.is_set() else "not listening yet",
    )
    await probes.start()
    _LOG.info("probes and metrics on port %d", probes.port)
    service = asyncio.create_task(
        serve(
            kube,
            host=arguments.host,
            port=arguments.port,
            tls_cert=arguments.tls_cert,
            tls_key=arguments.tls_key,
            authenticate=not arguments.no_authentication,
            operator=arguments.operator_service_account,
            ready=lambda _: listening.set(),
        )
    )
    told = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({service, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ended_by_itself = service.done()
        told.cancel()
        await probes.stop()
        await _end(service)
    return 1 if ended_by_itself else 0


async def _end(service: asyncio.Task[None]) -> None:
    service.cancel()
    try:
        with suppress(asyncio.CancelledError):
            await service
    except ConfigurationError as error:
        raise StartError(str(error)) from error
