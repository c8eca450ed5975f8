"""Durations: what users write is read exactly, and written back as it would be read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.resources.base import DURATION_PATTERN
from pilotage.resources.durations import format_duration, parse_duration

LONGEST_SECONDS = 999_999 * 86_400  # six digits of days

PARTS = st.tuples(st.integers(0, 999_999), st.sampled_from(["ms", "s", "m", "h", "d", "w"]))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("14d", 1_209_600),
        ("2w", 1_209_600),
        ("500ms", 0.5),
        ("0s", 0),
        ("30m1h", 5400),
    ],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "10 m", "m", "-1s", "1.5h", "1y", "1234567s", "10m ", "10M", "\n1s", "1s\n"]
)
def test_what_is_no_duration_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="write a number and a unit such as 90s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1_209_600, "14d"), (5400, "1h30m"), (0.5, "500ms"), (0, "0s"), (90, "1m30s"), (59.7, "1m")],
)
def test_a_duration_is_written_in_the_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, LONGEST_SECONDS))
def test_whole_seconds_come_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 999))
def test_milliseconds_below_a_second_come_back(count: int) -> None:
    assert parse_duration(format_duration(count / 1000)) == count / 1000


@given(st.integers(0, LONGEST_SECONDS))
def test_what_we_write_the_api_server_takes(seconds: int) -> None:
    assert re.fullmatch(DURATION_PATTERN, format_duration(seconds))


@given(st.lists(PARTS, min_size=1, max_size=6))
def test_what_the_api_server_takes_is_read(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert re.fullmatch(DURATION_PATTERN, text)
    assert parse_duration(text) == sum(parse_duration(f"{number}{unit}") * 1000 for number, unit in parts) / 1000


@given(st.text(alphabet="0123456789mshdw ", max_size=12))
def test_what_the_api_server_refuses_is_not_read(text: str) -> None:
    if re.fullmatch(DURATION_PATTERN, text):
        parse_duration(text)
    else:
        with pytest.raises(ValueError, match="is not a duration"):
            parse_duration(text)
