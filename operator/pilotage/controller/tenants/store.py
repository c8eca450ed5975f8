"""All TenantQuotas as the watch brought them last, and whose a namespace is. Fed on every replica.

They are few and asked for often (by every rollout's step), so they are kept parsed. As with rollouts, the newest wins:
our own write's answer and the watch may arrive in any order.
"""

import logging
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from pilotage.controller.schedule import Key
from pilotage.resources.tenant import TenantQuota

_LOG = logging.getLogger(__name__)
_TOMBSTONES = 1024


class TenantStore:
    """All TenantQuotas by name."""

    def __init__(self) -> None:
        self._kept: dict[str, TenantQuota] = {}
        self._versions: dict[str, int] = {}
        self._claims: defaultdict[str, set[str]] = defaultdict(set)  # every step of every rollout asks whose it is
        self._tombs: dict[str, int] = {}
        self._buried: deque[str] = deque()

    def put(self, body: Mapping[str, Any]) -> bool:
        """Keep what the watch or our own write brought, if it is newer; tells whether a person changed it."""
        metadata = body["metadata"]
        name, version = metadata["name"], int(metadata["resourceVersion"])
        if version <= max(self._versions.get(name, 0), self._tombs.get(name, 0)):
            return False
        self._versions[name] = version
        before = self._drop(name)
        try:
            made = self._kept[name] = TenantQuota.model_validate(body)
        except ValidationError:
            # Written by another version. It is known, and is nobody's quota: a rollout that names it holds.
            _LOG.exception("TenantQuota %s can't be read", name)
            return before is not None
        for namespace in made.spec.namespaces:
            self._claims[namespace].add(name)
        return before is None or _identity(before) != _identity(made)

    def remove(self, name: str, version: int) -> bool:
        """It was gone at this resourceVersion; tells whether it was kept (and not made anew since)."""
        if self._versions.get(name, 0) > version:
            return False
        if name not in self._tombs:
            self._buried.append(name)
        self._tombs[name] = version
        if len(self._buried) > _TOMBSTONES:
            del self._tombs[self._buried.popleft()]
        self._versions.pop(name, None)
        return self._drop(name) is not None

    def get(self, name: str) -> TenantQuota | None:
        """The TenantQuota as it is known; None if there is none, or if it can't be read."""
        return self._kept.get(name)

    def claiming(self, namespace: str) -> tuple[str, ...]:
        """The names of all TenantQuotas that list a namespace, in order."""
        return tuple(sorted(self._claims.get(namespace, ())))

    def of_namespace(self, namespace: str) -> TenantQuota | None:
        """The one that a namespace belongs to; None where none or several list it."""
        claiming = self.claiming(namespace)
        return self._kept[claiming[0]] if len(claiming) == 1 else None

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._versions))

    @property
    def versions(self) -> dict[Key, int]:
        """The resourceVersions of all, also of those that can't be read."""
        return {Key("", name): version for name, version in self._versions.items()}

    def __len__(self) -> int:
        return len(self._versions)

    def _drop(self, name: str) -> TenantQuota | None:
        before = self._kept.pop(name, None)
        for namespace in before.spec.namespaces if before else ():
            self._claims[namespace].discard(name)
            if not self._claims[namespace]:
                del self._claims[namespace]
        return before

    def __contains__(self, name: object) -> bool:
        return name in self._versions


def _identity(tenant: TenantQuota) -> tuple[str, int, bool]:
    meta = tenant.metadata
    return meta.uid, meta.generation, meta.deletion_timestamp is not None
