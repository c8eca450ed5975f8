"""The witness: what must hold for every rollout whatever fails, judged from outside by what was written when.

Each invariant is written here once, and holds for each scenario:

- Nobody is let in who was not decided to be in: no version of a flag document lets in more users than the last decision
  that was written before it, and a larger share never swaps users for others.
- The history has no gap, no repeat and no step too many; what it said once it says for ever; a step lasts as long as
  its hold.
- There is one Event for each entry and no other; so it is with the lines of the record's file.
- Once a rollback is said to be verified, no replica of the flag service lets anybody in.

Users are counted by asking flagd's own evaluator about each version of the document, not by trusting what it is said to
mean.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from pilotage.resources.durations import parse_duration
from pilotage.rollout.flagd import Evaluator
from tests.faults.watching import Object, Onlooker, Version

USERS = tuple(f"witness-{number}" for number in range(300))
_SPREAD = 0.1
"""Of 300 users, the part that a share lets in is off by less than this, in all but one of a thousand cases."""

_TELLING = frozenset({"Hold", "Resume", "NotInForce", "InForce"})
"""What a rollout may tell on its way as often as it is so; everything else is a move, and is expected."""

_TOTAL = 1_000_000_000
OURS = "pilotage/"
FLAGS = "pilot-flags"


@dataclass(frozen=True, slots=True)
class Expected:
    """What a rollout must have done at the end.

    Attributes:
        moves: all entries of its history but those that only tell.
        clock_steps: the wall clock stepped, so that times say nothing.
        forgets: its status was wiped: its history begins anew, and neither Events nor record can tell that twice.
        lacks_events: some of its Events may be missing.
    """

    moves: tuple[str, ...]
    clock_steps: bool = False
    forgets: bool = False
    lacks_events: bool = False


class Witness:
    """Judges the rollouts of one namespace, by what there is of each thing when it is asked for it first.

    Args:
        onlooker: who has seen everything.
        namespace: of the rollouts and their flags.
        record: the operator's file of decisions.
    """

    def __init__(self, onlooker: Onlooker, namespace: str, record: Path) -> None:
        self._onlooker = onlooker
        self._namespace = namespace
        self._record = record
        self._rollouts: dict[str, list[Version]] = {}

    def history(self, name: str) -> list[Object]:
        """The rollout's decisions as far as they were seen; those before its status was wiped are left out."""
        return _epochs(self._rollout(name))[-1]

    def are_told(self, names: Sequence[str], *, by_events: bool = True) -> bool:
        """Whether Events (unless they may be left out) and record tell of all decisions that are seen, and of no more.

        They come after the decision, and an onlooker may see them before it: what differs may only be on its way.
        """
        wanted = {name: len(self.history(name)) for name in names}
        recorded = all(len(self._lines[name]) == wanted[name] for name in names)
        return recorded and (not by_events or all(len(self._events[name]) == wanted[name] for name in names))

    def judge(self, name: str, expected: Expected) -> None:
        """Assert everything about a rollout that has come to its end."""
        self.judge_users(name)
        self._judge_history(name, expected)
        self._judge_told(name, expected)

    def judge_users(self, name: str) -> None:
        """No version of the flag lets in more than was decided when it was written."""
        decisions = _decisions(self._rollout(name))
        before: dict[float, frozenset[str]] = {}
        for version, definition in self._flag(name):
            decided = max((each for each in decisions if each[0] < version), default=(0, 0.0), key=lambda each: each[0])
            admitted = _admitted(definition)
            share = len(admitted) / len(USERS)
            allowed = decided[1]
            limit = 0.0 if allowed == 0 else allowed + _SPREAD
            assert share <= limit, f"{name}: {share:.0%} were let in when {allowed:.0%} was decided: {definition}"
            for other, users in before.items():
                small, large = (users, admitted) if other <= allowed else (admitted, users)
                assert small <= large or len(small) > len(large), f"{name}: users were swapped: {definition}"
            before[allowed] = admitted

    def admitted(self, definition: Object) -> frozenset[str]:
        """Who is let in by a definition."""
        return _admitted(definition)

    def _judge_history(self, name: str, expected: Expected) -> None:
        versions = self._rollout(name)
        epochs = _epochs(versions)
        assert len(epochs) == 1 or expected.forgets, f"{name}: its history began anew"
        history = epochs[-1]
        assert [entry["sequence"] for entry in history] == list(range(1, len(history) + 1)), f"{name}: {_said(history)}"
        moves = tuple(entry["action"] for entry in history if entry["action"] not in _TELLING)
        assert moves == expected.moves, f"{name}: {_said(history)}"
        if not expected.clock_steps:
            times = [entry["time"] for entry in history]
            assert times == sorted(times), f"{name}: {_said(history)}"
            _judge_holds(name, versions, history)

    def _judge_told(self, name: str, expected: Expected) -> None:
        history = self.history(name)
        uid = self._rollout(name)[-1][1]["metadata"]["uid"]
        lines = self._lines[name]
        sequences = [line["data"]["sequence"] for line in lines]
        assert len(set(sequences)) == len(sequences), f"{name}: the record repeats itself: {sequences}"
        events = self._events[name]
        assert len({(event["action"], event["eventTime"]) for event in events.values()}) == len(events)
        if expected.forgets:
            return
        assert [line["id"] for line in lines] == [f"{uid}.{entry['sequence']}" for entry in history], f"{name}: record"
        assert [line["data"]["action"] for line in lines] == [entry["action"] for entry in history]
        wanted = {f"{name}.{uid}.{entry['sequence']}": entry["action"] for entry in history}
        found = {key: event["action"] for key, event in events.items()}
        assert found.items() <= wanted.items(), f"{name}: Events"
        assert expected.lacks_events or found == wanted, f"{name}: Events"

    def _rollout(self, name: str) -> list[Version]:
        if name not in self._rollouts:
            self._rollouts[name] = self._onlooker.versions("pilotrollouts", self._namespace, name)
        return self._rollouts[name]

    @cached_property
    def _events(self) -> Mapping[str, dict[str, Object]]:
        """The Events about each rollout, by name."""
        found: dict[str, dict[str, Object]] = defaultdict(dict)
        for name in self._onlooker.names("events", self._namespace):
            event = self._onlooker.latest("events", self._namespace, name)
            found[event.get("regarding", {}).get("name", "")][name] = event
        return found

    @cached_property
    def _lines(self) -> Mapping[str, list[Object]]:
        """What the record says of each rollout."""
        found: dict[str, list[Object]] = defaultdict(list)
        for text in self._record.read_text().splitlines() if self._record.exists() else ():
            line = json.loads(text)
            namespace, _, name = line["subject"].partition("/")
            if namespace == self._namespace:
                found[name].append(line)
        return found

    def _flag(self, name: str) -> list[tuple[int, Object]]:
        """Each definition of the rollout's flag that we wrote, with the version in which it came."""
        found: list[tuple[int, Object]] = []
        before: dict[str, str] = {}
        for version, document in self._documents:
            text = (document.get("data") or {}).get(f"{name}.json", "")
            if text and text != before.get(document["metadata"]["name"]) and not _strangers(document, name):
                found.append((version, json.loads(text)))
            before[document["metadata"]["name"]] = text
        return found

    @cached_property
    def _documents(self) -> list[Version]:
        """All versions of all documents of flags."""
        names = [name for name in self._onlooker.names("configmaps", self._namespace) if name.startswith(FLAGS)]
        versions = [self._onlooker.versions("configmaps", self._namespace, name) for name in names]
        return sorted(itertools.chain(*versions), key=lambda each: each[0])


