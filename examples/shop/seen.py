"""What the users saw: the record of a feature from the clients' side, which owes nothing to operator or shop."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Seen:
    """What the users of one feature saw so far; times are Unix seconds, None before the first.

    Attributes:
        answers: requests that were answered, and of them the failed ones, by variant.
        unanswered: requests that got no answer at all.
        inside: users whose last answer was the treatment.
        ever: users who saw the treatment at any time.
        most: the most users who were inside at a time.
        dropped: how often a user who had the treatment got control at the next visit.
        first_dropped_at: when that happened first.
        last_dropped_at: when that happened last.
        last_treatment_at: when anybody got the treatment last.
    """

    answers: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    inside: set[str] = field(default_factory=set)
    ever: set[str] = field(default_factory=set)
    most: int = 0
    dropped: int = 0
    first_dropped_at: float | None = None
    last_dropped_at: float | None = None
    last_treatment_at: float | None = None

    def answer(self, user: str, variant: str, *, failed: bool, at: float) -> None:
        """Note one answer."""
        self.answers[variant] = self.answers.get(variant, 0) + 1
        if failed:
            self.failures[variant] = self.failures.get(variant, 0) + 1
        if variant == "on":
            self._let_in(user, at)
        elif user in self.inside:
            self._drop(user, at)

    def _let_in(self, user: str, at: float) -> None:
        self.inside.add(user)
        self.ever.add(user)
        self.most = max(self.most, len(self.inside))
        self.last_treatment_at = at

    def _drop(self, user: str, at: float) -> None:
        self.inside.remove(user)
        self.dropped += 1
        self.first_dropped_at = self.first_dropped_at or at
        self.last_dropped_at = at

    def to_wire(self) -> dict[str, Any]:
        """The record as JSON, with counts in place of names."""
        return {**asdict(self), "inside": len(self.inside), "ever": len(self.ever)}
