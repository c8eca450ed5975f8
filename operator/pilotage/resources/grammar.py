"""The small grammars of criteria, bounds and cohort criteria, as regular expressions.

They are regular on purpose: one definition makes both the parser and the `pattern` in the CRD, so that what the API
server lets through is what the operator understands. Only syntax that RE2 and Python read alike is used.

    criterion  INDICATOR OP VALUE[UNIT] [for DURATION | in DURATION]     error_ratio > 1% for 10m
               lift(INDICATOR) OP VALUE[UNIT] significant                lift(conversions) > 10% significant
               score(SCORE) OP VALUE[UNIT] [for DURATION]                score(customer) >= 8.0 for 7d
               incidents(WORDS) OP VALUE[UNIT] [for ... | in ...]        incidents(critical, open) == 0 for 7d
    bound      OP VALUE[UNIT]                                            < 50ms
    audience   TERM {and TERM} {or TERM {and TERM}}                      device == 'mobile' and orders > 10
    term       ATTRIBUTE OP LITERAL | ATTRIBUTE in [LITERAL, ...]

Groups are named for the parser; `as_pattern` takes the names away, because JSON Schema doesn't know them.
"""

import re


def as_pattern(expression: str) -> str:
    """The expression as a `pattern` of the CRD: anchored, its groups without names."""
    return "^" + re.sub(r"\?P<[a-z]+>", "", expression) + "$"


INDICATOR = r"[a-z][a-z0-9_-]*"
OPERATOR = r"(<=|>=|==|!=|<|>)"
NUMBER = r"-?[0-9]{1,15}(\.[0-9]{1,9})?"
UNIT = r"(%|ms|s|m|h|d)?"
DURATION = r"([0-9]{1,6}(ms|s|m|h|d|w)){1,6}"

BOUND = rf"(?P<op>{OPERATOR}) ?(?P<number>{NUMBER})(?P<unit>{UNIT})"
BOUND_PATTERN = as_pattern(BOUND)

SEVERITIES = ("critical", "major", "minor")
STATES = ("open", "resolved", "any")
_SEVERITY, _STATE = f"({'|'.join(SEVERITIES)})", f"({'|'.join(STATES)})"
INCIDENT_WORDS = rf"({_SEVERITY}(, ?{_STATE})?|{_STATE}(, ?{_SEVERITY})?)"
ORDERING = r"(<=|>=|<|>)"

_NAMED = rf"(?P<indicator>{INDICATOR})"
_MODE = rf"( (?P<mode>for|in) (?P<duration>{DURATION}))?"
CRITERION = rf"{_NAMED} ?{BOUND}{_MODE}"
LIFT = rf"(?P<function>lift)\({_NAMED}\) ?{BOUND.replace(OPERATOR, ORDERING)} (?P<significant>significant)"
SCORE = rf"(?P<function>score)\({_NAMED}\) ?{BOUND}{_MODE.replace('for|in', 'for')}"
INCIDENTS = rf"(?P<function>incidents)\((?P<words>{INCIDENT_WORDS})\) ?{BOUND}{_MODE}"
FORMS = (CRITERION, LIFT, SCORE, INCIDENTS)
"""What a criterion may look like; they exclude each other."""

CRITERION_PATTERN = as_pattern("(" + "|".join(FORMS) + ")")

ATTRIBUTE = r"[A-Za-z_][A-Za-z0-9_.]*"
TEXT = r"'[^'\\]{0,64}'"
LITERAL = rf"({NUMBER}|{TEXT}|true|false)"
TERM = rf"{ATTRIBUTE} ?({OPERATOR} ?{LITERAL}| in \[{LITERAL}(, ?{LITERAL})*\])"
AUDIENCE_PATTERN = rf"^{TERM}( (and|or) {TERM})*$"
