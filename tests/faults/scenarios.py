"""The faults that Pilotage must survive. Each line of the page is one of these, and each is a test."""

from typing import Literal

from tests.faults import breaking as operator
from tests.faults import breaking_around as around
from tests.faults.scenario import Course, Scenario

_LEAVES = Course(leaves=True)
_MEND: Literal["end of the fault"] = "end of the fault"

OPERATOR = (
    Scenario(
        "killed-after-each-action",
        "kill -9 of the operator after each single write: decisions, flags, finalizers, Events",
        operator.killed_after_each_action,
        "operator",
        course=_LEAVES,
        bound_seconds=300,
        lacks_events=True,
        note="each life gets to one write; Events that are older than a minute then are left out, the record has all",
    ),
    Scenario(
        "twenty-restarts",
        "twenty restarts (kill -9) in a row, each within a second after it leads again",
        operator.restarted_again_and_again,
        "operator",
        bound_seconds=120,
        course=Course(hold="20s"),
    ),
    Scenario(
        "leader-frozen",
        "the leader of two replicas is frozen past its lease, and wakes up when the other is done",
        operator.leader_frozen,
        "operator",
        bound_seconds=90,
        note="the record waits for the one that is frozen: it has the file's lock",
    ),
    Scenario(
        "lease-lost-before-the-effect",
        "the lease is lost between decision and effect; the leader's writes arrive after its successor's",
        operator.lease_lost_before_the_effect,
        "operator",
        breach_after_seconds=20,
        course=Course(grows=True),
        bound_seconds=90,
    ),
    Scenario(
        "two-hundred-at-once",
        "200 rollouts of one namespace break at the same second while each answer of the API server takes 0.1 s more",
        operator.apiserver_slow(0.1),
        "operator",
        course=Course(falls=200, interval="2s", hold="15s"),
        bound_seconds=180,
    ),
)

APISERVER = (
    Scenario(
        "apiserver-restarted",
        "the API server is restarted",
        operator.apiserver_restarted,
        "apiserver",
        bound_seconds=90,
        course=_LEAVES,
    ),
    Scenario(
        "apiserver-killed-for-a-minute",
        "the API server is away for a minute",
        operator.apiserver_killed,
        "apiserver",
        seconds=60,
        counts_from=_MEND,
        bound_seconds=90,
        note="no flag can be written meanwhile: users keep what they have",
    ),
    Scenario(
        "apiserver-refusing",
        "every second write is answered with 409, 429 or 500, is lost, or its answer is",
        operator.apiserver_refusing,
        "apiserver",
        course=_LEAVES,
    ),
    Scenario(
        "watches-cut",
        "all watches are cut every second",
        operator.watches("cut", every_seconds=1.0),
        "apiserver",
        course=_LEAVES,
    ),
    Scenario(
        "watches-gone",
        "all watches end with 410 Gone every two seconds",
        operator.watches(410, every_seconds=2.0),
        "apiserver",
        course=_LEAVES,
    ),
    Scenario(
        "watches-failing",
        "all watches end with an error 500 in the stream, for ten seconds",
        operator.watches(500),
        "apiserver",
        seconds=10,
        course=_LEAVES,
    ),
    Scenario(
        "watches-silent",
        "all watches stay open and bring nothing any more",
        operator.watches("silent"),
        "apiserver",
        seconds=5,
        course=_LEAVES,
        note="a watch without a bookmark for 70 s is taken for dead; only what people edit has to wait for that",
    ),
)

AROUND = (
    *(
        Scenario(
            f"data-{name}",
            fault,
            breaks,
            "around",
            seconds=20,
            counts_from=_MEND if name in ("partial", "stale", "warnings") else "breach",
            alone=False,
            blind=True,
        )
        for name, fault, breaks in (
            ("partial", "Prometheus has no series of the treatment", around.data_spoilt("partial")),
            ("stale", "all series of the rollout end (stale)", around.data_spoilt("stale")),
            ("nan", "an indicator is NaN", around.data_spoilt("NaN")),
            ("duplicated", "an indicator has two series where there was one", around.data_spoilt("twice")),
            ("warnings", "Prometheus answers with a warning: a store is away", around.prometheus_warning),
        )
    ),
    Scenario(
        "flag-edited",
        "somebody edits the flag and lets everybody in",
        around.flag_edited,
        "around",
        seconds=15,
        alone=False,
        note="it is not overwritten while the rollout grows, but at once where users are taken back",
    ),
    Scenario("flag-deleted", "somebody removes the flag", around.flag_deleted, "around", alone=False),
    Scenario("configmap-deleted", "somebody deletes the ConfigMap", around.configmap_deleted, "around", alone=False),
    Scenario(
        "finalizer-removed",
        "somebody removes the finalizer, and deletes a rollout once it is back",
        around.finalizer_removed,
        "around",
        alone=False,
        course=_LEAVES,
    ),
    Scenario(
        "status-edited",
        "somebody who may write status edits what it says of delivery, criteria and conditions",
        around.status_changed(
            {"message": "forged", "conditions": None, "criteria": None, "delivery": {"verifiedRevision": 0}}
        ),
        "around",
        alone=False,
        note="the decision itself is believed as it stands there: only the operator has the right to write status",
    ),
    Scenario(
        "status-deleted",
        "somebody who may write status wipes it",
        around.status_changed(None),
        "around",
        alone=False,
        forgets=True,
        note="in the first step it goes on from the flag that is in force; later it waits for a person",
    ),
    Scenario(
        "namespace-deleted",
        "the namespace is deleted in the middle",
        around.namespace_deleted,
        "around",
        alone=False,
        goes=True,
        bound_seconds=120,
    ),
    Scenario(
        "prometheus-down",
        "Prometheus is away for 40 s",
        around.prometheus_down,
        "around",
        seconds=40,
        counts_from=_MEND,
        blind=True,
    ),
    Scenario(
        "prometheus-slow",
        "each answer of Prometheus takes 2 s more",
        around.prometheus_slow(2.0),
        "around",
    ),
    Scenario(
        "prometheus-hanging",
        "Prometheus takes requests and answers none for 25 s",
        around.prometheus_hanging,
        "around",
        seconds=25,
        counts_from=_MEND,
        blind=True,
    ),
    Scenario(
        "flag-service-down",
        "all replicas of the flag service are away for 15 s",
        around.flag_service_down(0, 1),
        "around",
        seconds=15,
        counts_from=_MEND,
        note="the rollback is written at once; it is verified when there is somebody to ask",
    ),
    Scenario(
        "flag-replica-down", "one of two replicas of the flag service is gone", around.flag_service_down(1), "around"
    ),
    *(
        Scenario(
            f"clock-{name}",
            f"the operator's clock is stepped {name} by an hour, and back after 15 s",
            around.clock_stepped(hours),
            "around",
            seconds=15,
            counts_from=_MEND,
            clock_steps=True,
            blind=True,
            note="Prometheus has no data of that time: unknown never advances",
        )
        for name, hours in (("forwards", 1), ("backwards", -1))
    ),
)

OUTAGE = (
    Scenario(
        "prometheus-down-for-ten-minutes",
        "Prometheus is away for 10 minutes",
        around.prometheus_down,
        "outage",
        seconds=600,
        counts_from=_MEND,
        blind=True,
    ),
)

SCENARIOS = (*OPERATOR, *APISERVER, *AROUND, *OUTAGE)
