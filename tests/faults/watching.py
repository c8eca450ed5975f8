"""What an onlooker sees: every version of the rollouts, flag documents and Events of a cluster, by resourceVersion.

It asks the API server itself, not through what a test spoils, and as an administrator. resourceVersions of one cluster
count the writes of all kinds together, so that they tell what was written before what.
"""

import json
import ssl
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from threading import Event, Lock, Thread
from typing import Any

from testbed import Cluster

COLLECTIONS = {
    "pilotrollouts": "/apis/pilotage.dev/v1alpha1/pilotrollouts",
    "configmaps": "/api/v1/configmaps",
    "events": "/apis/events.k8s.io/v1/events",
}
_GONE = 410
_SECONDS = 30

Object = dict[str, Any]
Version = tuple[int, Object]


class Onlooker:
    """Watches a cluster from the moment that it is made until `stop`."""

    def __init__(self, cluster: Cluster) -> None:
        user = json.loads(cluster.kubeconfig.read_text())["users"][0]["user"]
        self._headers = {"Authorization": f"Bearer {user['token']}"}
        self._server = cluster.server
        context = ssl.create_default_context(cafile=cluster.ca)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        self._seen: dict[tuple[str, str, str], dict[int, Object]] = defaultdict(dict)
        self._gone: set[tuple[str, str, str]] = set()
        self._lock = Lock()
        self._stopped = Event()
        self._threads = [Thread(target=self._watch, args=each, daemon=True) for each in COLLECTIONS.items()]
        for thread in self._threads:
            thread.start()

    def versions(self, plural: str, namespace: str, name: str) -> list[Version]:
        """All versions of an object that were seen, oldest first."""
        with self._lock:
            return sorted(self._seen[plural, namespace, name].items())

    def latest(self, plural: str, namespace: str, name: str) -> Object:
        """The newest version of an object that was seen; empty if none was."""
        with self._lock:
            versions = self._seen.get((plural, namespace, name))
            return versions[max(versions)] if versions else {}

    def names(self, plural: str, namespace: str) -> list[str]:
        """The objects of a namespace that were ever seen."""
        with self._lock:
            return [key[2] for key, versions in self._seen.items() if key[:2] == (plural, namespace) and versions]

    def is_gone(self, plural: str, namespace: str, name: str) -> bool:
        """Whether an object was seen to be deleted for good, and not to come back."""
        with self._lock:
            return (plural, namespace, name) in self._gone

    def get(self, path: str) -> Object:
        """Ask the API server now."""
        with self._open(path) as answer:
            found: Object = json.load(answer)
        return found

    def stop(self) -> None:
        """Look no more; watches under way end with their cluster."""
        self._stopped.set()

    def _open(self, path: str) -> Any:
        request = urllib.request.Request(self._server + path, headers=self._headers)
        return self._opener.open(request, timeout=_SECONDS + 5)

    def _watch(self, plural: str, path: str) -> None:
        since = ""
        while not self._stopped.is_set():
            try:
                since = since or self._list(plural, path)
                for event in self._follow(path, since):
                    if event["type"] == "ERROR":
                        since = ""
                        break
                    since = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._keep(plural, event["object"], gone=event["type"] == "DELETED")
            except urllib.error.HTTPError as error:
                since = "" if error.code == _GONE else since
                time.sleep(0.2)
            except (OSError, ValueError):  # the API server is away
                time.sleep(0.2)

    def _list(self, plural: str, path: str) -> str:
        found = self.get(path)
        there = {(plural, item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in found["items"]}
        with self._lock:
            self._gone |= {key for key in self._seen if key[0] == plural} - there
        for item in found["items"]:
            self._keep(plural, item)
        version: str = found["metadata"]["resourceVersion"]
        return version

    def _follow(self, path: str, since: str) -> Iterator[Object]:
        query = f"?watch=true&allowWatchBookmarks=true&timeoutSeconds={_SECONDS}&resourceVersion={since}"
        with self._open(path + query) as answer:
            for line in answer:
                yield json.loads(line)

    def _keep(self, plural: str, found: Object, *, gone: bool = False) -> None:
        meta = found["metadata"]
        key = (plural, meta.get("namespace", ""), meta["name"])
        with self._lock:
            self._seen[key][int(meta["resourceVersion"])] = found
            (self._gone.add if gone else self._gone.discard)(key)
