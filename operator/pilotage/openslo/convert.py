"""A file of OpenSLO documents as templates, indicators and objectives, with notes on all that has no counterpart."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pilotage.openslo.documents import Document, FieldError, Node, Note, read_documents
from pilotage.openslo.indicators import Indicator, SliReader, objective_of

_LEFT_OUT = {
    "Service": "a rollout stands for itself: not carried over",
    "DataSource": "Pilotage asks the Prometheus that it is started with: only the type is read",
    "AlertPolicy": "not carried over: what follows from an objective is its onBreach, warning and critical",
    "AlertCondition": "not carried over: spec.burnRates of a rollout gates its steps by the error budget",
    "AlertNotificationTarget": "not carried over: Pilotage tells by events and metrics",
}


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective of a rollout, with where it is from and what a user has to know about it."""

    indicator: str
    bound: str
    source: str
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class Imported:
    """What the documents became.

    Attributes:
        indicators: in the order of the documents.
        objectives: the same.
        notes: on what was not carried over.
    """

    indicators: list[Indicator] = field(default_factory=list)
    objectives: list[Objective] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @property
    def lost(self) -> list[Note]:
        """The notes on documents that were left out whole."""
        return [note for note in self.notes if note.lost]


def import_openslo(text: str) -> Imported:
    """Read OpenSLO documents.

    Raises:
        OpenSloError: the text is no YAML.
    """
    documents, notes = read_documents(text)
    importing = _Importing(documents, Imported(notes=notes))
    importing.run()
    return importing.made


class _Importing:
    def __init__(self, documents: list[Document], made: Imported) -> None:
        self.documents = documents
        self.made = made
        self.types: dict[str, str] = {}
        self.known: dict[str, Indicator] = {}

    def run(self) -> None:
        for document in self.documents:
            if document.kind == "DataSource":
                self._try(document, self._data_source)
        for document in self.documents:
            if document.kind == "SLI":
                self._try(document, self._sli)
        for document in self.documents:
            if document.kind == "SLO":
                self._try(document, self._slo)
            elif document.kind in _LEFT_OUT:
                self.made.notes.append(Note(str(document), "kind", _LEFT_OUT[document.kind]))
            elif document.kind != "SLI":
                self.made.notes.append(Note(str(document), "kind", "is no kind of OpenSLO v1", lost=True))

    def _try(self, document: Document, read: Callable[[Document], None]) -> None:
        """Read one document; what is wrong or was not read becomes notes."""
        before = len(self.made.indicators), len(self.made.objectives)
        try:
            read(document)
        except FieldError as error:
            del self.made.indicators[before[0] :], self.made.objectives[before[1] :]
            self.made.notes.append(Note(str(document), error.field, error.message, lost=True))
            return
        self.made.notes += [Note(str(document), path, "not carried over") for path in document.root.untaken()]

    def _data_source(self, document: Document) -> None:
        if (spec := document.root.node("spec")) is not None:
            self.types[document.name] = spec.text("type")

    def _sli(self, document: Document) -> None:
        spec = document.root.node("spec")
        if spec is None:
            raise FieldError("spec", "is missing")
        if document.name in self.known:
            raise FieldError("metadata.name", f"there are two SLIs {document.name}: rename one")
        self.known[document.name] = self._indicator(spec, document.name, str(document))

    def _slo(self, document: Document) -> None:
        spec = document.root.node("spec")
        if spec is None:
            raise FieldError("spec", "is missing")
        indicator = self._indicator_of(spec, document)
        shared = list(self._shared_notes(spec))
        said = spec.nodes("objectives")
        if not said:
            raise FieldError("spec.objectives", "is missing: an SLO has at least one objective")
        if len(said) > 1 and not indicator.is_ratio:
            raise FieldError("spec.objectives", "a thresholdMetric has exactly one objective: make an SLO of each")
        for each in said:
            self._refuse_composite(each)
            bound = objective_of(indicator, each)
            notes = (*_objective_notes(each, indicator), *shared)
            self.made.objectives.append(Objective(indicator.name, bound, str(document), notes))

    def _indicator_of(self, spec: Node, document: Document) -> Indicator:
        inline, reference = spec.node("indicator"), spec.text("indicatorRef")
        if (inline is None) == (not reference):
            raise FieldError("spec.indicator", "give exactly one of indicator and indicatorRef")
        if inline is None:
            if reference not in self.known:
                message = f"there is no SLI {reference!r} in the file, or it could not be imported: add its document"
                raise FieldError("spec.indicatorRef", message)
            return self.known[reference]
        metadata = inline.node("metadata")
        name = (metadata.text("name") if metadata else "") or document.name
        within = inline.node("spec")
        if within is None:
            raise FieldError("spec.indicator.spec", "is missing")
        return self._indicator(within, name, f"{document}, its indicator {name}")

    def _indicator(self, spec: Node, name: str, source: str) -> Indicator:
        taken = {indicator.name for indicator in self.made.indicators}
        fitting = _fitting(name, taken)
        reader = SliReader(self.types)
        if fitting != name:
            reader.notes.append(f"{name!r} became {fitting!r}, a name that Pilotage knows how to write, once only")
        made = reader.read(spec, fitting, source)
        self.made.indicators.append(made)
        return made

    @staticmethod
    def _refuse_composite(said: Node) -> None:
        for key in ("indicator", "indicatorRef", "compositeWeight"):
            if said.take(key) is not None:
                message = "composite SLOs are not imported: make an SLO of each part, or a score of the rollout"
                raise FieldError(said.at(key), message)

    @staticmethod
    def _shared_notes(spec: Node) -> Iterator[str]:
        method = spec.text("budgetingMethod")
        if method not in ("", "Occurrences"):
            yield f"budgetingMethod {method} is not carried over: what counts are events in the window (Occurrences)"
        for window in spec.nodes("timeWindow"):
            duration = window.text("duration")
            calendar = window.node("calendar")
            if calendar is not None and (zone := calendar.text("timeZone")):
                yield f"timeWindow.calendar is not carried over; days are counted in spec.timeZone: {zone}"
            if calendar is not None:
                calendar.take("startTime")
            window.take("isRolling")
            yield (
                f"timeWindow {duration} is not carried over: a rollout can't wait so long, and is judged over the"
                " indicator's window; spec.burnRates gates its steps by the budget"
            )


def _objective_notes(said: Node, indicator: Indicator) -> Iterator[str]:
    if name := said.text("displayName"):
        yield name
    if indicator.is_ratio:
        given = [key for key in ("op", "value") if said.take(key) is not None]
        if given:
            yield f"{' and '.join(given)} belong to a thresholdMetric: not carried over"
    else:
        share = said.number("target"), said.number("targetPercent")
        if found := [f"{number}{unit}" for number, unit in zip(share, ("", "%"), strict=True) if number is not None]:
            yield f"target {found[0]} is not carried over: the value is bounded at all times, not for a share of them"
    for key in ("timeSliceTarget", "timeSliceWindow"):
        if (found_slice := said.take(key)) is not None:
            yield f"{key} {found_slice} is not carried over"


def _fitting(name: str, taken: set[str]) -> str:
    """The name as one of an indicator and of a template: lower case, starts with a letter, once only."""
    base = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:58] or "indicator"
    base = base if base[0].isalpha() else f"i-{base}"[:58]
    candidates: Iterator[str] = (base if number == 1 else f"{base}-{number}" for number in range(1, len(taken) + 2))
    return next(candidate.rstrip("-") for candidate in candidates if candidate not in taken)
