"""Neighbours: what rollouts have to know of each other, found without looking through all of them.

Fed by the store with every change, on every replica. What one rollout decides is counted from the moment of its
decision, before it is written: the event loop decides one at a time, so two can't take the last turn at once.
"""

from bisect import bisect_left, insort
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pilotage.controller.schedule import Key
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import Phase, PilotRolloutStatus
from pilotage.resources.tenant import TenantQuota
from pilotage.rollout.several import Line, Predecessor, Several, find_cycle

_MOST_TOLD = 64
"""So many of those who wait in line are told when a turn is free; the others look for themselves at their interval."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A rollout's turn: taken, or awaited because of a limit."""

    taken: bool
    since: datetime
    limit: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a rollout concerns others.

    Attributes:
        flag: the document and the key that it claims; None while it only observes.
        began: it has let in users by that flag, whether they are still in or not.
        created: RFC 3339.
        after: whom it waits for.
        phase: as it was decided last.
        observes: nothing of it reaches anybody.
        turn: to advance.
    """

    flag: tuple[str, str] | None
    began: bool
    created: str
    after: tuple[str, ...]
    phase: Phase | None
    observes: bool
    turn: Turn | None


@dataclass(frozen=True, slots=True)
class Tenancy:
    """What a tenant says about turns.

    Attributes:
        name: of the tenant.
        limit: how many of its rollouts advance at once; None for any number.
        namespaces: that belong to it.
    """

    name: str
    limit: int | None
    namespaces: tuple[str, ...]


class Neighbours:
    """All rollouts as they concern each other.

    Args:
        limit: how many advance at once in the cluster; None for any number.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.tenant_of: Callable[[str], Tenancy | None] = lambda _namespace: None
        self.wake: Callable[[Iterable[Key]], None] = lambda _keys: None
        self._limit = limit
        self._facts: dict[Key, Facts] = {}
        self._claims: defaultdict[tuple[str, str, str], set[Key]] = defaultdict(set)
        self._followers: defaultdict[Key, set[Key]] = defaultdict(set)
        self._turns = _Turns()
        self._unwritten: set[Key] = set()

    def put(self, key: Key, facts: Facts) -> None:
        """A rollout is there, or has changed."""
        before = self._facts.get(key)
        self._unwritten.discard(key)
        if before == facts:
            self._set_turn(key, facts.turn)
            return
        self._facts[key] = facts
        self._index(key, before, -1)
        self._index(key, facts, 1)
        self._tell(key, before, facts)
        self._set_turn(key, facts.turn)

    def remove(self, key: Key) -> None:
        """A rollout is gone."""
        before = self._facts.pop(key, None)
        self._unwritten.discard(key)
        if before is not None:
            self._index(key, before, -1)
            self._tell(key, before, None)
            self._set_turn(key, None)

    def seen_by(self, rollout: PilotRollout) -> Several:
        """The others, as a decision about this rollout has to know them now."""
        key = Key.of(rollout)
        if not rollout.spec.after:
            return Several(self._rival_of(key), (), (), *self._lines_of(key))
        edges = {name: facts.after for (place, name), facts in self._reachable(key).items() if place == key.namespace}
        predecessors = tuple(self._predecessor(Key(key.namespace, name)) for name in rollout.spec.after)
        cycle = find_cycle(key.name, {**edges, key.name: rollout.spec.after})
        return Several(self._rival_of(key), predecessors, cycle, *self._lines_of(key))

    def decided(self, key: Key, status: PilotRolloutStatus) -> None:
        """A rollout takes its turn by a decision that is about to be written: that counts from now on.

        Where writing fails, it may be written all the same: until something else is decided, the turn stays taken.
        """
        facts = self._facts.get(key)
        written = facts.turn if facts else None
        if status.turn is not None and status.turn.state == "Taken":
            self._turns.put(key, Turn(taken=True, since=status.turn.since))
            if written is None or not written.taken:
                self._unwritten.add(key)
        else:
            self._unwritten.discard(key)
            self._set_turn(key, written)

    def forget_decided(self) -> None:
        """Another replica leads: what counts is what was written."""
        self._turns = _Turns()
        self._unwritten.clear()
        for key, facts in self._facts.items():
            self._turns.put(key, facts.turn)

    def _index(self, key: Key, facts: Facts | None, sign: int) -> None:
        if facts is None:
            return
        places = [(self._followers, Key(key.namespace, name)) for name in facts.after]
        if facts.flag is not None:
            _change(self._claims, (key.namespace, *facts.flag), key, sign)
        for index, place in places:
            _change(index, place, key, sign)

    def _tell(self, key: Key, before: Facts | None, now: Facts | None) -> None:
        """Who waits for what has just changed looks again at once."""
        concerned: set[Key] = set()
        if before is not None and before.flag is not None and (now is None or now.flag is None):
            concerned |= self._claims.get((key.namespace, *before.flag), set())
        if before is None or now is None or (before.phase == "Completed") != (now.phase == "Completed"):
            concerned |= self._followers.get(key, set())
        concerned.discard(key)
        if concerned:
            self.wake(sorted(concerned))

    def _set_turn(self, key: Key, turn: Turn | None) -> None:
        before = self._turns.get(key)
        self._turns.put(key, turn)
        if before is not None and (turn is None or before.taken != turn.taken):
            self._tell_line(key.namespace)

    def _tell_line(self, namespace: str) -> None:
        """A turn may be free: who comes next looks again."""
        tenant = self.tenant_of(namespace)
        first = self._turns.first_in_cluster(min(self._limit or 0, _MOST_TOLD))
        if tenant is not None and tenant.limit is not None:
            first += self._turns.first_in(tenant.namespaces, min(tenant.limit, _MOST_TOLD))
        if first:
            self.wake(first)

    def _rival_of(self, key: Key) -> str:
        mine = self._facts.get(key)
        if mine is None or mine.flag is None:
            return ""
        claiming = self._claims.get((key.namespace, *mine.flag), set()) - {key}
        first = min(((*_rank(self._facts[each]), each.name) for each in claiming), default=None)
        return first[-1] if first and first < (*_rank(mine), key.name) else ""

    def _predecessor(self, key: Key) -> Predecessor:
        facts = self._facts.get(key)
        if facts is None:
            return Predecessor(key.name)
        return Predecessor(key.name, exists=True, phase=facts.phase, observes=facts.observes)

    def _reachable(self, key: Key) -> dict[Key, Facts]:
        """Whom a rollout waits for, and whom they wait for in turn."""
        found: dict[Key, Facts] = {}
        waiting = [key]
        while waiting:
            each = waiting.pop()
            facts = self._facts.get(each)
            if facts is not None and each not in found:
                found[each] = facts
                waiting += [Key(key.namespace, name) for name in facts.after]
        return found

    def _lines_of(self, key: Key) -> tuple[Line, Line]:
        """The tenant's and the cluster's; who has taken its turn and could not write it yet takes it again."""
        if key in self._unwritten:
            return Line(), Line()
        tenant = self.tenant_of(key.namespace)
        in_tenant = Line()
        if tenant is not None and tenant.limit is not None:
            counted = self._turns.count_in(tenant.namespaces, key)
            in_tenant = Line(tenant.limit, *counted, where=f"tenant {tenant.name}")
        return in_tenant, Line(self._limit, *self._turns.count(key)) if self._limit is not None else Line()


