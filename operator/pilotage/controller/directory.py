"""Reads the directory of users from its ConfigMap.

It is read when a step is about to begin and at no other time: `NOT_READ` stands in its place until the decision asks.
"""

import json
from typing import Any

from pilotage.kube import Kube, KubeError
from pilotage.rollout.admission import User

NOT_READ = "the directory of users was not read yet"
DOCUMENT = "users.json"
_LONGEST_KEY = 128


class DirectoryError(Exception):
    """The directory can't be read; the message is fit for status."""


async def read_directory(kube: Kube, namespace: str, name: str) -> tuple[User, ...]:
    """The users whom a ConfigMap lists.

    Raises:
        DirectoryError: there is no such ConfigMap, we may not read it, or it does not hold users.
    """
    field = "spec.audience.directory.configMap"
    try:
        found = await kube.get(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
    except KubeError as error:
        raise DirectoryError(f"{field}: {_explained(error, namespace, name)}") from error
    document = found.get("data", {}).get(DOCUMENT)
    if document is None:
        msg = f"{field}: ConfigMap {name} has no key {DOCUMENT}: add it, with an array of users"
        raise DirectoryError(msg)
    try:
        return read_users(document)
    except ValueError as error:
        msg = f"{field}: {DOCUMENT} of ConfigMap {name}: {error}"
        raise DirectoryError(msg) from error


def read_users(document: str) -> tuple[User, ...]:
    """The users of a document: a JSON array of objects with `key` and attributes.

    Raises:
        ValueError: it is something else; the message says what and where.
    """
    try:
        listed = json.loads(document)
    except (ValueError, RecursionError) as error:
        msg = 'is not JSON: write an array such as [{"key": "anna"}]'
        raise ValueError(msg) from error
    if not isinstance(listed, list):
        msg = 'is not an array: write [{"key": "anna"}, ...]'
        raise ValueError(msg)
    users = tuple(_read_user(index, entry) for index, entry in enumerate(listed))
    seen: set[str] = set()
    for index, user in enumerate(users):
        if user.key in seen:
            msg = f"[{index}].key: {user.key!r} is listed twice: remove one"
            raise ValueError(msg)
        seen.add(user.key)
    return users


def _read_user(index: int, entry: Any) -> User:
    key = entry.get("key") if isinstance(entry, dict) else None
    if not isinstance(key, str) or not 1 <= len(key) <= _LONGEST_KEY:
        msg = f"[{index}].key: must be a text of 1 to {_LONGEST_KEY} characters"
        raise ValueError(msg)
    return User(key, {name: value for name, value in entry.items() if name != "key"})


def _explained(error: KubeError, namespace: str, name: str) -> str:
    match error.reason:
        case "NotFound":
            return f"there is no ConfigMap {name} in namespace {namespace}: create it, with the key {DOCUMENT}"
        case "Forbidden":
            return (
                f"the operator may not read ConfigMap {name}: enrol the namespace {namespace}"
                " (a RoleBinding to the delivery ClusterRole)"
            )
    return f"ConfigMap {name} can't be read now: {error.reason}"
