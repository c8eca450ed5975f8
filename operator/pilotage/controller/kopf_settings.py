"""kopf, made silent, patient and cheap: what it must not write, when it must not give up, what it need not compute."""

import random
from collections.abc import Iterator
from typing import Any, cast

import kopf

from pilotage.resources.base import GROUP

LONGEST_PAUSE_SECONDS = 30.0


def build_settings() -> kopf.OperatorSettings:
    """The settings; what differs from kopf's defaults has its reason beside it, where the name does not tell.

    Lists are not streamed: while watches fail, kopf would know nothing new, and it took minutes to come back.
    """
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.server_timeout = 300  # an int: it is sent as text, and "300.0" is refused
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 250  # with 500, 10,000 rollouts left 16 to 20 MB more behind at rest
    settings.watching.initial_streaming = False
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.networking.error_backoffs = EndlessBackoff()
    settings.networking.enforce_retry_after = True
    settings.queueing.worker_limit = None  # with a limit, throughput is limit / idle_timeout
    settings.queueing.idle_timeout = 1.0
    settings.persistence.finalizer = f"{GROUP}/never-used"
    settings.persistence.diffbase_storage = NullDiffBase()
    settings.persistence.progress_storage = NullProgress()
    settings.process.ultimate_exiting_timeout = None  # it would kill the process
    return settings


class EndlessBackoff:
    """1, 2, 4 ... 30, 30 ... seconds, each spread over its upper half. A finite list ends kopf when it is used up."""

    def __iter__(self) -> Iterator[float]:
        pause = 1.0
        while True:
            yield pause * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, no secret
            pause = min(LONGEST_PAUSE_SECONDS, pause * 2)


class NullDiffBase(kopf.DiffBaseStorage):
    """No snapshot of anything: kopf would copy each object at each event to find out what `on.event` never asks."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:  # noqa: ARG002
        """Nothing."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:  # noqa: ARG002
        """Nothing."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


class NullProgress(kopf.ProgressStorage):
    """No progress: `on.event` has none."""

    def fetch(self, *, key: Any, body: kopf.Body) -> None:  # noqa: ARG002
        """Nothing."""
        return

    def store(self, *, key: Any, record: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Store nothing."""

    def purge(self, *, key: Any, body: kopf.Body, patch: kopf.Patch) -> None:
        """Nothing to purge."""

    def touch(self, *, body: kopf.Body, patch: kopf.Patch, value: str | None) -> None:
        """Touch nothing."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """As it is."""
        return essence
