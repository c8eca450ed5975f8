"""OpenSLO documents: what they become, and that nothing of them is lost without a word."""

import contextlib
import copy
import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pilotage.cli.main import main
from pilotage.judging.reading import readable_rules
from pilotage.openslo.convert import Imported, import_openslo
from pilotage.openslo.documents import OpenSloError
from pilotage.openslo.writing import NothingImportedError, write_yaml
from pilotage.resources.indicators import IndicatorTemplate
from pilotage.resources.rollout import PilotRollout

Said = dict[str, Any]


def prometheus(query: str, **more: Any) -> Said:
    return {"metricSource": {"type": "Prometheus", "spec": {"query": query}, **more}}


ERRORS: Said = {
    "counter": True,
    "bad": prometheus('sum(increase(http_requests_total{code=~"5.."}[5m]))'),
    "total": prometheus("sum(increase(http_requests_total[5m]))"),
}


def sli(name: str = "errors", **spec: Any) -> Said:
    spec = spec or {"ratioMetric": ERRORS}
    return {"apiVersion": "openslo/v1", "kind": "SLI", "metadata": {"name": name}, "spec": copy.deepcopy(spec)}


def slo(*objectives: Said, **spec: Any) -> Said:
    spec = {"budgetingMethod": "Occurrences", "objectives": list(objectives or [{"target": 0.99}]), **spec}
    if not {"indicator", "indicatorRef"} & spec.keys():
        spec["indicator"] = {"metadata": {"name": "errors"}, "spec": {"ratioMetric": ERRORS}}
    return {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "checkout"}, "spec": copy.deepcopy(spec)}


def imported(*documents: Said) -> Imported:
    return import_openslo(yaml.safe_dump_all(documents))


def lost(*documents: Said) -> str:
    (note,) = imported(*documents).lost
    return str(note)


def written(*documents: Said) -> tuple[list[IndicatorTemplate], PilotRollout, str]:
    text = write_yaml(imported(*documents), source="slos.yaml", flag="checkout")
    *templates, rollout = [found for found in yaml.safe_load_all(text) if found]
    return [IndicatorTemplate.model_validate(each) for each in templates], PilotRollout.model_validate(rollout), text


def test_a_ratio_of_bad_and_total_becomes_errors_and_total_and_its_target_the_errors_that_are_allowed() -> None:
    (template,), rollout, _ = written(slo({"target": 0.999}))
    assert template.spec.errors == 'sum(increase(http_requests_total{code=~"5.."}[$window]))'
    assert template.spec.total == "sum(increase(http_requests_total[$window]))"
    assert template.spec.window == "5m"
    assert [(each.indicator, each.objective) for each in rollout.spec.objectives] == [("errors", "<= 0.1%")]
    assert rollout.spec.paused


@pytest.mark.parametrize(
    ("said", "bound"),
    [
        ({"target": 0.98}, "<= 2%"),
        ({"target": 0.9995}, "<= 0.05%"),
        ({"targetPercent": 99.99}, "<= 0.01%"),
        ({"targetPercent": 99}, "<= 1%"),
        ({"target": 0}, "<= 100%"),
        ({"target": 1e-7}, "<= 99.99999%"),
    ],
)
def test_a_target_is_turned_into_a_bound_without_rounding(said: Said, bound: str) -> None:
    assert [each.bound for each in imported(slo(said)).objectives] == [bound]


def test_good_events_are_counted_as_errors_that_a_total_outage_shows() -> None:
    ratio = {**ERRORS, "good": prometheus("sum(increase(ok_total[5m]))")}
    del ratio["bad"]
    (indicator,) = imported(slo(indicator={"spec": {"ratioMetric": ratio}})).indicators
    total = "sum(increase(http_requests_total[$window]))"
    good = "sum(increase(ok_total[$window]))"
    assert indicator.measure["errors"] == f"clamp_min(({total}) - (({good}) or ({total}) * 0), 0)"
    assert "errors are total less good" in indicator.notes


