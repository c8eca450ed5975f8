"""Speaks Prometheus' query API through prometheus-api-client, with what that client leaves open.

The library brings the session with its retries, authentication and TLS. Its query methods have no default timeout, drop
`warnings` (a partial response) and put long queries into the URL even by POST; so queries are sent here: always with a
deadline, explicit times, a bound on the answer's size, and the warnings kept.
"""

import json
import logging
import math
import time
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import requests
from prometheus_api_client.prometheus_connect import PrometheusConnect
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.exceptions import ReadTimeoutError
from urllib3.util.retry import Retry

LOG = logging.getLogger(__name__)

CONNECT_SECONDS = 3
LARGEST_ANSWER_BYTES = 32 * 1024 * 1024
"""More is no answer to a question about one indicator: its query lacks an aggregation."""

IN_TIME = "Prometheus did not answer in time"
"""Without the number of seconds left, which differs each time: a text that changes is a status that is written."""

_LONGEST_URL = 2000
_OK = 200
_REJECTED = (400, 422)
_TIMED_OUT = 503
_LOGGED_DETAIL = 200
_TOO_MANY_SAMPLES = "too many samples"
"""Of Prometheus' message where a query goes beyond its `--query.max-samples`."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """One series of an answer, as it came: values may be NaN or infinite.

    Attributes:
        labels: all labels of the series.
        times: in Unix seconds, ascending. Arrays: a history of days would take seven times the memory as tuples.
        values: one for each time.
    """

    labels: Mapping[str, str]
    times: "array[float]"
    values: "array[float]"


@dataclass(frozen=True, slots=True)
class Reply:
    """What Prometheus answered; `partial` if it warned that something is missing."""

    series: tuple[Sampled, ...]
    partial: bool = False


class QueryError(Exception):
    """A query that got no answer; `reason` is a fixed text, fit for status."""

    def __init__(self, kind: Literal["unreachable", "timeout", "rejected"], reason: str) -> None:
        """Keep kind and reason apart."""
        self.kind: Literal["unreachable", "timeout", "rejected"] = kind
        self.reason = reason
        super().__init__(reason)


class TooLargeError(QueryError):
    """The answer is larger than anybody can use; less of it may be asked for."""

    def __init__(self) -> None:
        """The remedy is the author's, unless others can be left out."""
        super().__init__(
            "rejected", "Prometheus answers with too many series: aggregate the query, such as sum by (variant) (...)"
        )


