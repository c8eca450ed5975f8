"""Logs as JSON lines: one object a line, with the rollout and its namespace where a line is about one."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

_NOISE = "OS signals are ignored: running not in the main thread."


def set_up_logs(level: str) -> None:
    """Send everything to standard error.

    Args:
        level: such as `INFO`; kopf's lines about single objects are shown from WARNING on, it writes one at each event.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
            datefmt="%Y-%m-%dT%H:%M:%S%z",
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("kopf", "aiohttp.access", "asyncio"):
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    logging.getLogger("kopf._core.reactor.running").addFilter(lambda record: record.getMessage() != _NOISE)
