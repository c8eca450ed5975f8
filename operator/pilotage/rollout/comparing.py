"""Comparing: the control arm of a step, drawn by the same hash as treatment and as large.

Where users are known by name it is exactly as large, as far as there are users: a step that lists treatment by name
lists control by name too, for else everybody whom the directory does not know would be compared with a few who are
known. Where they are not, its share is that of treatment.
"""

from collections.abc import Collection, Sequence

from pilotage.resources.status import CohortStatus, ExposureStatus
from pilotage.rollout.arms import control_beside
from pilotage.rollout.bucketing import bucket_of, hash_order, part_of, share_covering_last
from pilotage.rollout.exposure import SHARE_TOTAL

CONTROLS_LIMIT = 1000
"""As many names of control at most as of treatment."""


def with_control(
    shown: ExposureStatus, cohort: CohortStatus, before: ExposureStatus | None, outside: Sequence[str] | None
) -> tuple[ExposureStatus, tuple[str, ...]]:
    """The exposure with its control arm, and the complete list of who is control by name.

    Args:
        shown: whom the step lets in.
        cohort: what was frozen, with those who are control by name so far.
        before: the exposure of the step before.
        outside: the known users who might have been let in and are not; None where users are not known.
    """
    if shown.kind == "users":
        return _by_name(shown, cohort, before, outside or ())
    listed = before.controls if before and shown.kind == "percent" else 0
    share = shown.share if outside is None else _covering(shown, cohort, outside, listed)
    former = max((before.control if before else 0, *(grant.control for grant in shown.kept)))
    control = control_beside(shown.share, wanted=share, before=former, held_back=shown.held_back)
    update = {"control": control, "controls": listed, "control_users": _count(cohort, control, listed, outside)}
    return shown.model_copy(update=update), cohort.controls


def _by_name(
    shown: ExposureStatus, cohort: CohortStatus, before: ExposureStatus | None, outside: Sequence[str]
) -> tuple[ExposureStatus, tuple[str, ...]]:
    """As many names as treatment has, from the end of the order; those of an attempt before come first again."""
    free, names = set(outside), list(cohort.controls)
    least = before.controls if before else 0
    order = hash_order(free - set(names), seed=cohort.seed, generation=cohort.hash_generation)
    names += reversed(order)
    count = found = 0
    for count, name in enumerate(names, start=1):
        found += name in free
        if found >= shown.enrolled and count >= least:
            break
    shown = shown.model_copy(update={"controls": min(count, CONTROLS_LIMIT), "control_users": found})
    return shown, tuple(names[: max(shown.controls, len(cohort.controls))])


def _covering(shown: ExposureStatus, cohort: CohortStatus, outside: Sequence[str], listed: int) -> int:
    """The share from the end that makes control as large as treatment, with those who are control by name."""
    named = set(cohort.controls[:listed])
    rest = [key for key in outside if key not in named]
    wanted = (shown.users or 0) - (len(outside) - len(rest))
    return share_covering_last(rest, wanted, seed=cohort.seed, generation=cohort.hash_generation)


def _count(cohort: CohortStatus, control: int, listed: int, outside: Collection[str] | None) -> int | None:
    if outside is None:
        return None
    named = set(cohort.controls[:listed])
    parts = {key: part_of(bucket_of(key, seed=cohort.seed, generation=cohort.hash_generation)) for key in outside}
    return sum(key in named or part >= SHARE_TOTAL - control for key, part in parts.items())
