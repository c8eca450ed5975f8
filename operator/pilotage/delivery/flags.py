"""Delivery by flags: the exposure as one flag's definition in the cluster, for the flag service to bring to users.

The definition goes into a FeatureFlag (core.openfeature.dev/v1beta1) where that kind is installed, else into a
ConfigMap of ours. Growth is written without force and only if nobody loses the feature by it; taking users back is
written by force and reads nothing before.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from pilotage.delivery.forms import (
    FEATURE_FLAGS,
    ConfigMapForm,
    FeatureFlagForm,
    Form,
    is_unowned,
    managers_of,
    version_of,
    without_manager,
)
from pilotage.delivery.leases import lease_of
from pilotage.delivery.probes import probes_for
from pilotage.delivery.refusals import conflict, explained, is_going, name_of
from pilotage.delivery.target import DeliveryError, DeliveryOutdatedError, Place, Verified, Way
from pilotage.delivery.targeting import definition_of, is_outdated, is_taken_back, lost_by, shortfall
from pilotage.kube import Kube, KubeError
from pilotage.rollout.audience import AudienceError
from pilotage.rollout.exposure import Exposure
from pilotage.rollout.flagd import Definition, DefinitionError, revision_of

LOOK_AGAIN_SECONDS = 60.0
"""So often at most the API server is asked whether FeatureFlags are installed by now."""

TOGETHER = "pilotage/*"
"""Field manager of what was taken back by one write for several rollouts; no rollout has this name."""

_APPLY_ATTEMPTS = 5
_RELEASE_ATTEMPTS = 5

Served = Sequence[Mapping[str, Any] | None]
"""A flag's definition, from each replica of the data plane; None from one that has no such flag."""


class DataPlane(Protocol):
    """What serves flags to applications."""

    async def flag_sets(self, namespace: str) -> Sequence[Mapping[str, Any]]:
        """The definitions by flag that a namespace is served, from each replica.

        Raises:
            DeliveryError: it can't be asked.
        """
        ...


