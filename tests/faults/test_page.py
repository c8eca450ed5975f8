"""docs/reliability.md says what the suite plays, no more and no less."""

from tests.faults.scenarios import SCENARIOS
from tests.faults.table import NOT_MEASURED, PAGE, render, row


def test_every_scenario_has_its_row_in_the_page() -> None:
    page = PAGE.read_text()
    missing = [scenario.name for scenario in SCENARIOS if row(scenario) not in page]
    assert not missing, "play them, then run: python -m tests.faults.table"
    assert NOT_MEASURED not in page


def test_no_row_is_left_of_a_scenario_that_is_gone() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    known = [*map(row, SCENARIOS), "| fault | bound |"]
    assert [line for line in rows if not line.startswith(tuple(known))] == []


def test_names_of_scenarios_are_their_own() -> None:
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


def test_the_page_is_made_without_measurements_too() -> None:
    assert render({}).count(NOT_MEASURED) == len(SCENARIOS)
