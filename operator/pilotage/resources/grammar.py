"""The small grammars of criteria, bounds and cohort criteria, as regular expressions.

They are regular on purpose: one definition makes both the parser and the `pattern` in the CRD, so that what the API
server lets through is what the operator understands. Only syntax that RE2 and Python read alike is used.

    criterion  INDICATOR OP VALUE[UNIT] [for DURATION | in DURATION]     error_ratio > 1% for 10m
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
CRITERION = rf"(?P<indicator>{INDICATOR}) ?{BOUND}( (?P<mode>for|in) (?P<duration>{DURATION}))?"
BOUND_PATTERN = as_pattern(BOUND)
CRITERION_PATTERN = as_pattern(CRITERION)

ATTRIBUTE = r"[A-Za-z_][A-Za-z0-9_.]*"
TEXT = r"'[^'\\]{0,64}'"
LITERAL = rf"({NUMBER}|{TEXT}|true|false)"
TERM = rf"{ATTRIBUTE} ?({OPERATOR} ?{LITERAL}| in \[{LITERAL}(, ?{LITERAL})*\])"
AUDIENCE_PATTERN = rf"^{TERM}( (and|or) {TERM})*$"
