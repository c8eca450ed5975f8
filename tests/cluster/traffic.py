"""Users who never sleep: a metrics endpoint whose counters grow with time, and whose errors a test sets."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread

VARIANTS = ("on", "off")
REQUESTS_PER_SECOND = 100.0


class Traffic:
    """Counts `app_requests_total` and `app_errors_total` by variant, as a thousand users would make them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counted_at = time.monotonic()
        self._requests = dict.fromkeys(VARIANTS, 0.0)
        self._errors = dict.fromkeys(VARIANTS, 0.0)
        self._ratios = dict.fromkeys(VARIANTS, 0.0)
        self.address = ""

    def fail(self, ratio: float, *, control: float = 0.0) -> None:
        """From now on this part of the treatment's requests fails, and that part of control's."""
        with self._lock:
            self._count()
            self._ratios = {"on": ratio, "off": control}

    def expose(self) -> str:
        """The counters in Prometheus' text format."""
        with self._lock:
            self._count()
            lines = [f'app_requests_total{{variant="{each}"}} {count}' for each, count in self._requests.items()]
            lines += [f'app_errors_total{{variant="{each}"}} {count}' for each, count in self._errors.items()]
        return "\n".join([*lines, ""])

    def _count(self) -> None:
        now = time.monotonic()
        made = (now - self._counted_at) * REQUESTS_PER_SECOND
        self._counted_at = now
        for variant in VARIANTS:
            self._requests[variant] += made
            self._errors[variant] += made * self._ratios[variant]


@contextmanager
def serve_traffic() -> Iterator[Traffic]:
    """Serve the counters on loopback."""
    traffic = Traffic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = traffic.expose().encode()
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
