"""Traffic of many features: a metrics endpoint whose counters grow by the clock, and whose errors jump at a command."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

REQUESTS_PER_SECOND = 100.0
HEALTHY, BROKEN = 0.001, 0.05


class Traffic:
    """Counts `app_requests_total` and `app_errors_total` by feature and variant; only the treatment fails.

    Args:
        features: values of the label `feature`.
    """

    def __init__(self, features: list[str]) -> None:
        self._lock = Lock()
        self._ratio = HEALTHY
        self._counted_at = time.monotonic()
        self._requests = self._errors = 0.0
        self._template = (
            "\n".join(
                f'app_requests_total{{feature="{each}",variant="{variant}"}} {{requests}}\n'
                f'app_errors_total{{feature="{each}",variant="{variant}"}} {{errors_{variant}}}'
                for each in features
                for variant in ("on", "off")
            )
            .replace('{feature="', '{{feature="')
            .replace('"} {', '"}} {')
        )
        self.address = ""

    def fail(self, ratio: float) -> None:
        """From now on this part of the treatment's requests fails."""
        with self._lock:
            self._count()
            self._ratio = ratio

    def expose(self) -> bytes:
        """The counters in Prometheus' text format."""
        with self._lock:
            self._count()
            values = {"requests": self._requests, "errors_on": self._errors, "errors_off": self._requests * HEALTHY}
        return (self._template.format(**values) + "\n").encode()

    def _count(self) -> None:
        now = time.monotonic()
        made = (now - self._counted_at) * REQUESTS_PER_SECOND
        self._counted_at = now
        self._requests += made
        self._errors += made * self._ratio


@contextmanager
def serve_traffic(features: list[str]) -> Iterator[Traffic]:
    """Serve the counters on loopback."""
    traffic = Traffic(features)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = traffic.expose()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    traffic.address = f"127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield traffic
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
