"""Refusals: what the API server says no to, as fixed sentences for status that name the remedy."""

import re
from collections.abc import Sequence

from pilotage.delivery.forms import Form
from pilotage.delivery.target import (
    DeliveryConflictError,
    DeliveryError,
    DeliveryOutdatedError,
    DeliveryRefusedError,
    Place,
)
from pilotage.kube import KubeError

_CONFLICT = re.compile(r'conflicts? with "([^"]+)"')


def name_of(form: Form, place: Place) -> str:
    """The object's name for status, such as `ConfigMap/pilot-flags`."""
    return f"{form.kind}/{place.name}"


def conflict(others: Sequence[str], form: Form, place: Place, flag: str) -> DeliveryConflictError:
    """Other field managers own the flag."""
    return DeliveryConflictError(
        f"{name_of(form, place)}: the flag {flag} is also written by {', '.join(dict.fromkeys(others))}:"
        " take it out there, or make the rollout anew with another flag"
    )


def is_going(error: KubeError) -> bool:
    """Whether there is no place left: the namespace is gone, or takes no new objects."""
    return error.status == 404 or (error.status == 403 and "being terminated" in error.detail)  # noqa: PLR2004


def explained(error: KubeError, form: Form, place: Place, flag: str = "") -> DeliveryError:
    """What became of a request for a flag's object."""
    name = f"{name_of(form, place)} in the namespace {place.namespace}"
    match error.status, error.detail:
        case 0, _:
            text = "the API server could not be asked"
        case 409, detail if others := _CONFLICT.findall(detail):
            return conflict(others, form, place, flag)
        case 409, _:
            return DeliveryOutdatedError(f"{name} changes too often to be written; it is tried again")
        case 403, detail if "is not Pilotage's" in detail:
            return DeliveryRefusedError(
                f"{name} is not Pilotage's: make the rollout anew with another name in spec.delivery.flags"
            )
        case 403, _:
            return DeliveryRefusedError(
                f"{name} may not be written: enrol the namespace (bind ClusterRole pilotage-delivery there)"
            )
        case 404, _:
            text = f"{name} can't be written: there is no such namespace"
        case ((413 | 422), _):
            text = f"{name} is refused as invalid or too large: move the flag to another document"
        case status, _:
            text = f"{name} could not be written: the API server answered {status} {error.reason}"
    return DeliveryError(text)
