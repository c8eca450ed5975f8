"""What a report is made from: one rollout with all that was recorded of it, as plain frozen data.

`collect.py` gathers a record from Kubernetes and Prometheus; `report.py` turns records into a page. A record that was
saved can be rendered again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pilotage.judging.evidence import Series
from pilotage.resources.indicators import Unit
from pilotage.resources.rollout import PilotRollout


@dataclass(frozen=True, slots=True)
class Bound:
    """A line that an indicator is compared with.

    Attributes:
        value: in the indicator's unit.
        label: the rule as it is written in the spec, such as `error_ratio > 1% for 10m`.
        role: of the rule (objective, warning, critical, go, noGo, rollback, throttle).
    """

    value: float
    label: str
    role: str


@dataclass(frozen=True, slots=True)
class IndicatorRecord:
    """How an indicator went.

    Attributes:
        name: as criteria use it.
        unit: of the values and bounds.
        by_variant: series by variant; the variant is "" where the answer had none.
        bounds: what it was compared with.
        missing: why there are no series; empty where there are.
    """

    name: str
    unit: Unit
    by_variant: tuple[tuple[str, Series], ...] = ()
    bounds: tuple[Bound, ...] = ()
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened outside of the rollout and helps to read it, such as a fault that somebody caused."""

    at: datetime
    label: str
    kind: Literal["fault", "note"] = "note"


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """One rollout as it was recorded.

    Attributes:
        rollout: the object; its `status.history` has the decisions.
        since: where the charts begin.
        until: where the charts end.
        indicators: in the order of the spec.
        seen: users who had the treatment when they came last, where something counts them.
        marks: what happened around it.
    """

    rollout: PilotRollout
    since: datetime
    until: datetime
    indicators: tuple[IndicatorRecord, ...] = ()
    seen: Series | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """One page.

    Attributes:
        title: headline of the page.
        written_at: when the data was collected.
        records: one section each.
        notes: sentences that a reader must know, such as that time was compressed.
    """

    title: str
    written_at: datetime
    records: tuple[RolloutRecord, ...]
    notes: tuple[str, ...] = ()