@pytest.mark.parametrize(("kind", "bound"), [("success", ">= 99%"), ("failure", "<= 1%")])
def test_a_ready_ratio_keeps_its_direction(kind: str, bound: str) -> None:
    ratio = {"rawType": kind, "raw": prometheus("job:availability:ratio")}
    found = imported(slo({"target": 0.99}, indicator={"spec": {"ratioMetric": ratio}}))
    assert [each.bound for each in found.objectives] == [bound]
    assert found.indicators[0].measure["unit"] == "ratio"
    assert not found.notes


@pytest.mark.parametrize(
    ("op", "value", "bound"), [("lt", 0.5, "< 0.5"), ("lte", 500, "<= 500"), ("gt", 1, "> 1"), ("gte", -2, ">= -2")]
)
def test_a_threshold_keeps_its_operator_and_value_and_says_that_it_has_no_unit(
    op: str, value: float, bound: str
) -> None:
    metric = prometheus("histogram_quantile(0.95, sum by (le) (rate(http_seconds_bucket[10m])))")
    said = slo({"op": op, "value": value, "targetPercent": 95}, indicator={"spec": {"thresholdMetric": metric}})
    (template,), rollout, text = written(said)
    assert rollout.spec.objectives[0].objective == bound
    assert (
        template.spec.query == "histogram_quantile(0.95, sum by (le) (rate(http_seconds_bucket[$window])))"
    )  # a rate of buckets stays one
    assert template.spec.window == "10m"
    assert "OpenSLO knows no units" in text
    assert "target 95% is not carried over" in text


def test_an_sli_of_its_own_is_found_by_its_name_wherever_it_stands() -> None:
    templates, rollout, _ = written(slo({"target": 0.99}, indicatorRef="errors"), sli("errors"), sli("Other.SLI"))
    assert [template.metadata.name for template in templates] == ["errors", "other-sli"]
    assert [each.name for each in rollout.spec.indicators] == ["errors", "other-sli"]
    assert [each.indicator for each in rollout.spec.objectives] == ["errors"]


def test_names_are_made_to_fit_and_told_apart() -> None:
    inline = {"metadata": {"name": "404/ratio"}, "spec": {"ratioMetric": ERRORS}}
    made = imported(sli("i-404.ratio"), slo(indicator=inline))
    assert [each.name for each in made.indicators] == ["i-404-ratio", "i-404-ratio-2"]
    assert any("'404/ratio' became 'i-404-ratio-2'" in note for note in made.indicators[1].notes)


def test_several_targets_are_several_objectives() -> None:
    found = imported(slo({"displayName": "Good", "target": 0.99}, {"displayName": "Best", "targetPercent": 99.9}))
    assert [(each.bound, each.notes[0]) for each in found.objectives] == [("<= 1%", "Good"), ("<= 0.1%", "Best")]


