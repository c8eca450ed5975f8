"""How pydantic models become structural schemas."""

from typing import Annotated, Literal, Optional

import pytest
from pydantic import ConfigDict, Field

from pilotage.resources.base import Duration, Model
from pilotage.resources.cel import KEY, Validation, each, literal, reads, validations
from pilotage.resources.schema import structural_schema, without_defaults


class Inner(Model):
    """An inner thing."""

    size: Annotated[int, Field(gt=0, lt=10)] = 5
    """size of it."""
    names: tuple[str, ...] = ()
    """names of it."""
    other: str | None = None
    """other name."""


class Outer(Model):
    """An outer thing
    in two lines.
    """

    inner: Inner = Inner(size=7)
    """inner thing."""
    mode: Literal["only"] = "only"
    """mode of it."""
    large: Annotated[int, Field(ge=0)]
    """large number."""
    things: tuple[Inner, ...] = ()
    """things in it."""


class Node(Model):
    """A node that holds nodes."""

    child: Optional["Node"] = None


class Either(Model):
    """A union of two."""

    value: Inner | str


def test_references_are_put_in_place_and_the_field_describes_them() -> None:
    inner = structural_schema(Outer)["properties"]["inner"]
    assert inner["description"] == "inner thing."
    assert inner["properties"]["size"]["type"] == "integer"
    assert structural_schema(Outer)["properties"]["things"]["items"]["description"] == "An inner thing."


def test_a_description_is_one_line() -> None:
    assert structural_schema(Outer)["description"] == "An outer thing in two lines."


def test_exclusive_bounds_are_those_of_openapi() -> None:
    size = structural_schema(Inner)["properties"]["size"]
    assert (size["minimum"], size["exclusiveMinimum"]) == (0, True)
    assert (size["maximum"], size["exclusiveMaximum"]) == (10, True)


def test_optional_is_absent_not_null() -> None:
    other = structural_schema(Inner)["properties"]["other"]
    assert other == {"description": "other name.", "type": "string"}


def test_the_default_of_an_inner_thing_is_told_in_full() -> None:
    assert structural_schema(Outer)["properties"]["inner"]["default"] == {"size": 7, "names": []}


def test_one_allowed_value_is_an_enum() -> None:
    mode = structural_schema(Outer)["properties"]["mode"]
    assert mode["enum"] == ["only"]
    assert "const" not in mode


def test_integers_say_their_width() -> None:
    schema = structural_schema(Outer)["properties"]
    assert schema["large"]["format"] == "int64"

    class Small(Model):
        """A small thing."""

        size: Annotated[int, Field(ge=0, le=100)]

    assert structural_schema(Small)["properties"]["size"]["format"] == "int32"


def test_a_thing_within_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="Node refers to itself"):
        structural_schema(Node)


def test_a_union_is_refused() -> None:
    with pytest.raises(ValueError, match="a union"):
        structural_schema(Either)


def test_status_loses_its_defaults_at_every_depth() -> None:
    assert "default" not in str(without_defaults(structural_schema(Outer)))


def test_rules_add_up_from_type_to_field() -> None:
    class Timed(Model):
        """A thing with a time."""

        model_config = ConfigDict(json_schema_extra=validations(Validation("true", "whole")))

        hold: Annotated[Duration, Validation("self != '0s'", "not zero")]

    schema = structural_schema(Timed)
    assert [rule["message"] for rule in schema[KEY]] == ["whole"]
    assert [rule["message"] for rule in schema["properties"]["hold"][KEY]][1:] == ["not zero"]


def test_a_rule_over_a_list_names_the_first_bad_item() -> None:
    made = each("s < 1", "item %d: %s is too small", "i", "s", message="too small", listed="self.sizes").to_schema()
    assert made == {
        "rule": "self.sizes.all(i, s, !(s < 1))",
        "message": "too small",
        "messageExpression": 'self.sizes.transformList(i, s, s < 1, r"item %d: %s is too small".format([i, s]))[0]',
    }


def test_a_pattern_is_quoted_raw() -> None:
    assert reads(r"^\[a\]'$", "m").rule == r"""self.matches(r"^\[a\]'$")"""
    with pytest.raises(ValueError, match="double quote"):
        literal('"')
