"""Rush: users are being taken back at this moment. What lets users in, or only tells, stands aside for a while.

A status patch costs the API server twice what a flag costs it, and each rollback is followed by one and by two Events.
When a thousand break at once, those who are already back must not keep from it those who are not.
"""

from pilotage.controller.clock import Clock

QUIET_SECONDS = 0.2
"""A rush is over when nobody was taken back for so long."""

PATIENCE_SECONDS = 10.0
"""Whatever goes on, nobody stands aside for longer."""


class Rush:
    """Knows when users were last taken back.

    Args:
        clock: what time it is.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends_at = float("-inf")

    def goes_on(self) -> None:
        """Somebody is taken back now."""
        self._ends_at = self._clock.monotonic() + QUIET_SECONDS

    def patience(self) -> float:
        """The monotonic second until which who comes now stands aside at most."""
        return self._clock.monotonic() + PATIENCE_SECONDS

    async def stand_aside(self, until: float) -> None:
        """Return when no rush goes on, or at that monotonic second."""
        while (now := self._clock.monotonic()) < (ends_at := min(self._ends_at, until)):
            await self._clock.sleep(ends_at - now)
