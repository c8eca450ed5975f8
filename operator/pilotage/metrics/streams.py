"""What is fetched for a question: PromQL on a grid, the same for all who may share the answer.

A question of a group is asked for many groups at once: for those that are named, or for all. It is asked for its group
alone where the answer for all would be too long: a history of days in small steps, times a thousand rollouts, fits
nowhere.
"""

from dataclasses import dataclass

from pilotage.judging.evidence import Group, Question
from pilotage.judging.questions import GROUP, WINDOW
from pilotage.metrics.members import literal

LONG_STEPS = 1000
"""More steps than this make a question a long one: it is asked in a lane of its own, and for its group alone."""

_PROMETHEUS_LOOKBACK_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Stream:
    """The queries of one measurement on one grid; spans of any length are parts of it.

    Attributes:
        queries: PromQL with nothing left open.
        end: the last step, in Unix seconds.
        step: in seconds.
        lookback_seconds: how old a gauge's sample may be; Prometheus' own limit if None.
        group_label: tells apart whose series are whose; empty where the answer is one rollout's.
        is_long: of more than `LONG_STEPS`; kept apart, so that nobody with a short question waits for its answer.
        is_shared: whether it is asked for all groups at once.
    """

    queries: tuple[str, ...]
    end: float
    step: float
    lookback_seconds: float | None
    group_label: str = ""
    is_long: bool = False
    is_shared: bool = False


def stream_of(question: Question, now: float, *, alone: bool = False, names: str = "") -> Stream:
    """What to fetch for a question.

    Args:
        question: to be answered.
        now: Unix seconds.
        alone: ask for the question's group alone, though one answer could serve all.
        names: matches the groups to ask for, where the queries have a place for that; all if empty.
    """
    asked = question.measurement
    is_long = question.steps > LONG_STEPS
    alone = alone or is_long
    window = _promql_duration(question.window_seconds)
    # A gauge's last sample is shown for 5 minutes by default: as old as two windows is old enough. Prometheus before
    # 2.44 ignores it.
    lookback = 2 * question.window_seconds
    filled = (WINDOW.sub(window, query) for query in asked.queries)
    return Stream(
        queries=_grouped(tuple(filled), asked.group, alone=alone, names=names) if asked.group else tuple(filled),
        end=question.end_at(now),
        step=question.step_seconds,
        lookback_seconds=lookback if lookback < _PROMETHEUS_LOOKBACK_SECONDS else None,
        group_label=asked.group.label if asked.group else "",
        is_long=is_long,
        is_shared=asked.group is not None and not alone,
    )


def _grouped(queries: tuple[str, ...], group: Group, *, alone: bool, names: str) -> tuple[str, ...]:
    if alone:
        return tuple(_for_one(query, group) for query in queries)
    return tuple(GROUP.sub(lambda _: names or ".+", query) for query in queries)


def _for_one(query: str, group: Group) -> str:
    if GROUP.search(query):
        return GROUP.sub(lambda _: literal(group.value), query)
    # Without a matcher, Prometheus reads the series of all; at least only one rollout's part travels.
    value = group.value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'(\n{query}\n) and on ({group.label}) label_replace(vector(1), "{group.label}", "{value}", "", "")'


def _promql_duration(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds * 1000:.0f}ms"
