"""What the flag service measures of itself."""

from prometheus_client import Counter, Gauge

SUBSCRIBERS = Gauge("pilotage_flags_subscribers", "Streams that are open to applications.")
NAMESPACES = Gauge("pilotage_flags_namespaces", "Namespaces whose flags are being watched.")
PUSHES = Counter("pilotage_flags_pushes_total", "Documents that were handed to streams.")
REFUSALS = Counter("pilotage_flags_refusals_total", "Calls that were refused, by gRPC status.", ["code"])
ERRORS = Counter("pilotage_flags_errors_total", "What went wrong, by kind.", ["kind"])

for _kind in ("entry", "watch", "review", "bug"):
    ERRORS.labels(_kind)
