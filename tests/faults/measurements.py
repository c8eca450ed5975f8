"""The measured times of the last plays, in a file from which the page is made; each play replaces its own."""

import dataclasses
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from tests.faults.scenario import Measured, Scenario

FILE = Path(__file__).parents[2] / "out" / "faults.json"
_lock = Lock()


def keep(scenario: Scenario, measured: Measured) -> None:
    """Write down what a play took."""
    with _lock:
        found = read()
        found["machine"] = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores"
        found["date"] = f"{datetime.now(UTC):%Y-%m-%d}"
        found.setdefault("scenarios", {})[scenario.name] = dataclasses.asdict(measured)
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(found, indent=1))


def read() -> dict[str, Any]:
    """All that was measured so far; empty if nothing was."""
    if not FILE.exists():
        return {}
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found
