"""What an objective's bounds have to do with each other: good on one side, warning and critical on the other."""

from pilotage.judging.criteria import OPPOSITE, Bound
from pilotage.judging.questions import RuleError


def check_bound(role: str, bound: Bound, target: Bound, field: str) -> None:
    """Refuse a warning or a critical bound that contradicts the objective.

    A warning may come before the objective is missed (p95 < 50ms, warning > 45ms) or after it (error_ratio < 0.1%,
    warning > 0.5%); what is critical lies beyond it.

    Args:
        role: `warning` or `critical`.
        bound: says when it is violated.
        target: what the objective calls good.
        field: of the bound.

    Raises:
        RuleError: with the remedy.
    """
    if bound.op[0] in "<>" and bound.op[0] == target.op[0]:
        turned = Bound(OPPOSITE[bound.op], bound.number, bound.suffix)
        message = f"{role} says when it is violated, and {bound} is what the objective calls good: write `{turned}`"
        raise RuleError(field, message)
    if role == "critical" and _is_milder(bound, target):
        message = (
            f"critical {bound} would roll back while the objective {target} still holds: put it beyond the objective"
        )
        raise RuleError(field, message)


def check_warning(warning: Bound | None, critical: Bound | None, field: str) -> None:
    """Refuse a warning that can't come before critical.

    Raises:
        RuleError: with the remedy; `field` is the warning's.
    """
    if warning is not None and critical is not None and _is_milder(critical, warning):
        message = f"warning {warning} would show only after critical {critical} rolled back: put it before critical"
        raise RuleError(field, message)


def _is_milder(bound: Bound, other: Bound) -> bool:
    """Whether values get past the bound before they get past the other."""
    return {">": bound.value < other.value, "<": bound.value > other.value}.get(bound.op[0], False)
