"""A metrics endpoint for many rollouts, each with counters of its own, which can fail or be spoilt one by one."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Literal

REQUESTS_PER_SECOND = 100.0

Spoilt = Literal["", "partial", "NaN", "stale", "twice"]
"""Nothing; no series of the treatment; a gauge that is no number; no series at all (Prometheus marks them stale); two
series where there was one."""


def indicators(namespace: str, name: str) -> list[dict[str, str]]:
    """What a rollout is judged by: its errors, and a gauge."""
    labels = f'world="{namespace}",rollout="{name}"'
    return [
        {
            "name": "error_ratio",
            "errors": f"sum by (variant) (increase(app_errors_total{{{labels}}}[$window]))",
            "total": f"sum by (variant) (increase(app_requests_total{{{labels}}}[$window]))",
            "window": "5s",
        },
        {"name": "heat", "query": f"app_heat{{{labels}}}"},
    ]


@dataclass(slots=True)
class _Counters:
    requests: float = 0.0
    errors: dict[str, float] = field(default_factory=lambda: {"on": 0.0, "off": 0.0})
    ratio: float = 0.0
    counted_at: float = field(default_factory=time.monotonic)

    def count(self) -> None:
        now = time.monotonic()
        made = (now - self.counted_at) * REQUESTS_PER_SECOND
        self.counted_at = now
        self.requests += made
        self.errors["on"] += made * self.ratio


class Exporter:
    """The counters."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counters: dict[tuple[str, str], _Counters] = {}
        self._spoilt: dict[str, Spoilt] = {}
        self.address = ""

    def begin(self, namespace: str, *names: str) -> None:
        """Count for these rollouts from now on."""
        with self._lock:
            self._counters |= {(namespace, name): _Counters() for name in names}

    def end(self, namespace: str) -> None:
        """Count no more for the rollouts of a namespace."""
        with self._lock:
            self._counters = {key: kept for key, kept in self._counters.items() if key[0] != namespace}

    def fail(self, namespace: str, *names: str, ratio: float = 0.5) -> None:
        """From now on this part of the treatment's requests fails."""
        with self._lock:
            for name in names:
                counters = self._counters[namespace, name]
                counters.count()
                counters.ratio = ratio

    def spoil(self, namespace: str, how: Spoilt) -> None:
        """Show the series of a namespace like this."""
        with self._lock:
            self._spoilt[namespace] = how

    def expose(self) -> str:
        """All of it in Prometheus' text format."""
        with self._lock:
            lines = [
                line
                for (namespace, name), counters in self._counters.items()
                for line in _lines(namespace, name, counters, self._spoilt.get(namespace, ""))
            ]
        return "\n".join([*lines, ""])


def _lines(namespace: str, name: str, counters: _Counters, spoilt: Spoilt) -> Iterator[str]:
    counters.count()
    if spoilt == "stale":
        return
    labels = f'world="{namespace}",rollout="{name}"'
    for variant in ("off",) if spoilt == "partial" else ("on", "off"):
        yield f'app_requests_total{{{labels},variant="{variant}"}} {counters.requests}'
        yield f'app_errors_total{{{labels},variant="{variant}"}} {counters.errors[variant]}'
    yield f"app_heat{{{labels}}} {math.nan if spoilt == 'NaN' else 5}"
    if spoilt == "twice":
        yield f'app_heat{{{labels},copy="2"}} 5'


@contextmanager
def serve_exporter() -> Iterator[Exporter]:
    """Serve the counters on loopback."""
    exporter = Exporter()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exporter.expose().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            with suppress(ConnectionError):  # Prometheus may be killed meanwhile
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    exporter.address = f"127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    thread.start()
    try:
        yield exporter
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
