"""An object of Kubernetes that a TenantQuota asks for, in one of the tenant's namespaces."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sort:
    """A kind of object, as the API server has it.

    Attributes:
        api_version: such as `v1` or `networking.k8s.io/v1`.
        kind: such as `NetworkPolicy`.
        plural: its name in paths.
    """

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str, name: str) -> str:
        """The path of one object."""
        root = "/apis" if "/" in self.api_version else "/api"
        return f"{root}/{self.api_version}/namespaces/{namespace}/{self.plural}/{name}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One object as it shall be.

    Attributes:
        sort: its kind.
        namespace: where.
        name: of the object.
        content: its fields besides metadata, written as the API server writes them back.
        exact: fields of the content that may hold nothing else: where an addition would widen what is allowed.
    """

    sort: Sort
    namespace: str
    name: str
    content: Mapping[str, Any]
    exact: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Its path at the API server."""
        return self.sort.path(self.namespace, self.name)

    @property
    def body(self) -> dict[str, Any]:
        """All of it, but for owner and labels."""
        return {
            "apiVersion": self.sort.api_version,
            "kind": self.sort.kind,
            "metadata": {"name": self.name, "namespace": self.namespace},
            **self.content,
        }
