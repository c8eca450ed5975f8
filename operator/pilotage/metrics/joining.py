"""Several queries as one: each part carries a label that tells it apart, and the reply is taken apart by it.

Errors and total of an indicator are always joined: what one can spoil there (a comment, a bracket that closes ours) is
its own indicator's. Queries of several rollouts are joined only once Prometheus has taken each, alone, as one whole
expression (`proofs`): in brackets such a query can neither end ours nor reach into another's.
"""

from collections.abc import Sequence

from pilotage.metrics.client import Reply

PART = "pilotage_part"
"""Label of an indicator's queries."""

UNIT = "pilotage_unit"
"""Label of what different rollouts ask."""


def join(queries: Sequence[str], label: str = PART) -> str:
    """One PromQL for all; Prometheus rejects it where a query is no instant vector (a scalar can't be labelled)."""
    # The line breaks keep a comment at a query's end from swallowing what follows. The label replaces one of that name
    # that a query brings along.
    return " or ".join(
        f'label_replace((\n{query}\n), "{label}", "{part}", "", "")' for part, query in enumerate(queries)
    )


def split(reply: Reply, count: int, label: str = PART) -> tuple[Reply, ...]:
    """The reply to each of the queries, in their order; their series keep the label, which nobody reads."""
    return tuple(
        Reply(tuple(series for series in reply.series if series.labels.get(label) == str(part)), partial=reply.partial)
        for part in range(count)
    )
