"""The bucketing probe: an evaluator tells how it hashes, and a rollout holds where one hashes otherwise."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import cbor2
import pytest
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.contrib.tools.flagd.core.targeting import custom_ops
from openfeature.evaluation_context import EvaluationContext

from pilotage.delivery.targeting import definition_of
from pilotage.flags.documents import Entry, merge
from pilotage.judging.evidence import Answer, Answered, Evidence, NoData, Series, Unavailable
from pilotage.judging.hashing import HashingRule
from pilotage.judging.questions import RuleError
from pilotage.judging.reading import readable_rules
from pilotage.resources.status import Finding, Verdict
from pilotage.rollout.bucketing_probe import PROBE_FLAG, probe_definition
from pilotage.rollout.exposure import Exposure
from tests.builders import RolloutBuilder, make_rollout
from tests.pilot import NOW, Pilot

SAID = {"query": "count by (generation) (pilotage_bucketing_info)", "unit": "count", "variantLabel": "generation"}
OURS = Entry("checkout", definition_of(Exposure("checkout", "on", "off", "full", revision=1)), "ConfigMap/pilot-flags")
THEIRS = Entry("banner", {"state": "ENABLED", "variants": {"on": True}, "defaultVariant": "on"}, "FeatureFlag/shop")


def answered(document: str, hashing: object | None = None) -> str:
    """What an application gets for the probe."""
    core = FlagdCore()
    core.set_flags(document)
    with patch.object(custom_ops, "cbor2", hashing or cbor2):
        return core.resolve_string_value(PROBE_FLAG, default_value="none", ctx=EvaluationContext("anybody")).value


class Raw:
    """What evaluators of the generation `raw` hash."""

    @staticmethod
    def dumps(value: str, *, canonical: bool) -> bytes:
        assert canonical
        return value.encode()


class Strange(Raw):
    """What no generation hashes."""

    @staticmethod
    def dumps(value: str, *, canonical: bool) -> bytes:
        assert canonical
        return value.encode("utf-16")


@pytest.mark.parametrize(("hashing", "told"), [(None, "cbor"), (Raw, "raw"), (Strange, "other")])
def test_an_evaluator_tells_by_the_probe_how_it_hashes(hashing: object | None, told: str) -> None:
    document, faults = merge("shop", [OURS, THEIRS])
    assert answered(document, hashing) == told
    assert not faults


def test_the_probe_is_served_before_anything_is_rolled_out_because_that_may_wait_for_it() -> None:
    assert list(json.loads(merge("shop", [])[0])["flags"]) == [PROBE_FLAG]
    assert list(json.loads(merge("shop", [OURS, THEIRS])[0])["flags"]) == ["banner", "checkout", PROBE_FLAG]
    theirs = Entry(PROBE_FLAG, THEIRS.definition, "FeatureFlag/shop")
    assert json.loads(merge("shop", [OURS, theirs])[0])["flags"][PROBE_FLAG] == THEIRS.definition


def test_its_slots_fill_the_whole_order() -> None:
    slots = probe_definition()["targeting"]["fractional"][1:]
    assert sum(weight for _, weight in slots) == 1_000_000_000
    assert all(weight > 0 for _, weight in slots)
    assert sorted(name for name, _ in slots) == ["cbor", "other", "other", "other", "raw"]


def declared(generation: str = "cbor", **said: Any) -> RolloutBuilder:
    flags = {"hashGeneration": generation, "evaluators": {"indicator": "evaluators"}}
    made = make_rollout().step("half", percent=50, hold="1m").step("all", percent=100)
    return made.indicator("evaluators", **{**SAID, **said}).with_spec(delivery={"flags": flags})


def rule(made: RolloutBuilder) -> HashingRule:
    rules, wrong = readable_rules(made.obj().spec, {}, namespace="shop", name="search")
    if wrong:
        raise wrong[0]
    (found,) = rules
    assert isinstance(found, HashingRule)
    return found


def counted(counts: Mapping[str, float], age: float = 0.0) -> Answer:
    at = ((NOW - timedelta(seconds=age)).timestamp(),)
    return Answered(tuple((name, Series(at, (count,))) for name, count in counts.items()))


def judged(answer: Answer, generation: str = "cbor") -> Finding:
    made = rule(declared(generation))
    return made.judge(Evidence({made.question: answer}), NOW)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (counted({"cbor": 5}), "pass"),
        (counted({"cbor": 5, "raw": 0}), "pass"),
        (counted({"cbor": 5, "raw": 1}), "breach"),
        (counted({"raw": 6}), "breach"),
        (counted({"cbor": 5, "other": 1}), "breach"),
        (counted({}), "no-data"),
        (counted({"": 5}), "no-data"),
        (counted({"cbor": 5}, age=3600), "no-data"),
        (counted({"cbor": 5, "none": 1}), "no-data"),
        (counted({"raw": 5, "none": 1}), "breach"),
        (NoData("nothing there"), "no-data"),
        (Unavailable("down"), "unavailable"),
    ],
)
def test_all_evaluators_must_hash_as_is_computed(answer: Answer, verdict: Verdict) -> None:
    assert judged(answer).verdict == verdict


def test_the_message_names_who_and_what_to_do() -> None:
    found = judged(counted({"cbor": 5, "raw": 2}))
    assert found.value == "5 of 7 cbor"
    assert found.message == (
        "2 raw of 7 evaluators, but hashGeneration is cbor: they let in other users; bring all applications to"
        " providers of one generation, and make the rollout anew with that hashGeneration"
    )
    assert "hash in neither way" in judged(counted({"other": 1})).message
    assert judged(counted({"raw": 3}), "raw").message == "all 3 evaluators hash raw"


def test_an_indicator_that_does_not_count_is_refused() -> None:
    with pytest.raises(RuleError, match=r"evaluators is in seconds: name an indicator that counts evaluators"):
        rule(declared(unit="seconds"))


def test_a_rollout_does_not_begin_while_evaluators_differ() -> None:
    pilot = Pilot(declared())
    pilot.decide(bucketing="breach")
    assert (pilot.phase, pilot.step) == ("Pending", "-")
    assert pilot.condition("BucketingConsistent")[:2] == ("False", "GenerationsDiffer")
    pilot.decide(after=10, bucketing="pass")
    assert pilot.step == "half"
    assert pilot.condition("BucketingConsistent") == ("True", "Consistent", "")


@pytest.mark.parametrize("verdict", ["breach", "no-data", "unavailable"])
def test_growth_holds_and_nobody_is_taken_back(verdict: Verdict) -> None:
    pilot = Pilot(declared())
    pilot.settle().settle(after=61, bucketing=verdict).settle(after=600)
    assert (pilot.phase, pilot.step) == ("Holding", "half")
    assert "RollBack" not in pilot.actions
    assert pilot.condition("BucketingConsistent")[0] == ("False" if verdict == "breach" else "Unknown")
    pilot.settle(after=1, bucketing="pass")
    assert pilot.step == "all"


def test_where_nobody_asks_there_is_no_condition() -> None:
    pilot = Pilot(make_rollout().step("all", percent=100))
    pilot.settle()
    assert "BucketingConsistent" not in [each.type for each in pilot.rollout.status.conditions]
