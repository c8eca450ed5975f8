"""Several rollouts: what a decision has to know of the others, given by the shell as frozen data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pilotage.resources.status import Phase


@dataclass(frozen=True, slots=True)
class Predecessor:
    """A rollout that must be completed before this one begins.

    Attributes:
        name: in the same namespace.
        exists: whether there is one.
        phase: as it was decided last; None before its first decision.
        observes: nothing of it reached anybody.
    """

    name: str
    exists: bool = False
    phase: Phase | None = None
    observes: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """A limit on how many rollouts advance at once, and who waits for it.

    Attributes:
        limit: how many; None for any number.
        advancing: others that have their turn.
        ahead: others that wait for theirs for longer than this one.
        where: the cluster, or the tenant by its name.
    """

    limit: int | None = None
    advancing: int = 0
    ahead: int = 0
    where: str = "the cluster"

    @property
    def is_closed(self) -> bool:
        """Whether it is another one's turn."""
        return self.limit is not None and self.advancing + self.ahead >= self.limit


@dataclass(frozen=True, slots=True)
class Several:
    """The other rollouts, as far as they concern one.

    Attributes:
        rival: the rollout that claimed the same flag before; empty if there is none.
        predecessors: those of spec.after, in its order.
        cycle: names along which rollouts wait for each other, from this one to this one; empty if they don't.
        tenant: its limit.
        cluster: its limit.
    """

    rival: str = ""
    predecessors: tuple[Predecessor, ...] = ()
    cycle: tuple[str, ...] = ()
    tenant: Line = field(default_factory=Line)
    cluster: Line = field(default_factory=Line)


def find_cycle(start: str, after: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The way along which a rollout waits for itself, such as `(a, b, a)`; empty if it does not.

    Args:
        start: name of the rollout.
        after: by name, whom a rollout waits for.
    """
    came_from: dict[str, str] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop(0)
        for each in after.get(name, ()):
            if each == start:
                way = [name]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return (*reversed(way), start)
            if each not in came_from:
                came_from[each] = name
                waiting.append(each)
    return ()