class FlagTarget:
    """Delivery by a flag document; see `Target` for what its methods promise.

    Args:
        kube: client whose rights suffice to read and patch the objects.
        data_plane: asked by `verify`; without one, `verify` reads the object back.
        monotonic: seconds of a clock that never steps back.
        wall: seconds since 1970, as evaluators count them.
    """

    def __init__(
        self,
        kube: Kube,
        data_plane: DataPlane | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._kube = kube
        self._data_plane = data_plane
        self._monotonic = monotonic
        self._wall = wall
        self._form: Form | None = None
        self._looked_at = 0.0

    async def apply(self, place: Place, want: Exposure) -> str:
        """Bring a growth about; returns the target's name. What is in force already is not written again.

        Raises:
            DeliveryConflictError: another writer owns the flag.
            DeliveryError: it would take the feature from somebody, or it could not be written.
        """
        for _ in range(_APPLY_ATTEMPTS - 1):
            try:
                return await self._apply(place, want)
            except DeliveryOutdatedError:  # such as another flag of the same document
                continue
        return await self._apply(place, want)

    async def _apply(self, place: Place, want: Exposure) -> str:
        definition = _definition_of(want)
        form, found = await self._read(place)
        old = form.definition(found, want.flag)
        if old == definition:
            return name_of(form, place)
        if others := _others(form, found, want.flag, place):
            raise conflict(others, form, place, want.flag)
        if old is not None and await asyncio.to_thread(_shrinks, old, definition, want):
            raise DeliveryError(f"{name_of(form, place)}: {_say_shrinks(old, want)}")
        # What was released has no owner, and what was taken back together has us all: then it may be taken over.
        writers = managers_of(found, form.entry(want.flag))
        force = old is not None and (is_unowned(found, form.entry(want.flag)) or TOGETHER in writers)
        # A write that comes late must not let in whom somebody else has taken back since: it is for what was read.
        return await self._write(form, place, want, definition, force=force, version=version_of(found))

    async def check_claim(self, place: Place, flag: str) -> None:
        """Pass unless only others write the flag: then nothing there is the rollout's to take back.

        Raises:
            DeliveryConflictError: only others write it.
            DeliveryError: it could not be read.
        """
        form, found = await self._read(place)
        writers = managers_of(found, form.entry(flag))
        if writers and place.field_manager not in writers:
            raise conflict(writers, form, place, flag)

    async def kill(self, ways: Sequence[Way]) -> str:
        """Bring exposures of one object about by force, without reading it first; returns the target's name.

        Several go in one write, where the form has one for them; each is then owned by `TOGETHER`, not by its rollout.

        Raises:
            DeliveryError: not all could be written; try again, one by one.
        """
        form = await self._find_form()
        definitions = {way.want.flag: _definition_of(way.want) for way in ways}
        if len(ways) > 1 and (body := form.together(ways[0].place, definitions)) is not None:
            await self._write_together(form, ways[0].place, body)
        else:
            for way in ways:
                await self._write(form, way.place, way.want, definitions[way.want.flag], force=True)
        return name_of(form, ways[0].place)

    async def _write_together(self, form: Form, place: Place, body: dict[str, Any]) -> None:
        try:
            await self._kube.patch(form.path(place), body, content_type="merge", field_manager=TOGETHER)
        except KubeError as error:
            raise explained(error, form, place) from error

    async def verify(self, place: Place, want: Exposure, probes: Sequence[str]) -> Verified:
        """Ask the data plane, every replica of it, whether the exposure is in force for these bucketing keys.

        Raises:
            DeliveryError: it can't be asked; what is in force is not known.
        """
        served = (await self._served(place))(want.flag)
        lacks = [lack for each in served if (lack := shortfall(each, want, probes))]
        lacks += [f"the lease of {want.flag} has run out" for each in served if self._has_lapsed(each)]
        outdated = any(is_outdated(each, want) for each in served)
        taken_back = any(is_taken_back(each, want) for each in served)
        return Verified(not lacks, lacks[0] if lacks else "", _digest_of(served), outdated, taken_back)

    def _has_lapsed(self, served: Mapping[str, Any] | None) -> bool:
        until = lease_of(served) if served else None
        return until is not None and until <= self._wall()

    async def serves(self, flags: Sequence[tuple[Place, str]]) -> list[str]:
        """Digests of what every replica of the data plane serves for flags; each place is asked once.

        Raises:
            DeliveryError: it can't be asked.
        """
        served: dict[tuple[str, str], Callable[[str], Served]] = {}
        for place, _ in flags:
            if (place.namespace, place.name) not in served:
                served[place.namespace, place.name] = await self._served(place)
        return [_digest_of(served[place.namespace, place.name](flag)) for place, flag in flags]

    async def _served(self, place: Place) -> Callable[[str], Served]:
        """What every replica of the data plane serves, by flag."""
        if self._data_plane is None:
            form, found = await self._read(place)
            return lambda flag: [form.definition(found, flag)]
        sets = await self._data_plane.flag_sets(place.namespace)
        return lambda flag: [flags.get(flag) for flags in sets]

    async def release(self, place: Place, final: Exposure) -> None:
        """Leave a stated final state and give up ownership: another rollout can take the flag over without force.

        Raises:
            DeliveryError: it could not be written; try again.
        """
        form = await self._find_form()
        definition = _definition_of(final)
        if await self._was_released(form, place, final.flag, definition):
            return  # by a life of ours that ended before it could say so
        try:
            await self._patch(form, place, final.flag, definition, force=True)
            for _ in range(_RELEASE_ATTEMPTS):
                found = await self._kube.get(form.path(place))
                try:
                    await self._kube.patch(
                        form.path(place), without_manager(found, place.field_manager), content_type="merge"
                    )
                except KubeError as error:
                    if error.status != 409:  # noqa: PLR2004 - somebody else wrote in between
                        raise
                else:
                    return
        except KubeError as error:
            if is_going(error) or (error.status == 403 and await self._is_going(place)):  # noqa: PLR2004 - forbidden
                return
            raise explained(error, form, place, final.flag) from error
        raise DeliveryError(f"{name_of(form, place)} changes too often to be released; it is tried again")

    async def _was_released(self, form: Form, place: Place, flag: str, definition: Definition) -> bool:
        try:
            found = await self._kube.get(form.path(place))
        except KubeError:  # what is done next says why
            return False
        return form.definition(found, flag) == definition and is_unowned(found, form.entry(flag))

    async def _is_going(self, place: Place) -> bool:
        """Whether the namespace is being deleted: our rights there may be gone before the rollout is.

        An Event that is not kept tells it: our right to post one does not come from the namespace.
        """
        regarding = {"kind": "Namespace", "name": place.namespace, "namespace": place.namespace}
        event = {"apiVersion": "events.k8s.io/v1", "kind": "Event", "regarding": regarding}
        event["metadata"] = {"generateName": "pilotage-", "namespace": place.namespace}
        path = f"/apis/events.k8s.io/v1/namespaces/{place.namespace}/events"
        try:
            await self._kube.create(path, event, query={"dryRun": "All"})
        except KubeError as error:
            return is_going(error)
        return False

    async def _read(self, place: Place) -> tuple[Form, Mapping[str, Any]]:
        """The form and the object; an empty one if it does not exist."""
        form = await self._find_form()
        try:
            return form, await self._kube.get(form.path(place))
        except KubeError as error:
            if error.status != 404:  # noqa: PLR2004 - not found
                raise explained(error, form, place) from error
        if form != await self._find_form(missed=True):
            return await self._read(place)
        return form, {}

    async def _write(
        self,
        form: Form,
        place: Place,
        want: Exposure,
        definition: Definition,
        *,
        force: bool,
        version: str | None = None,
    ) -> str:
        try:
            written = await self._patch(form, place, want.flag, definition, force=force, version=version)
        except KubeError as error:
            if error.status == 404 and form != (other := await self._find_form(missed=True)):  # noqa: PLR2004
                return await self._write(other, place, want, definition, force=force)
            raise explained(error, form, place, want.flag) from error
        if revision_of(form.definition(written, want.flag)) != want.revision:
            raise DeliveryError(
                f"{name_of(form, place)} does not keep the flag's metadata:"
                " update the FeatureFlag CRD (open-feature-operator 0.9 or newer has it)"
            )
        return name_of(form, place)

    async def _patch(
        self,
        form: Form,
        place: Place,
        flag: str,
        definition: Definition,
        *,
        force: bool,
        version: str | None = None,
    ) -> Mapping[str, Any]:
        body = form.body(place, flag, definition)
        if version is not None:
            body["metadata"]["resourceVersion"] = version
        return await self._kube.patch(
            form.path(place),
            body,
            content_type="apply",
            field_manager=place.field_manager,
            force=force,
        )

    async def _find_form(self, *, missed: bool = False) -> Form:
        """FeatureFlags where they are installed; looked up once, and again (seldom) where that may have changed."""
        known = self._form
        stale = self._monotonic() - self._looked_at >= LOOK_AGAIN_SECONDS
        if known is None or (stale and (missed or known == ConfigMapForm())):
            self._form = known = FeatureFlagForm() if await self._has_feature_flags() else ConfigMapForm()
            self._looked_at = self._monotonic()
        return known

    async def _has_feature_flags(self) -> bool:
        try:
            found = await self._kube.get(FEATURE_FLAGS)
        except KubeError as error:
            if error.status == 404:  # noqa: PLR2004 - no such API group
                return False
            raise DeliveryError(f"the API server could not be asked for its kinds: {error.reason}") from error
        return any(resource.get("name") == "featureflags" for resource in found.get("resources") or ())


def _digest_of(served: Served) -> str:
    text = json.dumps(served, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _definition_of(want: Exposure) -> Definition:
    try:
        return definition_of(want)
    except (AudienceError, DefinitionError) as error:
        raise DeliveryError(f"the exposure of {want.flag} can't be written as a flag: {error}") from error


def _shrinks(old: Definition, new: Definition, want: Exposure) -> bool:
    return bool(lost_by(old, new, probes_for(want, old, new)))


def _say_shrinks(old: Definition, want: Exposure) -> str:
    revision = revision_of(old)
    if revision is not None and revision > want.revision:  # a status that was lost, or a rollout restored from Git
        return (
            f"{want.flag} is in force at revision {revision}, of which this rollout's status knows nothing, and lets in"
            f" more users than revision {want.revision}: raise spec.feature.revision to take them back and start over"
        )
    return (
        f"revision {want.revision} would take {want.flag} from users who have it:"
        " undo the change of its audience, or roll back first"
    )


def _others(form: Form, found: Mapping[str, Any], flag: str, place: Place) -> tuple[str, ...]:
    ours = (place.field_manager, TOGETHER)
    return tuple(name for name in managers_of(found, form.entry(flag)) if name not in ours)
