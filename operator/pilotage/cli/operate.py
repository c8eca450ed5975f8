"""What `pilotage run` does once its arguments are read; apart from it, because all of the operator is imported here."""

import argparse
import asyncio
import gc
import sys
from contextlib import AsyncExitStack

from pilotage.cli.process import run_process
from pilotage.controller.app import Operator, Settings
from pilotage.controller.clock import SystemClock
from pilotage.delivery.dataplane import FlagServiceClient
from pilotage.delivery.flags import FlagTarget
from pilotage.kube import Kube
from pilotage.metrics.source import PrometheusSource

_YOUNG_OBJECTS = 50_000
"""So many new objects are looked through for cycles at once, not 700: what is parsed of a list is none, and looking
through it again and again was a third of the time that 10,000 rollouts took."""


async def operate(arguments: argparse.Namespace) -> int:
    """Run the operator until it is told to stop: 0; 1 if it could not start, or a part of it has ended by itself."""
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)
    return await run_process(arguments, _operate)


async def _operate(kube: Kube, arguments: argparse.Namespace, stop: asyncio.Event) -> int:
    async with AsyncExitStack() as stack:
        source = PrometheusSource(
            arguments.prometheus, token_file=arguments.prometheus_token_file, ca_file=arguments.prometheus_ca_file
        )
        await stack.enter_async_context(source)
        data_plane = None
        if arguments.flag_service:
            data_plane = FlagServiceClient(
                arguments.flag_service,
                ca_file=arguments.flag_service_ca,
                token_file=arguments.flag_service_token_file,
            )
            stack.push_async_callback(data_plane.close)
        operator = Operator(kube, source, FlagTarget(kube, data_plane), _settings(arguments), SystemClock())
        return 0 if await operator.run(stop) else 1


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(
        identity=arguments.identity,
        lease_namespace=arguments.lease_namespace,
        lease_name=arguments.lease_name,
        tenant_roles=arguments.tenant_roles,
        prometheus=arguments.prometheus,
        tenant_label=arguments.tenant_label,
        http_host=arguments.http_host,
        http_port=arguments.http_port,
        workers=arguments.workers,
        record=arguments.record,
        record_rotate_bytes=arguments.record_rotate_mebibytes << 20,
        record_keep=arguments.record_keep,
        out=sys.stdout.buffer,
        max_advancing=arguments.max_advancing or None,
    )
