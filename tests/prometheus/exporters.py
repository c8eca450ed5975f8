"""An application whose metrics a test plays: a real exporter on loopback, scraped by the real Prometheus."""

import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Metric, start_http_server


class _Whole(CollectorRegistry):
    """What is counted while `lock` is held is seen by a scrape together, or not yet."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        with self.lock:
            return list(super().collect())


class Exporter:
    """Serves the metrics of its registry until it is closed.

    Args:
        port: where; 0 takes a free one.
        fill: puts metrics into the registry before anybody can scrape it: no scrape sees some of them only.

    Attributes:
        at_once: what is counted with it in hand is scraped together.
    """

    def __init__(self, port: int = 0, fill: Callable[[CollectorRegistry], object] = lambda _registry: None) -> None:
        self.registry = _Whole()
        self.at_once = self.registry.lock
        fill(self.registry)
        self._server, self._thread = start_http_server(port, addr="127.0.0.1", registry=self.registry)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    @property
    def address(self) -> str:
        """As Prometheus wants it."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Go away, as a crashed application does: scrapes are refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
