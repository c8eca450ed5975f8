"""Who may work in a tenant's namespaces: RoleBindings to the two roles that the chart ships for tenants.

The cluster's own `edit` is not given: it reads Secrets and runs pods as any ServiceAccount of the namespace, and so
would whoever stole the operator's token, which must hold the right to give what it gives.
"""

from typing import Any

from pilotage.resources.tenant import TenantQuotaSpec
from pilotage.resources.tenant_access import Access
from pilotage.tenancy.objects import Sort, Wanted

ROLE_BINDING = Sort("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
ROLES = ("edit", "view")

_GROUP = "rbac.authorization.k8s.io"


def bindings(spec: TenantQuotaSpec, namespace: str, *, roles: str) -> tuple[Wanted, ...]:
    """The RoleBinding of one of the tenant's namespaces; none where nobody is to have access.

    A role can't be changed in a RoleBinding, so that each role has a name of its own.

    Args:
        spec: the TenantQuota's.
        namespace: one of the tenant's.
        roles: what the names of the chart's ClusterRoles begin with, such as `pilotage-tenant`.
    """
    subjects = _subjects(spec.access)
    if not subjects:
        return ()
    role = spec.access.role
    content = {
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": f"{roles}-{role}"},
        "subjects": subjects,
    }
    return (Wanted(ROLE_BINDING, namespace, name_of(role), content, exact=("roleRef", "subjects")),)


def name_of(role: str) -> str:
    """The RoleBinding's name: `tenant-edit` or `tenant-view`."""
    return f"tenant-{role}"


def _subjects(access: Access) -> list[dict[str, Any]]:
    """In a fixed order, so that the same access is the same object. A ServiceAccount is a name and a namespace."""
    users = [{"apiGroup": _GROUP, "kind": "User", "name": name} for name in sorted(set(access.users))]
    groups = [{"apiGroup": _GROUP, "kind": "Group", "name": name} for name in sorted(set(access.groups))]
    accounts = sorted({(each.namespace, each.name) for each in access.applications})
    return users + groups + [{"kind": "ServiceAccount", "name": name, "namespace": where} for where, name in accounts]
