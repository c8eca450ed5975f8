"""Documents of the flag service: what is served of which object, and what is left out."""

import json
from typing import Any

import pytest

from pilotage.flags import documents
from pilotage.flags.documents import Entry, merge, read_config_map, read_feature_flag
from pilotage.rollout.bucketing_probe import PROBE_FLAG

FINE: dict[str, Any] = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}


def ours(revision: int) -> dict[str, Any]:
    return {**FINE, "metadata": {"pilotage.revision": revision}}


def config_map(name: str, **flags: Any) -> dict[str, Any]:
    texts = {f"{flag}.json": each if isinstance(each, str) else json.dumps(each) for flag, each in flags.items()}
    return {"metadata": {"name": name}, "data": texts}


def feature_flag(name: str, flags: Any, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"flagSpec": {"flags": flags, **spec}}}


def served(*entries: Entry) -> dict[str, Any]:
    """What is served, but for the probe that comes with Pilotage's flags."""
    document: dict[str, Any] = json.loads(merge("shop", entries)[0])["flags"]
    document.pop(PROBE_FLAG, None)
    return document


def test_each_key_of_a_config_map_is_a_flag() -> None:
    entries, faults = read_config_map(config_map("pilot-flags", checkout=ours(3), search=FINE))
    assert [(entry.flag, entry.source) for entry in entries] == [
        ("checkout", "ConfigMap/pilot-flags"),
        ("search", "ConfigMap/pilot-flags"),
    ]
    assert faults == []
    assert read_config_map({"metadata": {"name": "empty"}}) == ([], [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("{", "Expecting"),
        ("null", "no JSON object"),
        ('["on"]', "no JSON object"),
        ("{}", "flagd refuses"),
        ('{"state": "ON", "variants": {"on": true}}', "Incorrect 'state'"),
        ('{"state": "ENABLED", "variants": {}}', "Incorrect 'variants'"),
        ('{"state": "ENABLED", "variants": {"on": true}, "more": 1}', "flagd refuses"),
        ('{"state": "ENABLED", "variants": {"on": true}, "metadata": {"a": null}}', "Metadata value"),
        ('{"state": "ENABLED", "variants": {"on": Infinity}}', "Infinity is no JSON"),
        ('{"state": "ENABLED", "variants": {"on": ' + "[" * 70 + "]" * 70 + "}}", "nested deeper"),
        ("[" * 200_000, ""),
    ],
)
def test_a_broken_entry_is_left_out_and_the_others_stay(text: str, reason: str) -> None:
    entries, faults = read_config_map(config_map("pilot-flags", broken=text, fine=FINE))
    assert [entry.flag for entry in entries] == ["fine"]
    assert [(fault.flag, reason in fault.reason) for fault in faults] == [("broken", True)]


@pytest.mark.parametrize("flags", [None, {"a": None}, {"a": 1}, {"a": {"state": "ENABLED"}}])
def test_a_feature_flag_that_is_broken_is_left_out(flags: Any) -> None:
    assert read_feature_flag(feature_flag("team", flags, metadata={"owner": "x"}))[0] == []


def test_shared_rules_and_metadata_of_a_feature_flag_are_put_into_its_flags() -> None:
    rule = {"==": [{"var": "device"}, "mobile"]}
    using = {**FINE, "targeting": {"if": [{"$ref": "mobile"}, "on", "off"]}, "metadata": {"owner": "b"}}
    found = feature_flag(
        "team", {"banner": using}, **{"$evaluators": {"mobile": rule}, "metadata": {"owner": "a", "n": 1}}
    )
    (entry,), faults = read_feature_flag(found)
    assert entry.definition["targeting"] == {"if": [rule, "on", "off"]}
    assert entry.definition["metadata"] == {"owner": "b", "n": 1}
    assert faults == []


def test_of_two_definitions_of_a_flag_pilotages_is_served_then_the_feature_flag_then_the_first_name() -> None:
    by_hand = Entry("checkout", {**FINE, "defaultVariant": "on"}, "FeatureFlag/a-team")
    killed = Entry("checkout", ours(7), "ConfigMap/pilot-flags")
    assert served(by_hand, killed) == {"checkout": ours(7)}
    assert served(killed, by_hand) == {"checkout": ours(7)}
    later = Entry("checkout", ours(1), "FeatureFlag/pilot-flags")
    assert served(killed, later) == {"checkout": ours(1)}
    first = Entry("checkout", ours(2), "ConfigMap/another")
    assert served(killed, first) == {"checkout": ours(2)}
    _, (fault,) = merge("shop", [killed, first])
    assert (fault.source, fault.reason) == ("ConfigMap/pilot-flags", "ConfigMap/another defines the flag, too")


def test_the_document_names_its_namespace_and_does_not_depend_on_the_order() -> None:
    entries = [Entry(flag, FINE, "ConfigMap/pilot-flags") for flag in ("b", "a", 'odd"name')]
    text, faults = merge("shop", entries)
    assert text == merge("shop", reversed(entries))[0]
    assert json.loads(text)["metadata"] == {"flagSetId": "shop"}
    assert list(json.loads(text)["flags"]) == ["a", "b", 'odd"name', PROBE_FLAG]
    assert faults == []
    assert list(json.loads(merge("shop", [])[0])["flags"]) == [PROBE_FLAG]


def test_what_is_too_large_for_a_client_is_left_out_but_for_pilotages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "DOCUMENT_LIMIT", 2500)
    big = {**FINE, "metadata": {"text": "x" * 1500}}
    bigger = {**FINE, "metadata": {"text": "x" * 1600}}
    entries = [
        Entry("ours", {**bigger, "metadata": {"text": "x" * 1700, "pilotage.revision": 1}}, "ConfigMap/pilot-flags"),
        Entry("big", big, "FeatureFlag/team"),
        Entry("bigger", bigger, "FeatureFlag/team"),
        Entry("small", FINE, "FeatureFlag/team"),
    ]
    text, faults = merge("shop", entries)
    assert sorted(json.loads(text)["flags"]) == ["ours", PROBE_FLAG, "small"]
    assert [fault.flag for fault in faults] == ["bigger", "big"]


def test_text_that_no_encoding_can_write_does_not_stop_the_document() -> None:
    text = merge("shop", [Entry("odd", {**FINE, "metadata": {"text": "\ud800 \u00e9"}}, "ConfigMap/x")])[0]
    assert text.isascii()
