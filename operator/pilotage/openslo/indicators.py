"""SLIs of OpenSLO as indicators: what is asked of Prometheus, and which objective a target makes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from pilotage.openslo.documents import FieldError, Node
from pilotage.openslo.queries import Query, common_window, counted, errors_of, with_window

_PROMETHEUS = {
    "prometheus",
    "thanos",
    "mimir",
    "cortex",
    "victoriametrics",
    "amazonprometheus",
    "googlecloudprometheus",
}

_QUERIES = ("query", "errors", "total")
_LONGEST_QUERY = 2048

NO_VARIANT = (
    "all variants together are measured: aggregate `by (variant)`, or whatever label tells them apart, so that only"
    " those who have the feature are judged"
)


@dataclass(frozen=True, slots=True)
class Indicator:
    """What an SLI becomes.

    Attributes:
        name: the indicator's and the template's.
        measure: fields of an IndicatorTemplate's spec.
        good_is_high: whether the ratio is of good events, so that a target is its lower bound.
        is_ratio: whether a target bounds it; else an objective's op and value do.
        source: where it comes from, such as `SLI search-latency`.
        notes: what a user has to know about it.
    """

    name: str
    measure: Mapping[str, str]
    good_is_high: bool
    is_ratio: bool
    source: str
    notes: tuple[str, ...]


@dataclass(slots=True)
class SliReader:
    """Reads the `spec` of one SLI.

    Attributes:
        types: of the DataSources, by name.
        notes: gathered on the way.
    """

    types: Mapping[str, str]
    notes: list[str] = field(default_factory=list)

    def read(self, spec: Node, name: str, source: str) -> Indicator:
        """The indicator.

        Raises:
            FieldError: it can't be asked of Prometheus.
        """
        description = spec.text("description")
        threshold, ratio = spec.node("thresholdMetric"), spec.node("ratioMetric")
        if (threshold is None) == (ratio is None):
            raise FieldError(spec.path or "spec", "give exactly one of thresholdMetric and ratioMetric")
        measure: dict[str, str] = {"description": description[:1024]} if description else {}
        good_is_high = False
        if threshold is not None:
            measure |= self._one(self._promql(threshold), counts=False)
            self.notes.append(
                "OpenSLO knows no units: where it is a time, add `unit: seconds` and write bounds as 500ms"
            )
        elif ratio is not None and ratio.take("raw") is not None:
            good_is_high = _is_success(ratio)
            measure |= {"unit": "ratio", **self._one(self._promql(_needed(ratio, "raw")), counts=False)}
            self.notes.append("a ratio that comes ready hides how many events it rests on: errors and total say more")
            ratio.take("counter")
        elif ratio is not None:
            measure |= self._errors_and_total(ratio)
        for key, promql in measure.items():
            if key in _QUERIES and len(promql) > _LONGEST_QUERY:
                message = f"makes a query of {len(promql)} characters, and {_LONGEST_QUERY} are the most: record it"
                raise FieldError(spec.path, message)
        self.notes.append(NO_VARIANT)
        is_ratio = ratio is not None
        return Indicator(name, measure, good_is_high, is_ratio, source, tuple(dict.fromkeys(self.notes)))

    def _one(self, promql: str, *, counts: bool) -> dict[str, str]:
        query = with_window(promql, counts=counts)
        self.notes += query.changes
        return {"query": query.promql, **_window(query)}

    def _errors_and_total(self, ratio: Node) -> dict[str, str]:
        if ratio.take("rawType") is not None:
            raise FieldError(ratio.at("rawType"), "belongs to raw: leave it out beside total")
        given = [key for key in ("good", "bad") if ratio.take(key) is not None]
        if len(given) != 1:
            raise FieldError(ratio.path, "give exactly one of good and bad, with total; or raw with rawType")
        counter = ratio.take("counter")
        part = self._counts(_needed(ratio, given[0]), counter)
        total = self._counts(_needed(ratio, "total"), counter)
        errors = part.promql
        if given == ["good"]:
            errors = errors_of(part.promql, total.promql)
            self.notes.append("errors are total less good")
        return {"errors": errors, "total": total.promql, **_window(part, total)}

    def _counts(self, metric: Node, counter: object) -> Query:
        promql = self._promql(metric)
        query = with_window(promql, counts=True)
        if not query.has_window and counter is not False:
            found = counted(promql)
            if found is None:
                path = f"{metric.path}.metricSource.spec.query"
                message = f"no range says over which time {promql!r} counts: write increase(...[5m]) of the counter"
                raise FieldError(path, message)
            if counter is None:
                self.notes.append(f"{metric.path} has no range and says no `counter`: taken for a counter")
            query = found
        elif not query.has_window:
            self.notes.append(f"{metric.path} is no counter and has no range: Pilotage expects a count of `$window`")
        self.notes += query.changes
        return query

    def _promql(self, metric: Node) -> str:
        """The metric's query, if its source is a Prometheus."""
        source = metric.node("metricSource")
        if source is None:
            raise FieldError(metric.at("metricSource"), "is missing: it holds the query")
        reference = source.text("metricSourceRef")
        kind = source.text("type") or self.types.get(reference, "")
        if kind and kind.lower().replace(" ", "").replace("-", "") not in _PROMETHEUS:
            raise FieldError(source.at("type"), f"{kind} can't be asked: indicators are PromQL, asked from Prometheus")
        if not kind:
            self.notes.append(f"{source.path} has no type: taken for Prometheus")
        spec = source.node("spec")
        promql = (spec.text("query") or spec.text("promql")) if spec else ""
        if not promql:
            raise FieldError(f"{source.path}.spec.query", "is missing: write the PromQL there")
        return promql


