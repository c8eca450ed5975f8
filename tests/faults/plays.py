"""Plays the scenarios that a session asks for: each stage in a thread of its own, so that waiting overlaps.

Most of a scenario is waiting: for leases, holds, watches that are taken for dead, outages. One after the other they
would take a quarter of an hour; as it is, the tests only wait for what is being played.
"""

import time
import traceback
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread

from tests.faults import measurements
from tests.faults.play import play
from tests.faults.scenario import Measured, Scenario, StageName
from tests.faults.stage import Stage, open_stage

_COMPONENTS: dict[StageName, tuple[str, ...]] = {"around": ("kube-controller-manager",)}
"""Only who deletes a namespace needs somebody who does it."""

_AT_ONCE = 6


class Plays:
    """The plays of a session.

    Args:
        scenarios: those whose outcome somebody will ask for.
    """

    def __init__(self, scenarios: Iterable[Scenario]) -> None:
        self._outcomes: dict[str, Future[Measured]] = {each.name: Future() for each in scenarios}
        self._wanted = list(scenarios)
        self._stages: dict[StageName, Thread] = {}

    def start(self, *names: StageName) -> None:
        """Begin to play the scenarios of these stages; what has begun goes on."""
        for name in names:
            wanted = [each for each in self._wanted if each.stage == name]
            if wanted and name not in self._stages:
                self._stages[name] = Thread(target=self._play_all, args=(name, wanted), name=name, daemon=True)
                self._stages[name].start()

    def outcome(self, scenario: Scenario) -> Measured:
        """What was measured; waits for the end of the play, and raises what was wrong with it."""
        self.start(scenario.stage)
        outcome = self._outcomes[scenario.name]
        if error := outcome.exception():
            # Printed with the test, and taken out: pytest's summary would repeat it whole, and bury who failed.
            print("\n".join(getattr(error, "__notes__", ())))
            error.__notes__ = []
        return outcome.result()

    def join(self) -> None:
        """Wait until all that began has ended, stages and processes included."""
        for thread in self._stages.values():
            thread.join()

    def _play_all(self, name: StageName, wanted: list[Scenario]) -> None:
        try:
            with open_stage(*_COMPONENTS.get(name, ())) as stage:
                together = [each for each in wanted if not each.alone]
                with ThreadPoolExecutor(_AT_ONCE) as pool:
                    list(pool.map(lambda each: self._play(stage, each), together))
                for each in wanted:
                    if each.alone:
                        self._play(stage, each)
        except BaseException as error:  # noqa: BLE001 - it belongs to the tests that wait
            for each in wanted:
                if not self._outcomes[each.name].done():
                    self._outcomes[each.name].set_exception(error)

    def _play(self, stage: Stage, scenario: Scenario) -> None:
        began_at = time.monotonic()
        try:
            measured = play(stage, scenario)
            measurements.keep(scenario, measured)
            self._outcomes[scenario.name].set_result(measured)
            print(f"{scenario.name}: {measured}, played in {time.monotonic() - began_at:.0f} s")
        except BaseException as error:  # noqa: BLE001 - it belongs to the test that waits
            traceback.print_exc()
            self._outcomes[scenario.name].set_exception(error)
