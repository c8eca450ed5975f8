"""Each fault, on real processes: users never exceed what was decided, nothing is lost or doubled, and it ends well.

What must hold is in `witness.py`, once; what breaks is in `scenarios.py`.
"""

import pytest

from tests.faults.plays import Plays
from tests.faults.scenario import Scenario
from tests.faults.scenarios import SCENARIOS


@pytest.mark.cluster("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "prometheus")
@pytest.mark.timeout(1200)  # it may be the first that waits for all others
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_users_stay_where_they_were_decided_to_be_and_the_rollouts_come_to_their_end(
    scenario: Scenario, plays: Plays
) -> None:
    measured = plays.outcome(scenario)
    print(f"verified off after {measured.off_seconds:.1f} s, all at their end after {measured.converged_seconds:.1f} s")