def _strangers(document: Object, name: str) -> list[str]:
    """Who else owns the flag's entry."""
    return [
        field["manager"]
        for field in document["metadata"].get("managedFields", ())
        if f"f:{name}.json" in field.get("fieldsV1", {}).get("f:data", {}) and not field["manager"].startswith(OURS)
    ]


def _admitted(definition: Object) -> frozenset[str]:
    evaluator = Evaluator(definition)
    return frozenset(user for user in USERS if evaluator.variant({"targetingKey": user}) == "on")


def _decisions(versions: Sequence[Version]) -> list[tuple[int, float]]:
    """The share that was decided, by the version in which it was written."""
    found = []
    for version, rollout in versions:
        exposure: dict[str, Any] = rollout.get("status", {}).get("exposure") or {}
        share = 1.0 if exposure.get("kind") == "full" else exposure.get("share", 0) / _TOTAL
        found.append((version, share if exposure.get("kind", "off") != "off" else 0.0))
    return found


def _epochs(versions: Sequence[Version]) -> list[list[Object]]:
    """All entries that a history ever had, in order; a new list where it began anew. Entries never change."""
    epochs: list[dict[int, Object]] = [{}]
    for _, rollout in versions:
        history = rollout.get("status", {}).get("history", ())
        if epochs[-1] and max((entry["sequence"] for entry in history), default=0) < max(epochs[-1]):
            epochs.append({})
        for entry in history:
            known = epochs[-1].setdefault(entry["sequence"], entry)
            assert known == entry, f"{rollout['metadata']['name']}: {known} became {entry}"
    return [[entry for _, entry in sorted(epoch.items())] for epoch in epochs if epoch] or [[]]


def _judge_holds(name: str, versions: Sequence[Version], history: Sequence[Object]) -> None:
    """A step is left no sooner than its hold after its users were seen to have it, as far as that was written down."""
    steps = versions[-1][1]["spec"]["steps"]
    verified = {
        step["name"]: datetime.fromisoformat(step["verifiedTime"])
        for _, rollout in versions
        if (step := rollout.get("status", {}).get("step")) and "verifiedTime" in step
    }
    for entry, following in itertools.pairwise(history):
        if following["action"] in ("Advance", "Complete"):
            hold = next(step.get("hold", "0s") for step in steps if step["name"] == entry["step"])
            since = verified.get(entry["step"], datetime.fromisoformat(entry["time"]))
            lasted = datetime.fromisoformat(following["time"]) - since
            assert lasted >= timedelta(seconds=parse_duration(hold)), f"{name}: {entry['step']} lasted {lasted}"


def _said(history: Sequence[Object]) -> str:
    return "; ".join(f"{entry['sequence']} {entry['action']} {entry['step']}" for entry in history)
