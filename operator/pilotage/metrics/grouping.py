"""One answer for many rollouts: taken apart by the group's label once, when it has come, not by each who reads it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pilotage.judging.evidence import PARTIAL, Answer, Group, Measurement, NoData
from pilotage.metrics.buckets import fold_buckets
from pilotage.metrics.client import Reply, Sampled
from pilotage.metrics.fold import EMPTY, fold_query, fold_ratio


@dataclass(frozen=True, slots=True)
class Parts:
    """A reply by the value of the group's label; all of it under "" where there is no group."""

    by_value: Mapping[str, tuple[Sampled, ...]]
    partial: bool

    def of(self, value: str) -> Reply:
        """The part of this value, matched exactly: no rollout sees another's."""
        return Reply(self.by_value.get(value, ()), partial=self.partial)

    @property
    def are_unlabelled(self) -> bool:
        """Whether there are series, and none of them carries the label."""
        return self.by_value.keys() == {""}


def parts_of(reply: Reply, label: str) -> Parts:
    """Take a reply apart; an empty label leaves it whole."""
    if not label:
        return Parts({"": reply.series}, reply.partial)
    found: dict[str, list[Sampled]] = {}
    for series in reply.series:
        found.setdefault(series.labels.get(label, ""), []).append(series)
    return Parts({value: tuple(series) for value, series in found.items()}, reply.partial)


def fold(measurement: Measurement, replies: Sequence[Parts], *, start: float) -> Answer:
    """The measurement's answer from the replies to its queries.

    Args:
        measurement: whose group's part is read.
        replies: one to each of `measurement.queries`.
        start: samples before it (Unix seconds) are left out.
    """
    group = measurement.group
    if group is not None and (wrong := _mislabelled(group, measurement.variant_label, replies)) is not None:
        return wrong
    value, label = (group.value, f"{group.label}, ") if group else ("", "")
    found = [parts.of(value) for parts in replies]
    by = f"{label}{measurement.variant_label}"
    if measurement.query:
        answer = fold_query(found[0], measurement.variant_label, start=start, by=by)
    elif measurement.buckets:
        answer = fold_buckets(found[0], measurement.variant_label, above=measurement.above, start=start, by=by)
    else:
        counts = "good" if measurement.good else "errors"
        answer = fold_ratio(found[0], found[1], measurement.variant_label, start=start, by=by, counts=counts)
    if group is not None and answer == EMPTY:
        return NoData(f'Prometheus has no data with {group.label}="{group.value}"')
    return answer


def _mislabelled(group: Group, variant_label: str, replies: Sequence[Parts]) -> NoData | None:
    """Why nobody's part can be told; errors that carry no label would be nobody's, hence no errors at all."""
    if any(parts.partial for parts in replies):
        return PARTIAL
    if replies[-1].are_unlabelled or (replies[0].are_unlabelled and "" not in replies[-1].by_value):
        example = f"sum by ({group.label}, {variant_label}) (...)"
        return NoData(f"the answer lacks the label {group.label}: aggregate each query by it, such as {example}")
    return None