class TokenFile(AuthBase):
    """A bearer token that is read anew for each request: mounted tokens rotate."""

    def __init__(self, path: Path) -> None:
        """Remember where the token is."""
        self._path = path

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the header."""
        request.headers["Authorization"] = f"Bearer {self._path.read_text().strip()}"
        return request


class PrometheusClient(PrometheusConnect):
    """Asks Prometheus, or what speaks its API; blocking, safe to share between threads."""

    def __init__(
        self, url: str, *, token_file: Path | None = None, ca_file: Path | None = None, connections: int = 8
    ) -> None:
        """Prepare the session; nothing is sent yet.

        Args:
            url: of the server, with its path prefix if it has one.
            token_file: holds a bearer token.
            ca_file: certificates that are trusted instead of the system's.
            connections: kept open at once.
        """
        session = requests.Session()
        # Neither proxies nor a .netrc of the environment: who is asked and as whom is said by the operator's options.
        session.trust_env = False
        if ca_file is not None:
            session.verify = str(ca_file)
        # One retry, for a kept connection that the server has closed meanwhile; the next tick is the real retry.
        # `read=False` leaves a timeout a timeout, where 0 would report it as a broken connection.
        retry = Retry(total=1, read=False, status=0, redirect=0, backoff_factor=0)
        super().__init__(url.rstrip("/"), session=session, retry=retry, timeout=CONNECT_SECONDS)
        self._token = TokenFile(token_file) if token_file is not None else None
        session.mount(self.url, HTTPAdapter(max_retries=retry, pool_maxsize=connections))

    def instant(self, query: str, *, at: float, seconds: float, lookback_seconds: float | None = None) -> Reply:
        """The value at a time (Unix seconds).

        Args:
            query: PromQL.
            at: the time.
            seconds: by when there must be an answer.
            lookback_seconds: how old a sample of an instant selector may be; Prometheus' own limit if None.

        Raises:
            QueryError: there is no answer.
        """
        return self._ask("query", {"query": query, "time": f"{at:.3f}"}, seconds, lookback_seconds)

    def range(
        self,
        query: str,
        *,
        start: float,
        end: float,
        step: float,
        seconds: float,
        lookback_seconds: float | None = None,
    ) -> Reply:
        """The values from start to end (Unix seconds, both included) at each step.

        Raises:
            QueryError: there is no answer.
        """
        parameters = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return self._ask("query_range", parameters, seconds, lookback_seconds)

    def _ask(self, path: str, parameters: dict[str, str], seconds: float, lookback_seconds: float | None) -> Reply:
        until = time.monotonic() + seconds
        parameters["timeout"] = f"{seconds:.3f}"
        if lookback_seconds is not None:
            parameters["lookback_delta"] = f"{lookback_seconds:.3f}"
        try:
            status, body = self._send(path, parameters, until)
        except (requests.RequestException, OSError) as error:
            if _is_timeout(error):
                raise QueryError("timeout", IN_TIME) from error
            LOG.warning("Prometheus can't be reached: %s", error)
            raise QueryError("unreachable", "Prometheus can't be reached") from error
        if status != _OK:
            raise _error_of(status, body, parameters["query"])
        return _reply_of(body)

    def _send(self, path: str, parameters: dict[str, str], until: float) -> tuple[int, bytes]:
        """Send and read the answer; read-only proxies often know GET alone, long queries fit only into a POST."""
        long = sum(len(value) for value in parameters.values()) > _LONGEST_URL
        left = max(until - time.monotonic(), 0.001)
        with self._session.request(
            "POST" if long else "GET",
            f"{self.url}/api/v1/{path}",
            params=None if long else parameters,
            data=parameters if long else None,
            auth=self._token,
            timeout=(min(CONNECT_SECONDS, left), left),
            allow_redirects=False,
            stream=True,
        ) as response:
            return response.status_code, _read(response.iter_content(64 * 1024), until)


def _is_timeout(error: Exception) -> bool:
    # A timeout within the body comes as a ConnectionError around urllib3's.
    cause = error.args[0] if error.args else None
    return isinstance(error, requests.Timeout | TimeoutError) or isinstance(cause, ReadTimeoutError)


def _read(chunks: Iterable[bytes], until: float) -> bytes:
    """The body. A timeout of requests is one between two packets: a trickling answer has to be ended here."""
    body = bytearray()
    for chunk in chunks:
        body += chunk
        if time.monotonic() > until:
            raise TimeoutError
        if len(body) > LARGEST_ANSWER_BYTES:
            raise TooLargeError
    return bytes(body)


def _error_of(status: int, body: bytes, query: str) -> QueryError:
    """What an error status means. Bodies are logged, never shown: they may quote what a tenant must not see."""
    try:
        told = json.loads(body)
        detail, kind = str(told["error"])[:_LOGGED_DETAIL], str(told.get("errorType", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        detail, kind = "", ""
    if status in _REJECTED:
        LOG.warning("Prometheus rejects a query (%s): %s", detail or status, query)
        if _TOO_MANY_SAMPLES in detail:
            return TooLargeError()
        return QueryError("rejected", "Prometheus rejects the query; the operator's log has the reason")
    LOG.warning("Prometheus answers with status %s: %s", status, detail)
    if status == _TIMED_OUT and kind == "timeout":
        return QueryError("timeout", "Prometheus gave up on the query: it takes too long")
    return QueryError("unreachable", f"Prometheus answers with status {status}")


def _reply_of(body: bytes) -> Reply:
    try:
        told = json.loads(body)
        series = tuple(_series_of(told["data"]["resultType"], told["data"]["result"]))
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise QueryError("unreachable", "what answers is not Prometheus") from error
    return Reply(series, partial=bool(told.get("warnings")))


def _series_of(result_type: str, result: Any) -> Iterable[Sampled]:
    if result_type == "scalar":
        yield _sampled({}, [result])
        return
    if result_type not in ("vector", "matrix"):
        return  # a string says nothing about numbers
    for found in result:
        yield _sampled(dict(found["metric"]), found.get("values", [found["value"]] if "value" in found else []))


def _sampled(labels: Mapping[str, str], pairs: Any) -> Sampled:
    # Prometheus writes NaN, +Inf and -Inf, which float reads.
    return Sampled(
        labels,
        times=array("d", (float(at) for at, _ in pairs)),
        values=array("d", (float(value) if value is not None else math.nan for _, value in pairs)),
    )
