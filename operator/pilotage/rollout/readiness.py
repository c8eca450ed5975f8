"""Readiness: may the rollout go on, as far as criteria tell? What stands against it, what people should know of."""

from collections.abc import Iterable, Sequence

from pilotage.judging.rules import Rule
from pilotage.resources.status import Finding, ReadinessStatus

_MOST = 32

_WORDS = {"breach": "applies", "pending": "begins to apply"}
_WORDS_OF_GO = {"breach": "not met", "pending": "not met yet"}


def assess(shown: Sequence[tuple[Rule, Finding]]) -> ReadinessStatus:
    """The readiness by the rules that count now.

    Blockers are the criteria of spec.readiness.blockers that apply, objectives that are missed, go criteria that are
    not met, and all else that holds the rollout. What has no data can't be told: it is no blocker, and no readiness.

    Args:
        shown: each rule with its finding.
    """
    holding = [(rule, found) for rule, found in shown if rule.decides]
    telling = [(rule, found) for rule, found in shown if rule.on_breach == "tell"]
    blockers = [pair for pair in holding if pair[1].verdict in ("breach", "pending")]
    unknown = [pair for pair in holding if pair[1].verdict in ("no-data", "unavailable")]
    return ReadinessStatus(
        state="NotReady" if blockers else "Unknown" if unknown else "Ready",
        blockers=_texts(blockers),
        warnings=_texts(pair for pair in telling if pair[1].verdict == "breach"),
        unknown=_texts([*unknown, *(pair for pair in telling if pair[1].verdict in ("no-data", "unavailable"))]),
    )


def _texts(pairs: Iterable[tuple[Rule, Finding]]) -> tuple[str, ...]:
    """The worst first; what does not fit is counted."""
    texts = [_text(rule, found) for rule, found in sorted(pairs, key=lambda pair: pair[1].verdict != "breach")]
    if len(texts) <= _MOST:
        return tuple(texts)
    return (*texts[: _MOST - 1], f"and {len(texts) - _MOST + 1} more")


def _text(rule: Rule, found: Finding) -> str:
    words = _WORDS_OF_GO if rule.role in ("go", "objective") else _WORDS
    said = words.get(found.verdict, found.verdict)
    detail = f" ({found.message})" if found.message else ""
    return f"{found.rule}: {said}{detail}"[:1024]
