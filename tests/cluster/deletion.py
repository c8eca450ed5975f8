"""How tests delete an object by its name alone: the operator's own client can't."""

from pilotage.kube import Kube, _Request


async def delete(kube: Kube, path: str) -> None:
    """Delete an object with a client's rights.

    Raises:
        KubeError: it was refused.
    """
    await kube._call(_Request("DELETE", path))
