"""An application whose metrics a test plays: a real exporter on loopback, scraped by the real Prometheus."""

from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, start_http_server


class Exporter:
    """Serves the metrics of its registry until it is closed."""

    def __init__(self, port: int = 0) -> None:
        self.registry = CollectorRegistry()
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