class _Turns:
    """Who advances, and who stands in line for it."""

    def __init__(self) -> None:
        self._known: dict[Key, Turn] = {}
        self._taken: Counter[str] = Counter()
        self._total = 0
        self._cluster: list[tuple[datetime, Key]] = []
        self._tenants: defaultdict[str, list[tuple[datetime, Key]]] = defaultdict(list)

    def get(self, key: Key) -> Turn | None:
        return self._known.get(key)

    def put(self, key: Key, turn: Turn | None) -> None:
        before = self._known.pop(key, None)
        if before is not None:
            self._count(key, before, -1)
        if turn is not None:
            self._known[key] = turn
            self._count(key, turn, 1)

    def count(self, key: Key) -> tuple[int, int]:
        """How many others advance in the cluster, and how many stand in line before this one."""
        mine = self._known.get(key)
        return self._total - (mine is not None and mine.taken), _before(self._cluster, key, mine)

    def count_in(self, namespaces: Iterable[str], key: Key) -> tuple[int, int]:
        """The same of some namespaces."""
        mine = self._known.get(key)
        advancing = sum(self._taken[namespace] for namespace in namespaces) - (mine is not None and mine.taken)
        ahead = sum(
            _before(self._tenants[namespace], key, mine) for namespace in namespaces if namespace in self._tenants
        )
        return advancing, ahead

    def first_in_cluster(self, number: int) -> list[Key]:
        return [key for _, key in self._cluster[:number]]

    def first_in(self, namespaces: Iterable[str], number: int) -> list[Key]:
        return [key for namespace in namespaces for _, key in self._tenants.get(namespace, ())[:number]]

    def _count(self, key: Key, turn: Turn, sign: int) -> None:
        if turn.taken:
            self._taken[key.namespace] += sign
            self._total += sign
            return
        line = self._cluster if turn.limit == "cluster" else self._tenants[key.namespace]
        if sign > 0:
            insort(line, (turn.since, key))
        else:
            del line[bisect_left(line, (turn.since, key))]


def _before(line: list[tuple[datetime, Key]], key: Key, mine: Turn | None) -> int:
    """Who has not stood in this line before comes after all who do."""
    waits = mine is not None and not mine.taken
    return bisect_left(line, (mine.since, key)) if waits and mine is not None else len(line)


def _rank(facts: Facts) -> tuple[bool, str]:
    return not facts.began, facts.created


def _change(index: defaultdict[Any, set[Key]], place: Any, key: Key, sign: int) -> None:
    if sign > 0:
        index[place].add(key)
        return
    index[place].discard(key)
    if not index[place]:
        del index[place]


def tenancy_of(tenant: TenantQuota | None) -> Tenancy | None:
    """What a namespace's TenantQuota says about turns."""
    if tenant is None:
        return None
    limit = tenant.spec.max_advancing if tenant.spec.mode == "enforce" else None
    return Tenancy(tenant.metadata.name, limit, tenant.spec.namespaces)


def facts_of(body: Mapping[str, Any]) -> Facts:
    """What of a rollout, as the API server has it, concerns others."""
    metadata, spec, status = body["metadata"], body["spec"], body.get("status") or {}
    decided = "cohort" in status
    observes = spec.get("mode") == "observe" and (not decided or status.get("mode") == "observe")
    document = ((spec.get("delivery") or {}).get("flags") or {}).get("name", "pilot-flags")
    turn = status.get("turn")
    return Facts(
        flag=None if observes else (document, spec["feature"]["flag"]),
        began=decided and status.get("mode") != "observe",
        created=metadata.get("creationTimestamp", ""),
        after=tuple(spec.get("after") or ()),
        phase=status.get("phase"),
        observes=observes,
        turn=_turn_of(turn) if turn else None,
    )


def _turn_of(said: Mapping[str, Any]) -> Turn:
    taken = said.get("state", "Taken") == "Taken"
    return Turn(taken, datetime.fromisoformat(said["since"]), None if taken else said.get("limit"))
