"""What was imported, as YAML: templates, and a rollout with indicators and objectives; comments tell what was lost."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping

import yaml

from pilotage.judging.reading import readable_rules
from pilotage.openslo.convert import Imported
from pilotage.openslo.indicators import Indicator
from pilotage.resources.base import API_VERSION
from pilotage.resources.indicators import IndicatorTemplate, IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRolloutSpec

_MOST = 32


class NothingImportedError(ValueError):
    """No document made an indicator, or they make a rollout that makes no sense; the message says why."""


def write_yaml(imported: Imported, *, source: str, flag: str) -> str:
    """The templates, and a paused rollout that uses them.

    Args:
        imported: what the documents became.
        source: the file's name, for the first line.
        flag: the rollout's flag and name.

    Raises:
        NothingImportedError: there is nothing to write, or more than a rollout can hold.
    """
    _check(imported, flag)
    parts = ["\n".join(_head(imported, source))]
    parts += ["\n".join(_template(indicator)) for indicator in imported.indicators]
    parts.append("\n".join(_rollout(imported, flag)))
    return "\n---\n".join(parts) + "\n"


def _check(imported: Imported, flag: str) -> None:
    """Let the operator's own reading of rules find what makes no sense."""
    if not imported.indicators:
        raise NothingImportedError("no document made an indicator: nothing is written")
    for what, count in (("indicators", len(imported.indicators)), ("objectives", len(imported.objectives))):
        if count > _MOST:
            raise NothingImportedError(f"{count} {what} are more than a rollout's {_MOST}: import fewer at a time")
    templates = {each.name: IndicatorTemplateSpec.model_validate(each.measure) for each in imported.indicators}
    spec = PilotRolloutSpec.model_validate(
        {
            "feature": {"flag": flag},
            "indicators": [{"name": each.name, "templateRef": each.name} for each in imported.indicators],
            "objectives": [{"indicator": each.indicator, "objective": each.bound} for each in imported.objectives],
            "steps": [{"name": "everybody", "percent": 100}],
        }
    )
    _, wrong = readable_rules(spec, templates, namespace="default", name=flag)
    if wrong:
        raise NothingImportedError("; ".join(str(error) for error in wrong))


def _head(imported: Imported, source: str) -> Iterator[str]:
    yield from _comment(f"Made from {source} by `pilotage import openslo`.")
    if imported.notes:
        yield "#"
        yield from _comment("Not carried over:")
        for note in imported.notes:
            yield from _comment(str(note), bullet=True)


def _template(indicator: Indicator) -> Iterator[str]:
    yield from _comment(f"From {indicator.source}.")
    for note in indicator.notes:
        yield from _comment(note, bullet=True)
    yield _dump(
        {
            "apiVersion": API_VERSION,
            "kind": IndicatorTemplate.kind,
            "metadata": {"name": indicator.name},
            "spec": dict(indicator.measure),
        }
    )


def _rollout(imported: Imported, flag: str) -> Iterator[str]:
    yield from _comment(
        "A rollout that uses them. It is paused: say which flag is rolled out, and to whom, in steps; or take"
        " indicators and objectives over into your own."
    )
    yield from ("apiVersion: " + API_VERSION, "kind: PilotRollout", "metadata:", f"  name: {_scalar(flag)}", "spec:")
    yield from ("  paused: true", "  feature:", f"    flag: {_scalar(flag)}")
    yield "  indicators:"
    yield from (f"    - {{name: {each.name}, templateRef: {each.name}}}" for each in imported.indicators)
    if imported.objectives:
        yield "  objectives:"
    for each in imported.objectives:
        for note in (f"from {each.source}", *each.notes):
            yield from _comment(note, indent="    ")
        yield f"    - {{indicator: {each.indicator}, objective: {_scalar(each.bound)}}}"
    yield from ("  steps:", "    - {name: first, percent: 5, hold: 1d}", "    - {name: everybody, percent: 100}")


def _comment(text: str, *, bullet: bool = False, indent: str = "") -> list[str]:
    """Comment lines; no line break of a document ends a comment."""
    first, more = (f"{indent}# - ", f"{indent}#   ") if bullet else (f"{indent}# ", f"{indent}# ")
    words = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return textwrap.wrap(
        words,
        width=118,
        initial_indent=first,
        subsequent_indent=more,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _scalar(text: str) -> str:
    """The text as a YAML scalar, in double quotes."""
    return yaml.safe_dump(text, default_style='"', width=1_000_000, allow_unicode=True).strip()


def _dump(said: Mapping[str, object] | Iterable[object]) -> str:
    return yaml.safe_dump(said, sort_keys=False, width=1_000_000, allow_unicode=True).rstrip("\n")