def objective_of(indicator: Indicator, said: Node) -> str:
    """The bound that an objective of an SLO puts on the indicator: `<= 0.1%`, `< 0.5`.

    Raises:
        FieldError: target, or op and value, are missing or out of range.
    """
    if not indicator.is_ratio:
        return _threshold(said)
    percent = _target_percent(said)
    if percent is None:
        raise FieldError(said.at("target"), "is missing: write target, such as 0.999, or targetPercent, such as 99.9")
    if indicator.good_is_high:
        return f">= {_plain(percent, said.at('target'))}%"
    return f"<= {_plain(100 - percent, said.at('target'))}%"


def _threshold(said: Node) -> str:
    op, value = said.text("op"), said.number("value")
    signs = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
    if op not in signs:
        raise FieldError(
            said.at("op"), f"{op or 'nothing'!r} is none of {', '.join(signs)}: a thresholdMetric needs one"
        )
    if value is None:
        raise FieldError(said.at("value"), "is missing: a thresholdMetric is compared with it")
    return f"{signs[op]} {_plain(value, said.at('value'))}"


def _target_percent(said: Node) -> Decimal | None:
    target, percent = said.number("target"), said.number("targetPercent")
    if target is not None and percent is not None:
        raise FieldError(said.at("targetPercent"), "stands beside target: leave one of them out")
    if target is not None and not 0 <= target < 1:
        raise FieldError(said.at("target"), f"{target} is not in [0, 1): write 0.999, or targetPercent: 99.9")
    if percent is not None and not 0 <= percent < 100:  # noqa: PLR2004 - percent
        raise FieldError(said.at("targetPercent"), f"{percent} is not in [0, 100): write 99.9, or target: 0.999")
    return target * 100 if target is not None else percent


def _plain(number: Decimal, path: str) -> str:
    """The number as bounds write it."""
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    whole, _, fraction = text.lstrip("-").partition(".")
    if len(whole) > 15 or len(fraction) > 9:  # noqa: PLR2004 - what the grammar of bounds reads
        raise FieldError(path, f"{number} has more than 15 digits before the point or 9 behind it: round it")
    return text


def _is_success(ratio: Node) -> bool:
    kinds: Mapping[str, bool] = {"success": True, "failure": False}
    said = ratio.text("rawType")
    if said not in kinds:
        raise FieldError(ratio.at("rawType"), f"{said or 'nothing'!r} is neither success nor failure")
    for key in ("good", "bad", "total"):
        if ratio.take(key) is not None:
            raise FieldError(ratio.at(key), "stands beside raw: leave one of them out")
    return kinds[said]


def _needed(within: Node, key: str) -> Node:
    found = within.node(key)
    if found is None:
        raise FieldError(within.at(key), "is missing")
    return found


def _window(*queries: Query) -> dict[str, str]:
    window = common_window(*queries)
    return {"window": window} if window else {}
