"""PromQL of tenants: whatever they write, it reads their own series only, or is refused."""

import string
import time

import promql_parser
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pilotage.metrics.guard import GuardError, check_matchers, enforce

OURS = (("namespace", "shop"),)


def selectors(query: str) -> list[list[set[tuple[str, str, str]]]]:
    """Of each selector that the parser finds in a query: the matchers of each of its `or` groups."""
    operators = ((promql_parser.MatchOp.Equal, "="), (promql_parser.MatchOp.NotEqual, "!="))
    found: list[list[set[tuple[str, str, str]]]] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector):
            groups = node.matchers.or_matchers or [node.matchers.matchers]
            found.append(
                [{(m.name, next((t for op, t in operators if op == m.op), "~"), m.value) for m in g} for g in groups]
            )

    promql_parser.walk(promql_parser.parse(query.replace("$window", "5m")), visit)
    return found


def is_kept(query: str) -> bool:
    """Whether each group of each selector has the tenant's matcher."""
    return all(("namespace", "=", "shop") in group for groups in selectors(query) for group in groups)


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("up", 'up{namespace="shop"}'),
        ("up{}", 'up{namespace="shop"}'),
        ("rate(requests_total[$window])", 'rate(requests_total{namespace="shop"}[$window])'),
        ("up offset $window", 'up{namespace="shop"} offset $window'),
        ("max_over_time(up[1y:1s])", 'max_over_time(up{namespace="shop"}[1y:1s])'),
        ("up @ end() offset -1y", 'up{namespace="shop"} @ end() offset -1y'),
        ("scalar(a) * b > bool 1", 'scalar(a{namespace="shop"}) * b{namespace="shop"} > bool 1'),
        ('{"my.metric", a="b"}', '{__name__="my.metric",a="b",namespace="shop"}'),
        ("vector(1)", "vector(1)"),
    ],
)
def test_the_tenants_matcher_is_in_every_selector(query: str, sent: str) -> None:
    assert enforce(query, OURS) == sent


def test_without_matchers_a_query_is_sent_as_it_is() -> None:
    assert enforce("up  or (down", ()) == "up  or (down"


@pytest.mark.parametrize(
    "query",
    [
        'up{namespace="victim"}',
        'up{namespace=~".*"}',
        'up{namespace=~"shop|victim"}',
        'up{namespace!="shop"}',
        'up{"namespace"="victim"}',
        '{__name__=~".+"}',
        'up{a="b" or namespace="victim"}',
        'up{a="b" or a="c", d="e"}',
        'up or down{namespace="victim"}',
        'label_replace(up, "namespace", "shop", "namespace", "victim")',
        'count_values("namespace", up{namespace="victim"})',
        'sum by (namespace) (up) and on () vector(1)',
        "absent(up) or -(up ^ 2)",
        'up{namespace="shop"} unless up{namespace="victim"}',
    ],
)  # fmt: skip
def test_promql_widening_reads_nothing_of_others(query: str) -> None:
    made = enforce(query, OURS)
    assert selectors(made)
    assert is_kept(made)


@pytest.mark.parametrize(
    "value",
    [
        'x"} or up{namespace="victim',
        'x\\"} or up{namespace=\\"victim',
        "x'} or up{namespace='victim",
        'x\\\\"} or up{namespace="victim',
        '"} # ',
        "x\\",
        '\\x22} or up{namespace=\\x22victim',
        "`} or up{namespace=`victim",
    ],
)  # fmt: skip
def test_promql_injection_through_a_value_reads_nothing_of_others(value: str) -> None:
    for quote in "\"'`":
        try:
            made = enforce(f"up{{app={quote}{value}{quote}}}", OURS)
        except GuardError:
            continue
        assert is_kept(made)


@pytest.mark.parametrize("query", ["up) or (down", "", "# up", "up{", 'up{a="b"', "up[5m", "sum by (up", "up up"])
def test_what_can_not_be_read_is_refused_with_a_remedy(query: str) -> None:
    with pytest.raises(GuardError, match="use an IndicatorTemplate"):
        enforce(query, OURS)


def test_a_function_that_reads_series_which_no_selector_names_is_refused() -> None:
    with pytest.raises(GuardError, match=r"uses info\(\)"):
        enforce("sum(info(up))", OURS)


def test_a_window_that_is_no_duration_is_refused() -> None:
    with pytest.raises(GuardError, match=r"uses \$window as a value"):
        enforce("up * $window", OURS)


@pytest.mark.parametrize(
    "query",
    ["(" * 1000 + "1" + ")" * 1000, "x" + "+x" * 1000, "-" * 2000 + "x", "abs(" * 400 + "x" + ")" * 400, "x" * 9000],
    ids=["brackets", "sums", "signs", "calls", "long"],
)
def test_exhaustion_by_a_query_that_takes_minutes_to_print_is_refused_unread(query: str) -> None:
    began = time.process_time()
    with pytest.raises(GuardError, match="record a part of it by a rule"):
        enforce(query, OURS)
    assert time.process_time() - began < 1  # it takes 0.1 ms; parsing and printing the sums took 200 s


@pytest.mark.parametrize("value", ['shop"} or up{x="', "a|b", ".*", "", "a b", "ü", "shop\n", "-"])
def test_forged_tenant_values_are_never_enforced(value: str) -> None:
    with pytest.raises(ValueError, match="can't be enforced"):
        check_matchers((("namespace", value),))


@pytest.mark.parametrize("label", ["", "__name__", "a-b", "a b", "9", 'a"'])
def test_forged_tenant_labels_are_never_enforced(label: str) -> None:
    with pytest.raises(ValueError, match="can't be enforced"):
        check_matchers(((label, "shop"),))


PIECES = st.sampled_from(
    ["up", "namespace", '"', "'", "`", "\\", "{", "}", "(", ")", "[5m]", "[$window]", " or ", " and ", ",", "=", "=~",
     "!=", "victim", '="victim"', "sum", "rate", " by ", "#", "\n", " offset 5m", "@ 1", "1", "*", "x22", ":"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join) | st.text(string.printable, max_size=40))
@example('up{a="b\\n"}')
def test_fuzz_whatever_is_written_is_kept_or_refused(query: str) -> None:
    try:
        made = enforce(query, OURS)
    except GuardError:
        return
    assert is_kept(made)
    assert len(selectors(made)) == len(selectors(query))


NAMES = st.sampled_from(["a", "le", "app_kubernetes_io"])
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=12)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4))
def test_the_tenants_own_matchers_stay_what_they_were(matchers: list[tuple[str, str]]) -> None:
    def quoted(text: str) -> str:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'

    query = "up{" + ",".join(f"{name}={quoted(value)}" for name, value in matchers) + "}"
    [[found]] = selectors(enforce(query, OURS))
    assert found == {(name, "=", value) for name, value in matchers} | {("namespace", "=", "shop")}