@pytest.mark.parametrize(
    ("document", "field", "said"),
    [
        (slo({}), "spec.objectives[0].target", "is missing: write target, such as 0.999"),
        (slo({"target": 99.9}), "spec.objectives[0].target", "99.9 is not in [0, 1): write 0.999, or targetPercent"),
        (slo({"targetPercent": 100}), "spec.objectives[0].targetPercent", "100 is not in [0, 100)"),
        (slo({"target": 0.9, "targetPercent": 90}), "spec.objectives[0].targetPercent", "leave one of them out"),
        (slo({"target": "high"}), "spec.objectives[0].target", "'high' is not a number"),
        (slo({"target": True}), "spec.objectives[0].target", "True is not a number"),
        (slo({"target": float("nan")}), "spec.objectives[0].target", "is not a number"),
        (slo({"target": 0.123456789012}), "spec.objectives[0].target", "round it"),
        (slo({"indicatorRef": "x"}), "spec.objectives[0].indicatorRef", "composite SLOs are not imported"),
        (slo({"compositeWeight": 1}), "spec.objectives[0].compositeWeight", "composite SLOs are not imported"),
        (slo(objectives=[]), "spec.objectives", "is missing: an SLO has at least one objective"),
        (slo(objectives={"target": 0.9}), "spec.objectives", "is not a list"),
        (slo(objectives=[0.9]), "spec.objectives[0]", "is not an object with fields"),
        (slo(indicatorRef="gone"), "spec.indicatorRef", "there is no SLI 'gone' in the file"),
        (slo(indicatorRef="x", indicator={}), "spec.indicator", "give exactly one of indicator and indicatorRef"),
        (slo(indicatorRef=7), "spec.indicatorRef", "7 is not a text: put it in quotes"),
        (slo(indicator={"metadata": {}}), "spec.indicator.spec", "is missing"),
        (
            slo(indicator={"spec": {"ratioMetric": ERRORS, "thresholdMetric": prometheus("x")}}),
            "spec.indicator.spec",
            "give exactly one of thresholdMetric and ratioMetric",
        ),
        (sli(ratioMetric={"total": prometheus("x")}), "spec.ratioMetric", "give exactly one of good and bad"),
        (sli(ratioMetric={"bad": prometheus("x[5m]")}), "spec.ratioMetric.total", "is missing"),
        (sli(ratioMetric={**ERRORS, "rawType": "success"}), "spec.ratioMetric.rawType", "belongs to raw"),
        (sli(ratioMetric={"raw": prometheus("x")}), "spec.ratioMetric.rawType", "'nothing' is neither success nor"),
        (sli(ratioMetric={**ERRORS, "raw": prometheus("x")}), "spec.ratioMetric.rawType", "is neither success nor"),
        (
            sli(ratioMetric={**ERRORS, "raw": prometheus("x"), "rawType": "success"}),
            "spec.ratioMetric.bad",
            "stands beside raw",
        ),
        (sli(thresholdMetric={}), "spec.thresholdMetric.metricSource", "is missing: it holds the query"),
        (
            sli(thresholdMetric={"metricSource": {"type": "Datadog", "spec": {"query": "x"}}}),
            "spec.thresholdMetric.metricSource.type",
            "Datadog can't be asked: indicators are PromQL",
        ),
        (
            sli(thresholdMetric={"metricSource": {"type": "Prometheus", "spec": {}}}),
            "spec.thresholdMetric.metricSource.spec.query",
            "is missing: write the PromQL there",
        ),
        (
            sli(ratioMetric={**ERRORS, "total": prometheus("sum(a) + sum(b)")}),
            "spec.ratioMetric.total.metricSource.spec.query",
            "no range says over which time 'sum(a) + sum(b)' counts: write increase(...[5m])",
        ),
        (sli(thresholdMetric=prometheus("x" * 2049)), "spec", "makes a query of 2049 characters"),
        ({**sli(), "kind": "SLX"}, "kind", "is no kind of OpenSLO v1"),
        ({**sli(), "spec": None}, "spec", "is missing"),
    ],
)
def test_what_cant_be_imported_is_told_with_document_and_field(document: Said, field: str, said: str) -> None:
    told = lost(document)
    assert told.startswith(f"{document['kind']} {document['metadata']['name']} is not imported: {field}: ")
    assert said in told


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (
            {**sli(), "apiVersion": "openslo/v1alpha"},
            "document 1 is not imported: apiVersion: 'openslo/v1alpha' is not",
        ),
        ({"kind": "SLI"}, "document 1 is not imported: apiVersion: 'nothing' is not openslo/v1"),
        ({**sli(), "kind": None}, "document 1 is not imported: kind: is missing"),
        ({**sli(), "metadata": {}}, "document 1 is not imported: metadata.name: is missing"),
    ],
)
def test_a_document_that_is_none_is_told_by_its_place(document: Said, told: str) -> None:
    assert lost(document).startswith(told)


