"""Flag documents: the objects of a namespace, made into the one document that its applications evaluate.

An evaluator that is given a definition it can't read refuses the whole document, and with it every other flag. So each
definition is tried out for itself, and one that is broken is left out.

All FeatureFlags of a namespace are served, also those that people write: an application has one source of flags, and
would otherwise have to choose between its own and Pilotage's. Beside them there is the flag that tells how an evaluator
hashes (`bucketing_probe`), also where nothing is rolled out yet. Where two objects define a flag, a definition of
Pilotage's wins, so that nothing can stand in front of a kill; then a FeatureFlag; then the first name.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pilotage.rollout.bucketing_probe import PROBE_FLAG, probe_definition
from pilotage.rollout.flagd import Definition, DefinitionError, Evaluator, revision_of

DOCUMENT_LIMIT = 3_500_000
"""Bytes; clients refuse a message of more than 4 MiB, and with it all flags."""

DEPTH_LIMIT = 64

_SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Entry:
    """A flag's definition and the object that it comes from, such as `ConfigMap/pilot-flags`."""

    flag: str
    definition: Definition
    source: str

    @property
    def rank(self) -> tuple[bool, bool, str]:
        """Of two entries for one flag the lower rank wins."""
        return revision_of(self.definition) is None, not self.source.startswith("FeatureFlag/"), self.source


@dataclass(frozen=True, slots=True)
class Fault:
    """An entry that is not served, and why."""

    flag: str
    source: str
    reason: str


def read_config_map(found: Mapping[str, Any]) -> tuple[list[Entry], list[Fault]]:
    """The entries of a ConfigMap: each key `<flag>.json` is the definition of one flag."""
    source = f"ConfigMap/{found['metadata']['name']}"
    entries: list[Entry] = []
    faults: list[Fault] = []
    for key, text in sorted((found.get("data") or {}).items()):
        if not key.endswith(_SUFFIX):
            continue
        flag = key.removesuffix(_SUFFIX)
        try:
            entries.append(Entry(flag, _checked(json.loads(text, parse_constant=_refuse)), source))
        except (ValueError, RecursionError) as error:
            faults.append(Fault(flag, source, str(error)))
    return entries, faults


def read_feature_flag(found: Mapping[str, Any]) -> tuple[list[Entry], list[Fault]]:
    """The entries of a FeatureFlag; its shared rules and its metadata are put into each of them."""
    source = f"FeatureFlag/{found['metadata']['name']}"
    spec = (found.get("spec") or {}).get("flagSpec") or {}
    shared, metadata = spec.get("$evaluators") or {}, spec.get("metadata") or {}
    entries: list[Entry] = []
    faults: list[Fault] = []
    for flag, definition in sorted((spec.get("flags") or {}).items()):
        try:
            whole = _with_rules(definition, shared) if shared else definition
            if metadata:
                whole = {**whole, "metadata": {**metadata, **(whole.get("metadata") or {})}}
            entries.append(Entry(flag, _checked(whole), source))
        except (ValueError, RecursionError, TypeError, AttributeError) as error:
            faults.append(Fault(flag, source, str(error)))
    return entries, faults


def merge(namespace: str, entries: Iterable[Entry]) -> tuple[str, list[Fault]]:
    """The document of a namespace, and what had to be left out of it."""
    chosen: dict[str, Entry] = {}
    faults: list[Fault] = []
    for entry in sorted(entries, key=lambda entry: entry.rank):
        if entry.flag in chosen:
            faults.append(Fault(entry.flag, entry.source, f"{chosen[entry.flag].source} defines the flag, too"))
        else:
            chosen[entry.flag] = entry
    chosen.setdefault(PROBE_FLAG, Entry(PROBE_FLAG, probe_definition(), "Pilotage"))
    texts = {flag: json.dumps(entry.definition, separators=(",", ":")) for flag, entry in sorted(chosen.items())}
    # Too much for a client: better to lose the greatest of the foreign flags than all.
    for flag in sorted(texts, key=lambda flag: (chosen[flag].rank[0], len(texts[flag])), reverse=True):
        if sum(map(len, texts.values())) <= DOCUMENT_LIMIT:
            break
        faults.append(Fault(flag, chosen[flag].source, "the namespace's flags are too large together"))
        del texts[flag]
    flags = ",".join(f"{json.dumps(flag)}:{text}" for flag, text in texts.items())
    return f'{{"flags":{{{flags}}},"metadata":{{"flagSetId":{json.dumps(namespace)}}}}}', faults


def _checked(definition: Any) -> Definition:
    if not isinstance(definition, dict):
        raise DefinitionError("it is no JSON object")
    if _is_deeper(definition, DEPTH_LIMIT):
        raise DefinitionError(f"it is nested deeper than {DEPTH_LIMIT} levels")
    Evaluator(definition)
    return definition


def _is_deeper(value: Any, limit: int) -> bool:
    inner: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return limit < 0 or any(_is_deeper(each, limit - 1) for each in inner)


def _refuse(constant: str) -> NoReturn:
    raise DefinitionError(f"{constant} is no JSON")


def _with_rules(rule: Any, shared: Mapping[str, Any]) -> Any:
    match rule:
        case {"$ref": str(name)} if len(rule) == 1 and name in shared:
            return shared[name]
        case dict():
            return {key: _with_rules(value, shared) for key, value in rule.items()}
        case list():
            return [_with_rules(value, shared) for value in rule]
    return rule
