"""Several queries as one: each part carries a label that tells it apart, and the reply is taken apart by it.

Only queries of one indicator are joined: what a query can spoil (a comment, a bracket that closes ours) is its own
indicator's, and the answer is shared only with those who ask the very same.
"""

from collections.abc import Sequence

from pilotage.metrics.client import Reply

_PART = "pilotage_part"


def join(queries: Sequence[str]) -> str:
    """One PromQL for all; Prometheus rejects it where a query is no instant vector (a scalar can't be labelled)."""
    # The line breaks keep a comment at a query's end from swallowing what follows.
    return " or ".join(
        f'label_replace((\n{query}\n), "{_PART}", "{part}", "", "")' for part, query in enumerate(queries)
    )


def split(reply: Reply, count: int) -> tuple[Reply, ...]:
    """The reply to each of the queries, in their order; their series keep the label, which nobody reads."""
    return tuple(
        Reply(tuple(series for series in reply.series if series.labels.get(_PART) == str(part)), partial=reply.partial)
        for part in range(count)
    )
