"""The rules that are compared: those of the peers, and ours.

A rule of a peer is a function from runs to the step at whose end it rolls back, `NEVER` if it doesn't. Each is written
from what its project publishes, with that project's own defaults or the settings of its documentation.
"""

from collections.abc import Callable
from typing import TypeAlias

from bench.decisions.rules.burn_rate import burn_rate
from bench.decisions.rules.confidence import confidence_sequence
from bench.decisions.rules.failure_limit import failure_limit
from bench.decisions.rules.mann_whitney import mann_whitney
from bench.decisions.rules.strikes import strikes
from bench.decisions.worlds import Counts, Runs

Rule: TypeAlias = Callable[[Runs], Counts]

PEERS: dict[str, Rule] = {
    "Flagger, 5 strikes": strikes,
    "Argo, limit 3, 1 min": lambda runs: failure_limit(runs, minutes=1),
    "Argo, limit 3, 5 min": lambda runs: failure_limit(runs, minutes=5),
    "burn rate 14.4x": burn_rate,
    "Kayenta, 10 min": mann_whitney,
    "GrowthBook": confidence_sequence,
}
