"""Plays one scenario: rollouts begin, something breaks, errors jump, it is mended; then the witness judges."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from testbed import DeadlineExceededError, wait_until
from tests.faults.exporter import indicators
from tests.faults.scenario import Measured, Scenario
from tests.faults.stage import Stage
from tests.faults.watching import Object
from tests.faults.witness import FLAGS, Expected, Witness

CLIMB = ("Start", "Advance", "Advance", "Complete")
FALL = ("Start", "RollBack", "RolledBack")
LEAVE = ("Start", "Release")
_END_SECONDS = 300.0
_PER_DOCUMENT = 20
_WINDOW_SECONDS = 12.0
"""So long after the evidence has ended, what was seen before it may still count."""


@dataclass(slots=True)
class Play:
    """One play of a scenario on a stage."""

    stage: Stage
    scenario: Scenario
    namespace: str
    falls: tuple[str, ...]
    times: dict[str, float] = field(default_factory=dict)

    @property
    def witness(self) -> Witness:
        return Witness(self.stage.onlooker, self.namespace, self.stage.record)

    @property
    def names(self) -> tuple[str, ...]:
        return ("climb", *self.falls, *(("leave",) if self.scenario.course.leaves else ()))

    def run(self) -> Measured:
        """Play it to its end, and judge."""
        self._begin()
        with self._broken():
            if self.scenario.seconds is None:
                self._await_end()
            else:
                time.sleep(self.scenario.seconds)
            self._mark("mended")
        self._await_end()
        self._judge()
        since = "breach" if self.scenario.counts_from == "breach" else "mended"
        off = max(0.0, self.times["off"] - self.times[since])
        assert off <= self.scenario.bound_seconds, f"verified off only {off:.1f} s after the {since}"
        converged = max(0.0, self.times["ended"] - self.times["mended"])
        counted = ", ".join(f"{count} {what}" for what, count in self.stage.counts.items())
        return Measured(self.times["mended"] - self.times["broken"], off, converged, counted)

    def _begin(self) -> None:
        self.stage.exporter.begin(self.namespace, *self.names)
        time.sleep(3)  # so that Prometheus has a rate to show when the first judgement asks for it
        course = self.scenario.course
        climb = [_step("few", 20, course.hold), _step("some", 40, "1s"), _step("all", 100, "0s")]
        fall = [*([_step("few", 20, course.hold)] if course.grows else []), _step("half", 50, "1h")]
        leave = [_step("half", 50, "1h")]
        steps = {"climb": climb, "leave": leave, **dict.fromkeys(self.falls, fall)}
        manifests = {"apiVersion": "v1", "kind": "List", "items": [self._manifest(n, steps[n]) for n in self.names]}
        self.stage.cluster.kubectl("create", "-f", "-", input=json.dumps(manifests), seconds=_END_SECONDS)
        wait_until(
            lambda: all("verifiedTime" in self._status(name).get("step", {}) for name in self.names),
            "all first steps to be in force",
            seconds=_END_SECONDS,
        )

    def _manifest(self, name: str, steps: list[dict[str, Any]]) -> Object:
        return {
            "apiVersion": "pilotage.dev/v1alpha1",
            "kind": "PilotRollout",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "feature": {"flag": name},
                "interval": self.scenario.course.interval,
                "indicators": indicators(self.namespace, self.falls[0] if name in self.falls else name),
                "rollback": ["error_ratio > 10% for 2s"],
                "go": ["error_ratio < 5%", "heat < 50"],
                "delivery": {"flags": {"name": self._document(name)}},
                "steps": steps,
            },
        }

    def _document(self, name: str) -> str:
        """The ConfigMap of a rollout's flag: a crowd has some, as teams do."""
        number = self.falls.index(name) // _PER_DOCUMENT if name in self.falls else 0
        return f"{FLAGS}-{number}" if number else FLAGS

    @contextmanager
    def _broken(self) -> Iterator[None]:
        """The fault, with the jump of the errors in it."""
        self._mark("broken")
        with self.scenario.breaks(self.stage, self.namespace):
            if self.scenario.course.leaves:
                wait_until(self._delete, "the API server to take a deletion", seconds=_END_SECONDS)
            time.sleep(self.scenario.breach_after_seconds)
            self.stage.exporter.fail(self.namespace, *self.falls)
            self._mark("breach")
            threading.Thread(target=self._note_off, daemon=True).start()
            yield

    def _delete(self) -> bool:
        self._kubectl("delete", "pilot", "leave", "--wait=false", "--ignore-not-found")
        return True

    def _note_off(self) -> None:
        """Note when the last one is seen to be verified off, whatever the play waits for meanwhile."""
        while "ended" not in self.times:
            if self._is_off():
                self._mark("off")
                return
            time.sleep(0.05)

    def _await_end(self) -> None:
        wait_until(lambda: "off" in self.times, "users to be back", seconds=_END_SECONDS)
        wait_until(self._has_ended, "all to come to their end", seconds=_END_SECONDS)
        self.times.setdefault("ended", time.monotonic())

    def _is_off(self) -> bool:
        if self.scenario.goes:
            return self._is_gone()
        return all((self._status(name).get("rollback") or {}).get("verifiedTime") for name in self.falls)

    def _has_ended(self) -> bool:
        if self.scenario.goes:
            return self._is_gone()
        gone = "leave" not in self.names or self.stage.onlooker.is_gone("pilotrollouts", self.namespace, "leave")
        return (
            self._status("climb").get("phase") == "Completed"
            and gone
            and all(self._status(name).get("phase") == "RolledBack" for name in self.falls)
        )

    def _is_gone(self) -> bool:
        return not self.stage.cluster.kubectl("get", "namespace", self.namespace, "--ignore-not-found")

    def _judge(self) -> None:
        scenario = self.scenario
        fall = FALL if not scenario.course.grows else (FALL[0], "Advance", *FALL[1:])
        moves = {"climb": CLIMB, "leave": LEAVE, **dict.fromkeys(self.falls, fall)}
        witness = self.witness
        if not (scenario.goes or scenario.forgets):
            witness = self._await_told()
            self._judge_served()
        for name in self.names:
            if scenario.goes:
                witness.judge_users(name)
            else:
                expected = Expected(moves[name], scenario.clock_steps, scenario.forgets, scenario.lacks_events)
                witness.judge(name, expected)
        if scenario.blind:
            self._judge_blind()
        assert not self.stage.complaints()

    def _await_told(self) -> Witness:
        """A witness who has seen Events and record complete; in vain, one who will tell what differs."""
        by_events = not self.scenario.lacks_events

        def told() -> list[Witness]:
            witness = self.witness
            return [witness] if witness.are_told(self.names, by_events=by_events) else []

        with suppress(DeadlineExceededError):
            return wait_until(told, "Events and record to be complete", seconds=120)[0]
        return self.witness

    def _judge_served(self) -> None:
        """No replica of the flag service lets in anybody who was taken back."""
        for served in self.stage.served(self.namespace):
            for name in self.falls:
                assert not self.witness.admitted(served[name]), f"{name} is served as {served[name]}"

    def _judge_blind(self) -> None:
        """While there was no evidence, nobody was let in."""
        began = self._wall("broken") + timedelta(seconds=_WINDOW_SECONDS)
        for entry in self.witness.history("climb"):
            grown = entry["action"] in ("Advance", "Complete")
            assert not (grown and began < datetime.fromisoformat(entry["time"]) < self._wall("mended")), entry

    def story(self) -> str:
        """What is known, for who has to find out why it failed."""
        rollouts = [f"{name}: {self._status(name)}"[:3000] for name in self.names[:4]]
        logs = [f"{name}:\n{each.tail(40)}" for name, each in self.stage.processes.processes.items()]
        return "\n".join([f"{self.scenario.name} at {self.times}", *rollouts, *logs])

    def _mark(self, what: str) -> None:
        self.times.setdefault(what, time.monotonic())

    def _wall(self, what: str) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=time.monotonic() - self.times[what])

    def _status(self, name: str) -> Object:
        status: Object = self.stage.onlooker.latest("pilotrollouts", self.namespace, name).get("status", {})
        return status

    def _kubectl(self, *arguments: str) -> str:
        return self.stage.cluster.kubectl(*arguments, "-n", self.namespace)


def _step(name: str, percent: int, hold: str) -> dict[str, Any]:
    return {"name": name, "percent": percent, "hold": hold}


def play(stage: Stage, scenario: Scenario) -> Measured:
    """Play a scenario, judge it, and tell what was measured; leaves the stage as it was.

    Raises:
        AssertionError: an invariant does not hold, or it did not come to its end.
    """
    falls = tuple(f"fall-{number}" for number in range(scenario.course.falls))
    playing = Play(stage, scenario, stage.new_namespace(), falls)
    try:
        return playing.run()
    except Exception as error:
        error.add_note(playing.story())
        raise
    finally:
        stage.exporter.end(playing.namespace)
        stage.counts.clear()
