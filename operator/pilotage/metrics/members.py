"""Who asks for a group lately: an answer for those few by name, where others would be fetched for nobody.

A shop has the series of thousands of flags, and rolls out a handful. The names stay the same for all who ask
on the same end of the grid; whoever is new there asks for everybody, once for all of them, and is named from the next
end on.
"""

import re
from dataclasses import dataclass, field

_REMEMBERED_STEPS = 4
"""Whoever has not asked for so many steps is left out."""

_LONGEST_CHARACTERS = 700
"""More names ask for everybody: errors and total, which both name them, still fit into a URL."""

_Key = tuple[tuple[str, ...], float]


@dataclass(slots=True)
class _Circle:
    """Those who ask the same: when each did last, and who is named on the present end of the grid."""

    end: float
    asked_at: dict[str, float] = field(default_factory=dict)
    named: frozenset[str] = frozenset()
    matcher: str = ""

    def name(self) -> None:
        """From now on, those who have asked are named; the matcher is made once, not by each who asks."""
        matcher = "|".join(map(literal, sorted(self.asked_at)))
        fits = len(matcher) <= _LONGEST_CHARACTERS
        self.named, self.matcher = (frozenset(self.asked_at), matcher) if fits else (frozenset(), "")


class Members:
    """Remembers the values that were asked for. Times are ends of the grid, in Unix seconds."""

    def __init__(self) -> None:
        """Nobody has asked."""
        self._circles: dict[_Key, _Circle] = {}

    def named(self, queries: tuple[str, ...], value: str, *, end: float, step: float) -> str:
        """A matcher of the values to ask for by name, `value` among them; empty if everybody is to be asked for.

        Args:
            queries: of all groups at once; what is remembered belongs to them.
            value: who asks.
            end: of the grid.
            step: of the grid.
        """
        circle = self._circles.setdefault((queries, step), _Circle(end))
        if end > circle.end:
            circle.end = end
            oldest = end - _REMEMBERED_STEPS * max(step, 1.0)
            circle.asked_at = {known: at for known, at in circle.asked_at.items() if at >= oldest}
            circle.name()
        circle.asked_at[value] = end
        return circle.matcher if end == circle.end and value in circle.named else ""


def literal(value: str) -> str:
    """The value in a matcher: escaped once for the expression, once for PromQL's string."""
    return re.escape(value).replace("\\", "\\\\")
