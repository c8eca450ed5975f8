"""Gathers what one decision needs to see: answers from Prometheus, the population, what the flag service serves."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType

from pilotage.controller.clock import Clock
from pilotage.controller.directory import NOT_READ, DirectoryError, read_directory
from pilotage.controller.incidents import IncidentStore
from pilotage.controller.schedule import Key, fields_of
from pilotage.controller.telemetry import count_findings
from pilotage.judging.evidence import Evidence
from pilotage.kube import Kube
from pilotage.metrics.following import Asks, Followed, follow
from pilotage.metrics.guard import Pairs
from pilotage.metrics.guarded import guarded
from pilotage.metrics.turns import ASKED_BY
from pilotage.resources.indicators import IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.resources.status import Finding
from pilotage.rollout.decide import needs_judging
from pilotage.rollout.judgement import judged
from pilotage.rollout.plan import Plan
from pilotage.rollout.situation import Seen
from pilotage.rollout.staging import profiles_of, stage_of

_LOG = logging.getLogger(__name__)
_REJECTS = "rejects the query"


class Gatherer:
    """Gathers evidence for one rollout at a time.

    Args:
        kube: the API server.
        source: who answers questions.
        incidents: all that are known.
        clock: what time it is.
        templates: all IndicatorTemplates by name; they ask as they are written.
        matchers: of a namespace, the labels that its rollouts' own queries are kept to.
    """

    def __init__(
        self,
        kube: Kube,
        source: Asks,
        incidents: IncidentStore,
        clock: Clock,
        *,
        templates: Mapping[str, IndicatorTemplateSpec] = MappingProxyType({}),
        matchers: Callable[[str], Pairs] = lambda _namespace: (),
    ) -> None:
        self._kube = kube
        self._source = source
        self._incidents = incidents
        self._clock = clock
        self._templates = templates
        self._matchers = matchers
        self._followed: dict[Key, Followed] = {}
        self._rejected: dict[Key, frozenset[str]] = {}

    async def judge(self, rollout: PilotRollout, plan: Plan) -> Seen:
        """What Prometheus says; nothing is asked where nothing can follow from it."""
        deleting = rollout.metadata.deletion_timestamp is not None
        seen = Seen(unread=NOT_READ if rollout.spec.audience.directory else "", deleting=deleting)
        if not needs_judging(rollout):
            return seen
        now, key = self._clock.now(), Key.of(rollout)
        followed = await self._follow(key, rollout, plan, now)
        evidence = self._with_incidents(rollout, followed.evidence)
        seen = judged(seen, plan, evidence, now, learned=followed.learned)
        count_findings(seen.findings)
        self._log_rejected(key, seen.findings)
        return seen

    async def _follow(self, key: Key, rollout: PilotRollout, plan: Plan, now: datetime) -> Followed:
        ASKED_BY.set(rollout.metadata.namespace)
        followed = await follow(
            guarded(self._source, self._matchers(rollout.metadata.namespace), rollout, self._templates),
            plan.rules,
            {*plan.questions, *((plan.population,) if plan.population else ())},
            stage=stage_of(rollout.status),
            profiles=profiles_of(rollout.status),
            before=self._followed.get(key, Followed()),
            now=now,
            incidents=self._incidents.of(key) or (),
        )
        self._followed[key] = replace(followed, evidence=replace(followed.evidence, answers={}))
        return followed

    def _with_incidents(self, rollout: PilotRollout, evidence: Evidence) -> Evidence:
        """The evidence with the rollout's incidents: nobody could record one before it was made."""
        moments = (rollout.metadata.creation_timestamp, self._incidents.recorded_since)
        recorded_since = max((moment for moment in moments if moment), default=None)
        return replace(evidence, incidents=self._incidents.of(Key.of(rollout)), recorded_since=recorded_since)

    def forget(self, key: Key) -> None:
        """The rollout is gone."""
        self._followed.pop(key, None)
        self._rejected.pop(key, None)

    def _log_rejected(self, key: Key, findings: Iterable[Finding]) -> None:
        """Whose query Prometheus rejects: a mistake in a spec or template, said once and not at each judgement.

        Other reasons are an outage, which is not one rollout's.
        """
        rejected = frozenset(
            f"{finding.role} {finding.rule}: {finding.message}" for finding in findings if _REJECTS in finding.message
        )
        for text in sorted(rejected - self._rejected.get(key, frozenset())):
            _LOG.warning("%s", text, extra=fields_of(key))
        self._rejected.pop(key, None)
        if rejected:
            self._rejected[key] = rejected

    async def read_directory(self, rollout: PilotRollout, seen: Seen) -> Seen:
        """The same, with the users of the directory; or why they can't be read."""
        directory = rollout.spec.audience.directory
        assert directory is not None
        try:
            users = await read_directory(self._kube, rollout.metadata.namespace, directory.config_map)
        except DirectoryError as error:
            return replace(seen, unread=str(error))
        return replace(seen, users=users, unread="")
