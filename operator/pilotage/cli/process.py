"""What both long-lived processes do alike: log as JSON, connect, and end on SIGTERM."""

import argparse
import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable

from pilotage.controller.logs import set_up_logs
from pilotage.kube import Kube, KubeError

_LOG = logging.getLogger(__name__)

Body = Callable[[Kube, argparse.Namespace, asyncio.Event], Awaitable[int]]
"""Takes the API server, the arguments, and an event that is set when it shall stop; returns the exit status."""


class StartError(Exception):
    """The process can't run like this; the message says what to change."""


async def run_process(arguments: argparse.Namespace, body: Body) -> int:
    """Run a process's body; 1 if it can't start."""
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
    async with kube:
        try:
            return await body(kube, arguments, stop)
        except (OSError, StartError) as error:
            _LOG.error("can't start: %s", error)
            return 1
