"""`kubectl apply` refuses nonsense, and what the user reads names the field and the remedy."""

from typing import Any

import pytest

from testbed import Cluster
from tests.cluster.admission import apply, refusal, rollout, told

pytestmark = pytest.mark.usefixtures("crds")

POWER, MOBILE = "power-users", "mobile-users"
BACK = "; take users back by a rollback, not by a step"


def steps(*said: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"steps": [{"name": f"s{place}", **step} for place, step in enumerate(said)], **changes}


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    # Steps that shrink.
    "users that shrink": (
        steps({"users": 20}, {"percent": 1}, {"users": 15}),
        "spec.steps",
        f"steps[2] s2: users 15 is less than 20 of step s0{BACK}",
    ),
    "users after everybody": (
        steps({"percent": 100}, {"users": 15}),
        "spec.steps",
        f"steps[1] s1: users 15 is less than everybody of step s0{BACK}",
    ),
    "percent that shrinks": (
        steps({"percent": 30}, {"percent": "29.5"}),
        "spec.steps",
        f"steps[1] s1: percent 29.5 is less than 30 of step s0{BACK}",
    ),
    "percent of cohorts that are all in": (
        steps({"cohorts": [POWER, MOBILE]}, {"cohorts": [MOBILE, POWER], "percent": 30}),
        "spec.steps",
        f"steps[1] s1: percent 30 is less than 100 of step s0{BACK}",
    ),
    "cohorts that shrink": (
        steps({"percent": 5, "cohorts": [POWER, MOBILE]}, {"percent": 10, "cohorts": [MOBILE]}),
        "spec.steps",
        f"steps[1] s1: cohorts leave out {POWER} of step s0: add it",
    ),
    "cohorts after everybody": (
        steps({"percent": 5}, {"percent": 10, "cohorts": [MOBILE]}),
        "spec.steps",
        "steps[1] s1: cohorts leave out users of step s0, which lets in everybody: remove cohorts",
    ),
    # One step.
    "users and percent": (
        {"steps.0.percent": 5},
        "spec.steps[0].percent",
        "give users or percent, not both",
    ),
    "neither users nor percent nor cohorts": (
        steps({"hold": "1d"}),
        "spec.steps[0]",
        "a step must say whom it lets in: give users, percent or cohorts",
    ),
    "no users": ({"steps.0.users": 0}, "spec.steps[0].users", "in body should be greater than or equal to 1"),
    "users in words": ({"steps.0.users": "ten"}, "spec.steps[0].users", "in body must be of type integer"),
    "percent 0": (steps({"percent": 0}), "spec.steps[0].percent", "percent must be more than 0"),
    "percent 0 as a string": (steps({"percent": "0.0"}), "spec.steps[0].percent", "percent must be"),
    "percent 101": (steps({"percent": 101}), "spec.steps[0].percent", "percent must be more than 0"),
    "percent 100.5": (steps({"percent": "100.5"}), "spec.steps[0].percent", "percent must be more"),
    "percent in words": (
        steps({"percent": "abc"}, {"percent": 5}),
        "spec.steps[0].percent",
        'percent must be more than 0 and at most 100, such as 30, or a string such as "0.5"',
    ),
    "percent as a float": (steps({"percent": 0.5}), "spec.steps[0].percent", "in body must be of type"),
    "a percent sign": (steps({"percent": "5%"}), "spec.steps[0].percent", "percent must be more than 0"),
    "a hold without a unit": (
        {"steps.0.hold": "10"},
        "spec.steps[0].hold",
        "write a duration as numbers with units (ms, s, m, h, d, w), such as 90s",
    ),
    # The list of steps.
    "two steps of one name": ({"steps.1.name": "first"}, "spec.steps[1]", 'Duplicate value: {"name":"first"}'),
    "no steps": ({"steps": []}, "spec.steps", "in body should have at least 1 items"),
    "steps left away": ({"steps": None}, "spec.steps", "Required value"),
    "33 steps": (steps(*({"percent": 5} for _ in range(33))), "spec.steps", "Too many: 33: must have at most 32 items"),
    "a name with capitals": ({"steps.0.name": "Week-1"}, "spec.steps[0].name", "in body should match"),
    # Names that lead nowhere.
    "a cohort that is not defined": (
        steps({"percent": 5, "cohorts": [POWER]}, {"percent": 5, "cohorts": [POWER, "vips"]}),
        "spec.steps",
        "steps[1] s1: cohort vips is not defined: add it to audience.cohorts",
    ),
    "an objective whose indicator is not defined": (
        {"objectives": [{"indicator": "errors", "objective": "< 1%"}, {"indicator": "p95", "objective": "< 1s"}]},
        "spec.objectives",
        "objectives[1]: indicator p95 is not defined: add it to indicators",
    ),
    **{
        f"{field} whose indicator is not defined": (
            {field: ["errors < 1%", "error < 1%"]},
            f"spec.{field}",
            f"{field}[1]: indicator error is not defined: add it to indicators",
        )
        for field in ("go", "noGo", "rollback", "throttle")
    },
    "a step's go whose indicator is not defined": (
        {"steps.1.go": ["errors < 1%", "p95>3s"]},
        "spec.steps",
        "steps[1] everyone: the indicator of `p95>3s` is not defined: add it to indicators",
    ),
    "an offset for a time zone": (
        {"timeZone": "+01:00"},
        "spec.timeZone",
        "write a time zone by its IANA name, such as Europe/Berlin or UTC",
    ),
    "a way out of the path in an apiVersion": (
        {"delivery": {"workload": {"apiVersion": "../v1", "name": "web"}}},
        "spec.delivery.workload.apiVersion",
        "write the kind's group and version, such as apps/v1",
    ),
    "a query beside buckets": (
        {"indicators.0": {"name": "errors", "query": "x", "buckets": "y"}},
        "spec.indicators[0]",
        "give exactly one of: query; errors and total; good and total; buckets; templateRef",
    ),
    "a bound above which nothing is counted": (
        {"indicators.0.above": "500ms"},
        "spec.indicators[0]",
        "give exactly one of: query; errors and total; good and total; buckets; templateRef",
    ),
    "a bound that is no value": (
        {"indicators.0": {"name": "errors", "buckets": "y", "above": "slow"}},
        "spec.indicators[0].above",
        "write a value with its unit",
    ),
    "a quantile of all": (
        {"objectives": [{"indicator": "errors", "quantile": 100, "objective": "< 1s"}]},
        "spec.objectives[0].quantile",
        "write the percentile as a number above 0 and below 100",
    ),
    "a lift whose indicator is not defined": (
        {"go": ["lift(errors) > 1% significant", "lift(conversions) > 10% significant"]},
        "spec.go",
        "go[1]: indicator conversions is not defined: add it to indicators",
    ),
    "a lift that need not be significant": (
        {"go": ["lift(errors) > 1%"]},
        "spec.go[0]",
        "`lift(conversions) > 10% significant`",
    ),
    **{
        f"a criterion with a slip: {slip}": ({"rollback": [slip]}, "spec.rollback[0]", remedy)
        for slip, remedy in {
            "errors => 1%": "write the operator as >=, <= or !=",
            "errors = 1%": "write == where you mean equal",
            "errors > 0,1%": "write a decimal point, such as 0.1",
            "errors > 5 %": "without a blank, such as 5%",
            "errors > 5% for 10 min": "without a blank, such as 5%, 50ms or 10m",
            "errors > 5% 10m": "write `for` before the duration",
            "errors > 5% and errors > 6%": "make each an item of the list",
            "errors > 5% significant": "only lift(...) can be significant",
            "lift(errors) > 5%": "a lift ends with ` significant`",
        }.items()
    },
    "a bound with a slip": (
        {"objectives": [{"indicator": "errors", "objective": "< 0,1%"}]},
        "spec.objectives[0].objective",
        "write a decimal point, such as 0.1; write a bound as OP VALUE[UNIT]",
    ),
    "a population whose indicator is not defined": (
        {"audience.population": {"indicator": "active-users"}},
        "spec.audience.population.indicator",
        "population.indicator is not defined: add it to indicators",
    ),
    # Texts that don't parse.
    "a criterion that does not parse": (
        {"rollback": ["errors are many"]},
        "spec.rollback[0]",
        "write a criterion as INDICATOR OP VALUE[UNIT] and, if wanted, `for DURATION` or `in DURATION`, such as",
    ),
    "a criterion that does not parse, by its pattern": (
        {"rollback": ["errors > 1% since 10m"]},
        "spec.rollback[0]",
        "in body should match '^",
    ),
    "a criterion with an unknown unit": ({"go": ["errors < 1 parsec"]}, "spec.go[0]", "write a criterion"),
    "a bound that does not parse": (
        {"objectives": [{"indicator": "errors", "objective": "1%"}]},
        "spec.objectives[0].objective",
        "write a bound as OP VALUE[UNIT], such as `< 1%`",
    ),
    "a cohort criterion that does not parse": (
        {"audience.cohorts.0.criteria": "orders over 10"},
        "spec.audience.cohorts[0].criteria",
        "write terms joined by `and` and `or`, such as `orders > 10 and device == 'mobile'`",
    ),
    # The rest.
    "treatment that equals control": (
        {"feature.treatment": "off"},
        "spec.feature.treatment",
        "treatment and control must differ",
    ),
    "an interval of 1 ms": (
        {"interval": "1ms"},
        "spec.interval",
        "interval must be between 1s and 1h, such as 15s",
    ),
    "an interval of 2 h": ({"interval": "2h"}, "spec.interval", "interval must be between 1s and 1h"),
    "an interval of a day": ({"interval": "1d"}, "spec.interval", "interval must be between 1s and 1h"),
    "an unknown field": ({"stepps": []}, "", 'unknown field "spec.stepps"'),
    "an unknown field of a step": ({"steps.0.user": 5}, "", 'unknown field "spec.steps[0].user"'),
    "a window of no length": (
        {"indicators.0.window": "0s"},
        "spec.indicators[0].window",
        "a window must be longer than zero, such as 1m",
    ),
    "an indicator of query and errors": (
        {"indicators.0.query": "up"},
        "spec.indicators[0]",
        "give exactly one of: query; errors and total; good and total; buckets; templateRef",
    ),
    "an indicator of template and query": (
        {"indicators.0": {"name": "errors", "templateRef": "errors", "query": "up"}},
        "spec.indicators[0]",
        "give exactly one of: query; errors and total; good and total; buckets; templateRef",
    ),
    "errors in seconds": (
        {"indicators.0.unit": "seconds"},
        "spec.indicators[0].unit",
        "errors (or good) and total make a ratio: leave unit away or set it to ratio",
    ),
    "a population of users and indicator": (
        {"audience.population.indicator": "errors"},
        "spec.audience.population",
        "give users or indicator",
    ),
    "users who can't be counted": (
        {"audience.population": None},
        "spec.steps",
        "steps[0] first: users can't be counted: add audience.directory (exact) or audience.population (an estimate)",
    ),
    "users of cohorts who can't be counted": (
        {"steps.0.cohorts": [POWER]},
        "spec.steps",
        "steps[0] first: users of cohorts can't be counted by population alone: add audience.directory, or use percent",
    ),
    "a smaller percent of more cohorts that can't be counted": (
        steps({"cohorts": [POWER]}, {"percent": 50}),
        "spec.steps",
        "percent 50 is less than 100 of step s0; where cohorts differ, only audience.directory can tell who stays in",
    ),
    "more users than there are": (
        {"steps.0.users": 1001},
        "spec.steps",
        "steps[0] first: users 1001 is more than the population of 1000: lower it or correct audience.population",
    ),
    "a user on both lists": (
        {"audience.include": ["u-1", "u-2"], "audience.exclude": ["u-3", "u-2"]},
        "spec.audience.exclude",
        "u-2 is both included and excluded: remove it from one list",
    ),
    "a user twice on a list": (
        {"audience.include": ["u-1", "u-1"]},
        "spec.audience.include[1]",
        'Duplicate value: "u-1"',
    ),
    # The calendar.
    "a rule of hours": (
        {"schedule.windows": [{"name": "w", "rrule": "FREQ=HOURLY", "duration": "1h"}]},
        "spec.schedule.windows[0].rrule",
        "write a recurrence rule (RFC 5545) of days, such as FREQ=WEEKLY;BYDAY=MO,TU,WE,TH",
    ),
    "the 31st of a month": (
        {"schedule.windows": [{"name": "w", "rrule": "FREQ=MONTHLY;BYMONTHDAY=31", "duration": "1h"}]},
        "spec.schedule.windows[0].rrule",
        "BYMONTHDAY (up to 28 and -28)",
    ),
    "a first Monday of a week": (
        {"schedule.windows": [{"name": "w", "rrule": "FREQ=WEEKLY;BYDAY=1MO", "duration": "1h"}]},
        "spec.schedule.windows[0].rrule",
        "only MONTHLY and YEARLY have a first or last weekday, such as 1TU or -1FR",
    ),
    "a rule that counts from nowhere": (
        {"schedule.freezes": [{"name": "f", "rrule": "FREQ=DAILY;INTERVAL=3", "duration": "1h"}]},
        "spec.schedule.freezes[0].rrule",
        "add from, a day: INTERVAL counts from it",
    ),
    "a rule of no length": (
        {"schedule.windows": [{"name": "w", "rrule": "FREQ=DAILY", "start": "09:00"}]},
        "spec.schedule.windows[0]",
        "give rrule, start and duration for what recurs, or from and until for what comes once",
    ),
    "a freeze without an end": (
        {"schedule.freezes": [{"name": "f", "from": "2026-12-18"}]},
        "spec.schedule.freezes[0]",
        "give rrule, start and duration for what recurs, or from and until for what comes once",
    ),
    "a freeze that ends before it begins": (
        {"schedule.freezes": [{"name": "f", "from": "2026-12-18T09:00", "until": "2026-12-17"}]},
        "spec.schedule.freezes[0].until",
        "until must not be before from",
    ),
    "a time of day that is none": (
        {"schedule.windows": [{"name": "w", "rrule": "FREQ=DAILY", "start": "9:00", "duration": "1h"}]},
        "spec.schedule.windows[0].start",
        "write a time of day such as 09:00",
    ),
    "a start time with an offset": (
        {"schedule.startTime": "2026-03-02T09:00:00Z"},
        "spec.schedule.startTime",
        "write a day such as 2026-12-24, or a local time such as 2026-12-24T18:00",
    ),
    # The way back.
    "a way back to a step that is not there": (
        {"onRollback": {"to": "yesterday"}},
        "spec.onRollback.to",
        "onRollback.to: there is no step yesterday: write zero, previous or the name of a step",
    ),
    "a step that is called zero": (
        steps({"name": "zero", "percent": 5}),
        "spec.steps[0].name",
        "zero and previous are words of onRollback.to: give the step another name",
    ),
    "a pace of what is done at once": (
        {"onRollback": {"to": "first", "pace": "10m"}},
        "spec.onRollback.pace",
        "pace is for mode stepwise",
    ),
    "one step back, stepwise": (
        {"onRollback": {"to": "previous", "mode": "stepwise"}},
        "spec.onRollback.to",
        "stepwise goes back one step at a time by itself",
    ),
    "a retry at no time": (
        {"onRollback": {"retry": {"limit": 3}}},
        "spec.onRollback.retry",
        "say when to try again: after (a time), acknowledgement: required, or both",
    ),
    "an unknown word": (
        {"onRollback": {"mode": "slowly"}},
        "spec.onRollback.mode",
        'Unsupported value: "slowly": supported values: "atOnce", "stepwise"',
    ),
}