def test_a_threshold_metric_needs_operator_and_value_and_has_one_objective() -> None:
    indicator = {"spec": {"thresholdMetric": prometheus("x")}}
    assert "spec.objectives[0].op: 'nothing' is none of lt, lte, gt, gte" in lost(
        slo({"value": 1}, indicator=indicator)
    )
    assert "spec.objectives[0].op: 'eq' is none of" in lost(slo({"op": "eq", "value": 1}, indicator=indicator))
    assert "spec.objectives[0].value: is missing" in lost(slo({"op": "lt", "target": 0.9}, indicator=indicator))
    two = [{"op": "lt", "value": 1}, {"op": "lt", "value": 2}]
    assert "a thresholdMetric has exactly one objective" in lost(slo(*two, indicator=indicator))


def test_two_slis_of_one_name_are_refused() -> None:
    assert "there are two SLIs errors: rename one" in lost(sli(), sli())


def test_a_lost_document_leaves_nothing_behind_and_the_others_stay() -> None:
    made = imported(slo({"target": 0.99}, {"target": 2}), sli("kept"))
    assert ([each.name for each in made.indicators], made.objectives) == (["kept"], [])


def test_every_field_that_has_no_counterpart_is_told() -> None:
    said = slo(
        {"target": 0.99, "op": "lt", "value": 3, "timeSliceTarget": 0.9, "timeSliceWindow": "1m", "extra": 1},
        service="shop",
        description="d",
        alertPolicies=[{"kind": "AlertPolicy"}],
        budgetingMethod="Timeslices",
        timeWindow=[{"duration": "1M", "calendar": {"startTime": "2026-01-01 00:00:00", "timeZone": "Europe/Berlin"}}],
    )
    said["metadata"] |= {"displayName": "Checkout", "labels": {"team": "a"}, "annotations": {"b": "c"}}
    _, _, text = written(said)
    text = " ".join(text.replace("#", " ").split())
    for field in (
        *("metadata.displayName", "metadata.labels", "metadata.annotations"),
        *("spec.service", "spec.description", "spec.alertPolicies", "spec.objectives[0].extra"),
    ):
        assert f"SLO checkout: {field}: not carried over" in text
    for note in (
        "op and value belong to a thresholdMetric: not carried over",
        "timeSliceTarget 0.9 is not carried over",
        "timeSliceWindow 1m is not carried over",
        "budgetingMethod Timeslices is not carried over",
        "timeWindow 1M is not carried over",
        "days are counted in spec.timeZone: Europe/Berlin",
    ):
        assert note in text


@pytest.mark.parametrize("kind", ["Service", "DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget"])
def test_other_kinds_are_left_out_with_a_note(kind: str) -> None:
    other = {"apiVersion": "openslo/v1", "kind": kind, "metadata": {"name": "o"}, "spec": {"type": "x"}}
    made = imported(sli(), other)
    assert any((note.document, note.field) == (f"{kind} o", "kind") for note in made.notes)
    assert not made.lost


def test_the_type_of_a_data_source_is_that_of_the_metrics_that_refer_to_it() -> None:
    source = {"apiVersion": "openslo/v1", "kind": "DataSource", "metadata": {"name": "dd"}, "spec": {"type": "Datadog"}}
    metric = {"metricSource": {"metricSourceRef": "dd", "spec": {"query": "x"}}}
    assert "Datadog can't be asked" in lost(source, sli(thresholdMetric=metric))
    source["spec"] = {"type": "Prometheus"}
    assert not imported(source, sli(thresholdMetric=metric)).lost


def test_a_field_that_is_said_twice_is_refused() -> None:
    with pytest.raises(OpenSloError, match="'kind' is said twice"):
        import_openslo("kind: SLI\nkind: SLO\n")


@pytest.mark.parametrize("text", ["a: [", "a: 2020-13-45", "\x00", "? [a]: b\n: c"])
def test_what_is_no_yaml_is_refused(text: str) -> None:
    with pytest.raises(OpenSloError, match="this is not YAML"):
        import_openslo(text)


@pytest.mark.parametrize("text", ["", "---\n---\n", "just text", "[1, 2]", "3"])
def test_nothing_to_import_is_said(text: str) -> None:
    with pytest.raises(NothingImportedError, match="no document made an indicator"):
        write_yaml(import_openslo(text), source="x", flag="x")


