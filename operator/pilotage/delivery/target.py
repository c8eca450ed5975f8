"""The one interface of delivery: apply, kill, verify, release.

Every call is idempotent: what acts is small, and a crash between the decision and the act is mended by acting again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pilotage.rollout.exposure import Exposure


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rollout's flag lives, and who writes it.

    Attributes:
        namespace: of the rollout and its flag.
        name: of the FeatureFlag or ConfigMap.
        field_manager: one for each rollout, so that server-side apply tells writers apart.
    """

    namespace: str
    name: str
    field_manager: str


@dataclass(frozen=True, slots=True)
class Way:
    """An exposure that is to be brought about at a place, such as a way back."""

    place: Place
    want: Exposure


@dataclass(frozen=True, slots=True)
class Verified:
    """What a data plane serves: `in_force` only if every probe got the variant that the exposure means.

    `served` is a digest of it: the same as long as nothing changes there. What is `outdated` has the right users, but
    an older lease: it has to be written again before that runs out. What is `taken_back` is off by a later revision
    than the one that was asked for.
    """

    in_force: bool
    message: str = ""
    served: str = ""
    outdated: bool = False
    taken_back: bool = False


class DeliveryError(Exception):
    """A delivery that did not happen; the message is a fixed text for people, fit for status."""


class DeliveryRefusedError(DeliveryError):
    """The place is not ours to write: it was never enrolled, or the object is somebody else's."""


class DeliveryConflictError(DeliveryError):
    """Somebody else writes this flag: growth waits, taking back does not."""


class DeliveryOutdatedError(DeliveryError):
    """The place has changed since it was read; nothing was written."""


class Target(Protocol):
    """A way to reach users."""

    async def apply(self, place: Place, want: Exposure) -> str:
        """Bring the exposure about; returns the target's name. Refuses what others own.

        Raises:
            DeliveryConflictError: another writer owns the flag.
            DeliveryError: it could not be written; try again.
        """
        ...

    async def check_claim(self, place: Place, flag: str) -> None:
        """Pass unless only others write the flag: then nothing there is the rollout's to take back.

        Raises:
            DeliveryConflictError: only others write it.
            DeliveryError: it could not be read; try again.
        """
        ...

    async def kill(self, ways: Sequence[Way]) -> str:
        """Bring smaller exposures about by force, without reading first; returns the target's name.

        Args:
            ways: one or more that end in the same object.

        Raises:
            DeliveryError: not all could be written; try again, one by one.
        """
        ...

    async def verify(self, place: Place, want: Exposure, probes: Sequence[str]) -> Verified:
        """Ask the data plane whether the exposure is in force for the probe keys.

        Raises:
            DeliveryError: it can't be asked: what is in force is not known.
        """
        ...

    async def serves(self, flags: Sequence[tuple[Place, str]]) -> list[str]:
        """Digests of what the data plane serves for flags, as in `Verified.served`.

        Raises:
            DeliveryError: it can't be asked.
        """
        ...

    async def release(self, place: Place, final: Exposure) -> None:
        """Leave a stated final state and give up ownership.

        Raises:
            DeliveryError: it could not be written; try again.
        """
        ...
