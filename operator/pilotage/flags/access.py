"""Access: who calls, proven by a ServiceAccount token, and whose flags they may have.

An application sends its token with the audience `pilotage-flags`, so that what a call gives away is good for nothing
else; the API server says whose it is (TokenReview). It gets the flags of its own namespace only. The operator asks in
every namespace whether an exposure is in force.
"""

import asyncio
import hashlib
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from pilotage.flags.telemetry import ERRORS
from pilotage.kube import Kube, KubeError

log = logging.getLogger(__name__)

AUDIENCE = "pilotage-flags"
TRUST_SECONDS = 60.0
CACHE_LIMIT = 10_000
REVIEWS_AT_ONCE = 8
"""Whoever sends made-up tokens shall not load the API server."""

_ACCOUNT = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class UnauthenticatedError(Exception):
    """Nobody knows who calls; the message names the remedy."""


class ForbiddenError(Exception):
    """The caller may not have what it asks for; the message names the remedy."""


class InvalidSelectorError(Exception):
    """The selector can't be read; the message names the remedy."""


class ReviewFailedError(Exception):
    """The API server can't be asked who calls."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        namespace: of its ServiceAccount; empty if anonymous.
        reads_all: whether it may read every namespace's flags.
    """

    namespace: str
    reads_all: bool = False


class Reviewer:
    """Proves callers by TokenReview; an answer is good for a minute.

    Args:
        kube: client that may create TokenReviews.
        operator: `namespace:name` of the ServiceAccount that may read every namespace; empty for none.
        monotonic: seconds of a clock that never steps back.
    """

    def __init__(self, kube: Kube, *, operator: str = "", monotonic: Callable[[], float] = time.monotonic) -> None:
        self._kube = kube
        self._operator = operator
        self._monotonic = monotonic
        self._known: dict[bytes, tuple[float, Caller | None]] = {}
        self._turns = asyncio.Semaphore(REVIEWS_AT_ONCE)

    async def review(self, token: str) -> Caller:
        """Whose token it is.

        Raises:
            UnauthenticatedError: the API server does not accept it.
            ReviewFailedError: the API server can't be asked.
        """
        digest = hashlib.sha256(token.encode()).digest()
        until, caller = self._known.get(digest, (0.0, None))
        if self._monotonic() >= until:
            caller = await self._ask(token)
            self._remember(digest, caller)
        if caller is None:
            raise UnauthenticatedError(
                f"the token is not accepted: send a ServiceAccount token with the audience {AUDIENCE}"
            )
        return caller

    async def _ask(self, token: str) -> Caller | None:
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
        try:
            async with self._turns:
                reviewed = await self._kube.create("/apis/authentication.k8s.io/v1/tokenreviews", body)
        except KubeError as error:
            ERRORS.labels("review").inc()
            log.warning("a token could not be reviewed", extra={"reason": str(error)})
            raise ReviewFailedError("who calls can't be proven: the API server could not be asked") from error
        status = reviewed.get("status") or {}
        # A server that knows no audiences would accept any token: it must say that it has checked ours.
        if not status.get("authenticated") or AUDIENCE not in (status.get("audiences") or ()):
            return None
        account = _ACCOUNT.fullmatch((status.get("user") or {}).get("username") or "")
        return account and Caller(account[1], reads_all=f"{account[1]}:{account[2]}" == self._operator)

    def _remember(self, digest: bytes, caller: Caller | None) -> None:
        self._known.pop(digest, None)
        while len(self._known) >= CACHE_LIMIT:
            del self._known[next(iter(self._known))]
        self._known[digest] = self._monotonic() + TRUST_SECONDS, caller


def namespace_for(caller: Caller, selector: str) -> str:
    """The namespace whose flags a call asks for: `flagSetId=<namespace>`, `<namespace>`, or the caller's own.

    Raises:
        InvalidSelectorError: the selector can't be read, or is missing.
        ForbiddenError: it is another's.
    """
    asked = selector.strip().removeprefix("flagSetId=").strip() or caller.namespace
    if not asked:
        raise InvalidSelectorError("name a namespace: set the provider's selector to flagSetId=<namespace>")
    if not _NAMESPACE.fullmatch(asked):
        raise InvalidSelectorError("the selector names no namespace: write flagSetId=<namespace>")
    if asked != caller.namespace and not caller.reads_all:
        raise ForbiddenError(
            f"the flags of namespace {asked} are for its own ServiceAccounts: ask for flagSetId={caller.namespace}"
        )
    return asked
