"""Queries of OpenSLO documents: fixed ranges, rates and bare counters as counts in `$window`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.openslo.queries import common_window, counted, with_window


@pytest.mark.parametrize(
    ("query", "made", "changes"),
    [
        ("sum(increase(x[5m]))", "sum(increase(x[$window]))", ("[5m] became [$window]",)),
        ("sum(increase(x[1h30m] offset 5m))", "sum(increase(x[$window] offset 5m))", ("[1h30m] became [$window]",)),
        ("sum(increase(x[{{.window}}]))", "sum(increase(x[$window]))", ("[{{.window}}] became [$window]",)),
        ("sum(increase(x[$__range]))", "sum(increase(x[$window]))", ("[$__range] became [$window]",)),
        ("sum(increase(x[$window]))", "sum(increase(x[$window]))", ()),
        ('sum(increase(x{code=~"[5m]"}[5m]))', 'sum(increase(x{code=~"[5m]"}[$window]))', ("[5m] became [$window]",)),
        ("sum(increase(x{p='rate(a[5m])'}[ 5m ]))", "sum(increase(x{p='rate(a[5m])'}[$window]))", None),
        ("max_over_time(x[1h:5m])", "max_over_time(x[1h:5m])", ("[1h:5m] is a subquery and stays as it is",)),
        ("x # [5m]\n > 1", "x # [5m]\n > 1", ()),
        (r'x{a="\"[5m]"}[5m]', r'x{a="\"[5m]"}[$window]', None),
    ],
)
def test_a_fixed_range_becomes_the_window_and_texts_stay(
    query: str, made: str, changes: tuple[str, ...] | None
) -> None:
    found = with_window(query, counts=False)
    assert found.promql == made
    assert changes is None or found.changes == changes


def test_rates_become_increases_where_events_are_counted() -> None:
    query = 'sum(rate(x{a="rate(b)"}[5m])) + sum(irate (y[5m])) + sum(my_rate(z))'
    made = with_window(query, counts=True)
    assert made.promql == 'sum(increase(x{a="rate(b)"}[$window])) + sum(increase (y[$window])) + sum(my_rate(z))'
    assert made.changes == (
        "rate(...) became increase(...), which counts events",
        "[5m] became [$window]",
        "irate(...) became increase(...), which counts events",
    )
    assert with_window(query, counts=False).promql == query.replace("[5m]", "[$window]")


@pytest.mark.parametrize(
    ("query", "made"),
    [
        ("http_total", "sum(increase(http_total[$window]))"),
        ('http_total{code=~"5.{2}"}', 'sum(increase(http_total{code=~"5.{2}"}[$window]))'),
        ("sum(http_total)", "sum(increase(http_total[$window]))"),
        ("sum by (variant) (http_total{a='b'})", "sum by (variant) (increase(http_total{a='b'}[$window]))"),
        ('sum by (variant) (http_total{a="b"})', 'sum by (variant) (increase(http_total{a="b"}[$window]))'),
        ("sum(http_total) by (variant)", "sum(increase(http_total[$window])) by (variant)"),
        ('{__name__="x"}', 'sum(increase({__name__="x"}[$window]))'),
        ("sum(a) + sum(b)", None),
        ("max(a)", None),
    ],
)
def test_a_bare_counter_is_counted_and_what_is_intricate_is_not_guessed(query: str, made: str | None) -> None:
    found = counted(query)
    assert (found.promql if found else None) == made


@pytest.mark.parametrize(
    ("ranges", "window"),
    [(("5m", "5m"), "5m"), (("5m", "10m"), ""), (("28d",), ""), (("15s",), ""), ((), ""), (("1h",), "1h")],
)
def test_a_common_range_to_judge_by_becomes_the_templates_window(ranges: tuple[str, ...], window: str) -> None:
    assert common_window(*(with_window(f"x[{span}]", counts=False) for span in ranges)) == window


@given(st.text(alphabet="rate(x[5m])\"'`#{}:1h \\\n$", max_size=40))
def test_any_text_is_read_to_its_end(query: str) -> None:
    made = with_window(query, counts=True).promql
    assert with_window(made, counts=True).promql == made
