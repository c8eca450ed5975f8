"""Slips that people make in criteria and bounds, and the remedy that the API server tells for each.

Only a text that was refused is searched for them, in this order. The operator's own reading, which `backtest` and
`Stalled` show, also knows the place (`judging.explaining`); CEL has no way to find it.
"""

BOUND_SLIPS = (
    (r"=[<>]|≥|≤|≠|<>", "write the operator as >=, <= or !="),
    (r"(^|[^<>=!])=([^=]|$)", "write == where you mean equal"),
    (r"[0-9],[0-9]", "write a decimal point, such as 0.1"),
    (
        r"[0-9] +(%|percent|ms|msec|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?)( |$)",
        "write a number and its unit without a blank, such as 5%, 50ms or 10m",
    ),
    (
        r"[0-9](percent|pct|msec|secs?|seconds?|mins?|minutes?|hours?|days?|weeks?)",
        "write units as %, ms, s, m, h or d",
    ),
)
"""Each as an expression that finds the slip, and what is told then."""

CRITERION_SLIPS = (
    (
        r" (and|or|AND|OR|&&|[|][|]) ",
        "a criterion is one comparison: make each an item of the list",
    ),
    *BOUND_SLIPS,
    (
        r"^lift[(].*([0-9%]|[0-9](ms|s|m|h|d|w))$",
        "a lift ends with ` significant`, and has no duration: `lift(conversions) > 10% significant`",
    ),
    (r"^[^(]* significant$", "only lift(...) can be significant: leave it out"),
    (
        r"[<>=] ?-?[0-9.]+(%|ms|s|m|h|d)? ([0-9]+(ms|s|m|h|d|w))+$",
        "write `for` before the duration (without a break), or `in` (the value over that window)",
    ),
    (r"^[^(]*[A-Z].*[<>=]", "write names in lower case"),
)
"""The same, of criteria."""
