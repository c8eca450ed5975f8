"""Writes samples of any time into a real Prometheus, over its remote-write receiver: scraping knows only the present.

The protocol is a protobuf message in Snappy's block format; the few bytes that it takes are made here. A fresh
Prometheus takes all series in one request, however long ago they begin; later ones must not be older than an hour.
"""

import struct
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from testbed.prometheus import PrometheusServer, start_prometheus

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The value that ends a series at once, as Prometheus writes it when a scrape fails."""

Samples = Iterable[tuple[float, float]]
"""Times in Unix seconds, ascending, and values."""


@contextmanager
def prometheus_with_history() -> Iterator[tuple[PrometheusServer, "History"]]:
    """A Prometheus of its own that scrapes nothing, and the history to write into it."""
    with start_prometheus(flags=["--web.enable-remote-write-receiver"]) as started:
        yield started, History(started.url)


class History:
    """Collects series, and writes them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._series: list[tuple[float, bytes]] = []

    def add(self, name: str, samples: Samples, **labels: str) -> None:
        """One more series."""
        kept = tuple(samples)
        encoded = _labels({"__name__": name, **labels}) + b"".join(_sample(at, value) for at, value in kept)
        self._series.append((kept[0][0], _field(1, encoded)))

    def write(self) -> None:
        """Send all, the oldest first: the first sample says how far back others may reach.

        Raises:
            urllib.error.HTTPError: Prometheus refuses them.
        """
        self._series.sort(key=lambda each: each[0])
        body = _snappy(b"".join(encoded for _, encoded in self._series))
        headers = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"}
        request = urllib.request.Request(f"{self._url}/api/v1/write", body, headers)  # noqa: S310 - our own Prometheus
        with _OPENER.open(request, timeout=60):  # a status from 400 on raises
            self._series.clear()


def _labels(labels: Mapping[str, str]) -> bytes:
    pairs = (_field(1, name.encode()) + _field(2, value.encode()) for name, value in sorted(labels.items()))
    return b"".join(_field(1, pair) for pair in pairs)


def _sample(at: float, value: float) -> bytes:
    # Packed as bits: a float that passes through Python keeps the stale marker's payload.
    return _field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(round(at * 1000)))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    made = bytearray()
    while number >> 7:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


def _snappy(body: bytes) -> bytes:
    """The block format with literals alone: nothing is compressed."""
    pieces = [body[at : at + 0x10000] for at in range(0, len(body), 0x10000)]
    return _varint(len(body)) + b"".join(b"\xf4" + struct.pack("<H", len(piece) - 1) + piece for piece in pieces)
