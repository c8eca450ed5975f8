"""What `pilotage run` does once its arguments are read; apart from it, because all of the operator is imported here."""

import argparse
import asyncio
import logging
import signal

from pilotage.controller.app import Operator, Settings
from pilotage.controller.clock import SystemClock
from pilotage.controller.logs import set_up_logs
from pilotage.delivery.flags import FlagTarget
from pilotage.kube import Kube, KubeError
from pilotage.metrics.source import PrometheusSource

_LOG = logging.getLogger(__name__)


async def operate(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT: 0; 1 if it could not start, or a part of it has ended that never should."""
    set_up_logs(arguments.log_level)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        kube = await Kube.connect(arguments.kubeconfig)
    except KubeError as error:
        _LOG.error("%s: %s; give --kubeconfig, or run in a pod", error, error.detail)
        return 1
    try:
        return await _operate(kube, arguments, stop)
    except OSError as error:
        _LOG.error("can't start: %s", error)
        return 1
    finally:
        await kube.close()


async def _operate(kube: Kube, arguments: argparse.Namespace, stop: asyncio.Event) -> int:
    settings = Settings(
        identity=arguments.identity,
        lease_namespace=arguments.lease_namespace,
        lease_name=arguments.lease_name,
        http_host=arguments.http_host,
        http_port=arguments.http_port,
        workers=arguments.workers,
    )
    source = PrometheusSource(
        arguments.prometheus, token_file=arguments.prometheus_token_file, ca_file=arguments.prometheus_ca_file
    )
    async with source:
        operator = Operator(kube, source, FlagTarget(kube), settings, SystemClock())
        return 0 if await operator.run(stop) else 1
