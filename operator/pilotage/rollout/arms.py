"""Arms: who is compared with whom, as slots in the one order in which the hash puts all users.

    0 -- treatment --> share ... rest ... 1 - control <-- control -- 1 - held back -- holdback -- 1

Treatment grows from the front and control from the end, the holdback last of all. So growing moves nobody from one arm
to the other: only where both together would be more than everybody, treatment takes from control, whoever came to it
last, and never from the holdback. Between them lies the rest, who are in no arm: of arms side by side, the second would
move.

Everything counts parts per billion of the eligible users' buckets, as shares do.
"""

from dataclasses import dataclass
from fractions import Fraction

from pilotage.rollout.exposure import SHARE_TOTAL


@dataclass(frozen=True, slots=True)
class Slot:
    """A stretch of the order, and the variant that its users get."""

    variant: str
    weight: int


def parts_of_percent(text: str) -> int:
    """A share written as `2%` or `0.5%`, in parts per billion."""
    return int(Fraction(text.removesuffix("%")) / 100 * SHARE_TOTAL)


def control_beside(treatment: int, *, wanted: int, before: int, held_back: int) -> int:
    """The share of control: what is wanted, as far as there is room.

    Args:
        treatment: its share.
        wanted: the share that makes control as large as treatment.
        before: share of control so far: nobody leaves it but for treatment.
        held_back: share of the holdback, which is a part of control.
    """
    return min(max(wanted, before, held_back), SHARE_TOTAL - treatment)


def slots_of(
    share: int, *, control: int, held_back: int, treatment: str, compared: str, others: str
) -> tuple[Slot, ...]:
    """The slots from the first user to the last, without empty ones.

    Args:
        share: of treatment.
        control: share of control with the holdback in it; 0 where all others are control.
        held_back: share of the holdback.
        treatment: variant of treatment.
        compared: variant of control and of the holdback.
        others: variant of those in between.
    """
    behind = min(max(control, held_back), SHARE_TOTAL - share)
    slots = (
        Slot(treatment, share),
        Slot(others, SHARE_TOTAL - share - behind),
        Slot(compared, max(behind - held_back, 0)),
        Slot(compared, min(held_back, behind)),
    )
    return tuple(slot for slot in slots if slot.weight > 0)
