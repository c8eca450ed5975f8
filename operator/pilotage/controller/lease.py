"""Leader election as a pure state machine: what this replica knows of the Lease, what it does next, what it learns.

`elector.py` carries it out. Peering (kopf's) is no lock, and the elector of `kubernetes.aio` loses the lease without
stopping the leader, writes local time, and never gives the lease back; hence this one. Its rules:

- The Lease is written by compare-and-swap on its resourceVersion: of two who take it, one does.
- Nobody's clock is compared with anybody else's. A follower counts `lease_seconds` on its own monotonic clock, from
  when it first saw the Lease in its present form; a leader counts `renew_seconds` from before it asked for the renewal.
  The leader stops acting at least `lease_seconds - renew_seconds` before anybody else can start.
- A Lease without a holder was given back: it is taken at once.
"""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things last, in seconds.

    The defaults of client-go (15, 10, 2) let 17 s pass after a crash; ours must be back within 10 s. A follower looks
    at the Lease each second and, besides, at the very moment at which it expires: 1 + 7 s after the last renewal at
    worst, plus two requests. A leader that can't renew for 4 s stops; the 3 s in between are for its last requests.
    """

    lease_seconds: int = 7
    renew_seconds: float = 4.0
    retry_seconds: float = 1.0

    @property
    def guard_seconds(self) -> float:
        """How long a request that began under a valid lease may last."""
        return self.lease_seconds - self.renew_seconds


@dataclass(frozen=True, slots=True)
class Claim:
    """What the Lease says.

    Attributes:
        holder: identity of the leader; empty if it was given back.
        version: resourceVersion; another one means that somebody wrote.
        lease_seconds: how long the holder may be silent, in its own words.
    """

    holder: str
    version: str
    lease_seconds: float


NEVER = float("-inf")

Act = Literal["read", "create", "take", "renew"]


@dataclass(frozen=True, slots=True)
class Standing:
    """What one replica knows.

    Attributes:
        identity: of this replica; no other that runs at the same time has the same.
        terms: how long things last.
        known: False until the Lease was read; after a lost race it is not known any more.
        claim: what the Lease said last; None if there was none.
        seen_at: when it was first seen in this form (monotonic seconds).
        valid_until: this replica leads until then (monotonic seconds); NEVER if it does not.
        looked_at: when the Lease was last read or written.
    """

    identity: str
    terms: Terms = Terms()
    known: bool = False
    claim: Claim | None = None
    seen_at: float = 0.0
    valid_until: float = NEVER
    looked_at: float = NEVER

    def leads(self, now: float) -> bool:
        """Whether this replica may write."""
        return now < self.valid_until


def expires_at(standing: Standing) -> float:
    """When the claim of another may be taken over."""
    claim = standing.claim
    if claim is None or not claim.holder:
        return standing.seen_at
    return standing.seen_at + claim.lease_seconds


def next_act(standing: Standing, now: float) -> Act:
    """What to do now."""
    if not standing.known:
        return "read"
    if standing.claim is None:
        return "create"
    if standing.claim.holder == standing.identity:
        return "renew"
    return "take" if now >= expires_at(standing) else "read"


def pause_seconds(standing: Standing, now: float) -> float:
    """How long to wait before the next act: no longer than until another's claim expires."""
    wake_at = standing.looked_at + standing.terms.retry_seconds
    mine = standing.claim is not None and standing.claim.holder == standing.identity
    if standing.known and not mine and expires_at(standing) >= standing.looked_at:
        wake_at = min(wake_at, expires_at(standing))  # but if the try at that moment failed, it is a retry like others
    return max(0.0, wake_at - now)


def after_reading(standing: Standing, claim: Claim | None, now: float) -> Standing:
    """The Lease was read (None: there is none)."""
    unchanged = standing.known and claim == standing.claim
    mine = claim is not None and claim.holder == standing.identity
    return replace(
        standing,
        known=True,
        claim=claim,
        seen_at=standing.seen_at if unchanged else now,
        valid_until=standing.valid_until if mine else NEVER,
        looked_at=now,
    )


def after_writing(standing: Standing, claim: Claim, asked_at: float) -> Standing:
    """Our write was taken: we lead, counted from before we asked."""
    return replace(
        standing,
        known=True,
        claim=claim,
        seen_at=asked_at,
        valid_until=asked_at + standing.terms.renew_seconds,
        looked_at=asked_at,
    )


def after_losing(standing: Standing, now: float) -> Standing:
    """Somebody else wrote first, or the Lease vanished: read it again, soon.

    It may have been a renewal of our own whose answer was lost. So what is valid stays valid until the Lease is read.
    """
    return replace(standing, known=False, looked_at=now - 0.9 * standing.terms.retry_seconds)


def after_silence(standing: Standing, now: float) -> Standing:
    """No answer. Our write may have been taken all the same, so a valid lease just runs out; the next try tells."""
    return replace(standing, looked_at=now)


def after_release(standing: Standing) -> Standing:
    """We stop, and say so."""
    return replace(standing, known=False, claim=None, valid_until=NEVER)
