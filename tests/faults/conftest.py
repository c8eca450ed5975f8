"""The plays of the session. The outage of ten minutes begins with the session, so that nobody has to wait for it."""

from collections.abc import Iterator

import pytest

from tests.faults.plays import Plays
from tests.faults.scenario import Scenario

_PLAYS = pytest.StashKey[Plays]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ask for the outcome of the long outage at the very end."""
    last = [item for item in items if (scenario := _scenario_of(item)) and scenario.stage == "outage"]
    for item in last:
        items.remove(item)
        items.append(item)


@pytest.hookimpl(trylast=True)  # after the programs were built
def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin the long outage, if its outcome will be asked for."""
    if session.config.option.collectonly:
        return
    session.config.stash[_PLAYS] = Plays([found for item in session.items if (found := _scenario_of(item))])
    session.config.stash[_PLAYS].start("outage")


def _scenario_of(item: pytest.Item) -> Scenario | None:
    callspec = getattr(item, "callspec", None)
    found = callspec.params.get("scenario") if callspec else None
    return found if isinstance(found, Scenario) else None


@pytest.fixture(scope="session")
def plays(request: pytest.FixtureRequest) -> Iterator[Plays]:
    """Give the plays of this session; all stages begin now, so that they overlap, and are gone when it ends."""
    started = request.config.stash[_PLAYS]
    started.start("operator", "apiserver", "around")
    yield started
    started.join()