def test_more_than_a_rollout_can_hold_is_said() -> None:
    made = imported(*(sli(f"s{number}") for number in range(33)))
    with pytest.raises(NothingImportedError, match="33 indicators are more than a rollout's 32"):
        write_yaml(made, source="x", flag="x")


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just("sum(rate(x[5m]))"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    [
        *("metadata", "name", "displayName", "spec", "indicator", "indicatorRef", "objectives", "target"),
        *("targetPercent", "op", "value", "timeWindow", "budgetingMethod", "ratioMetric", "thresholdMetric", "good"),
        *("bad", "total", "raw", "rawType", "counter", "metricSource", "type", "query", "description"),
    ]
)


@given(st.data())
def test_whatever_is_put_into_documents_they_are_imported_or_refused_with_a_reason(data: st.DataObject) -> None:
    documents = copy.deepcopy([slo({"target": 0.99}, {"targetPercent": 99}), sli("latency")])
    for _ in range(data.draw(st.integers(1, 4))):
        node: Any = data.draw(st.sampled_from(documents))
        while children := [value for value in node.values() if isinstance(value, dict) and value]:
            if data.draw(st.booleans()):
                break
            node = data.draw(st.sampled_from(children))
        node[data.draw(fields)] = data.draw(anything)
    with contextlib.suppress(OpenSloError, NothingImportedError):
        made = import_openslo(yaml.safe_dump_all(documents, allow_unicode=True))
        assert_understood(write_yaml(made, source="x\n- y", flag="x"))


def assert_understood(text: str) -> None:
    *templates, rollout = [found for found in yaml.safe_load_all(text) if found]
    specs = {each["metadata"]["name"]: IndicatorTemplate.model_validate(each).spec for each in templates}
    _, wrong = readable_rules(PilotRollout.model_validate(rollout).spec, specs, namespace="shop", name="x")
    assert not wrong


def test_the_command_writes_to_standard_output_and_tells_the_rest_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "Shop_SLOs.yaml"
    file.write_text(yaml.safe_dump_all([slo(service="shop")]))
    assert main(["import", "openslo", str(file)]) == 0
    said = capsys.readouterr()
    *_, rollout = yaml.safe_load_all(said.out)
    assert (rollout["metadata"]["name"], rollout["spec"]["feature"]["flag"]) == ("shop-slos", "shop-slos")
    assert said.err == "SLO checkout: spec.service: not carried over\n"
    assert str(tmp_path) not in said.out


def test_the_command_writes_a_file_and_reads_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump_all([slo()])))
    output = tmp_path / "made.yaml"
    assert main(["import", "openslo", "-", "-o", str(output), "--flag", "checkout"]) == 0
    assert capsys.readouterr().out == ""
    assert 'name: "checkout"' in output.read_text()


def test_the_command_fails_if_a_document_was_left_out_and_still_writes_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "slos.yaml"
    file.write_text(yaml.safe_dump_all([sli(), slo({"target": 2})]))
    assert main(["import", "openslo", str(file)]) == 1
    said = capsys.readouterr()
    assert "kind: PilotRollout" in said.out
    assert "SLO checkout is not imported: spec.objectives[0].target: 2 is not in [0, 1)" in said.err


@pytest.mark.parametrize(
    ("content", "arguments", "status", "told"),
    [
        (None, [], 1, "nothing was imported: "),
        (b"a: [", [], 1, "nothing was imported: this is not YAML"),
        (b"\xff\xfe\xff", [], 1, "nothing was imported: "),
        (b"{}", [], 1, "nothing was imported: no document made an indicator"),
        (b"{}", ["--flag", "My Flag"], 2, "'My Flag' can't name a rollout; write my-flag"),
    ],
)
def test_the_command_says_why_nothing_was_imported(
    content: bytes | None,
    arguments: list[str],
    status: int,
    told: str,
    *,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "slos.yaml"
    if content is not None:
        file.write_bytes(content)
    assert main(["import", "openslo", str(file), *arguments]) == status
    said = capsys.readouterr()
    assert told in said.err
    assert said.out == ""