@pytest.mark.parametrize(("changes", "field", "message"), REFUSED.values(), ids=REFUSED)
def test_apply_refuses_and_names_the_field(cluster: Cluster, changes: dict[str, Any], field: str, message: str) -> None:
    said = refusal(cluster, "default", rollout(changes), "--dry-run=server")
    assert told(said, field, message), said
    assert "evaluat" not in said, "a rule failed instead of refusing"


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "another flag": (
        {},
        {"feature.flag": "ranking"},
        "spec.feature.flag",
        "flag can't change: delete this PilotRollout and make another",
    ),
    "another flag document": (
        {},
        {"delivery.flags.name": "other-flags"},
        "spec.delivery.flags.name",
        "name can't change: the flag would stay behind, and no rollback would reach it;",
    ),
    "another bucketing attribute": (
        {"audience.bucketBy": "email"},
        {},
        "spec.audience.bucketBy",
        "bucketBy can't change: it would hand the feature to other users",
    ),
    "an earlier revision": (
        {"feature.revision": 3},
        {"feature.revision": 2},
        "spec.feature.revision",
        "revision can only be raised, to start over",
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_apply_refuses_a_change_that_can_not_be(
    cluster: Cluster, namespace: str, change: tuple[dict[str, Any], dict[str, Any], str, str]
) -> None:
    before, after, field, message = change
    apply(cluster, namespace, rollout(before))
    said = refusal(cluster, namespace, rollout(after))
    assert told(said, field, message), said
