"""What the operator measures of its own asking."""

from prometheus_client import Counter, Histogram

QUERY_SECONDS = Histogram(
    "pilotage_query_seconds",
    "How long Prometheus took to answer a query.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)

QUERIES = Counter(
    "pilotage_queries_total",
    "Queries to Prometheus by result: answered, empty, partial (it warned), rejected, timeout, unreachable.",
    ["result"],
)
for _result in ("answered", "empty", "partial", "rejected", "timeout", "unreachable"):
    QUERIES.labels(result=_result)
