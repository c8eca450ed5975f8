"""flagd's own evaluator on one flag definition: what is checked here is what applications will see.

A definition is what flagd's format holds under one flag's key: state, variants, defaultVariant, targeting, metadata.
"""

import json
from collections.abc import Mapping
from typing import Any

from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

Definition = dict[str, Any]

REVISION = "pilotage.revision"
"""Key of a definition's metadata: the revision of the exposure that it carries."""

_FLAG = "flag"
_BROKEN = (OpenFeatureError, TypeError, ValueError, AttributeError, KeyError, IndexError, ReferenceError)
"""What the evaluator raises about a definition that it can't use."""


class DefinitionError(ValueError):
    """A definition that flagd's evaluators refuse."""


class Evaluator:
    """Evaluates one boolean flag's definition, as an application does.

    Raises:
        DefinitionError: evaluators refuse the definition; one that they are given with others takes all of them down.
    """

    def __init__(self, definition: Mapping[str, Any]) -> None:
        self._core = FlagdCore()
        try:
            # As text, because the evaluator changes the dicts that it is given.
            self._core.set_flags(json.dumps({"flags": {_FLAG: definition}}))
        except _BROKEN as error:
            raise DefinitionError(f"flagd refuses the definition: {error or error.__cause__}") from error

    def variant(self, context: Mapping[str, Any]) -> str | None:
        """The variant served for a context (attributes, `targetingKey` among them); None if the evaluation fails."""
        given = EvaluationContext(context.get("targetingKey"), context)
        try:
            return self._core.resolve_boolean_value(_FLAG, default_value=False, ctx=given).variant
        except _BROKEN:
            return None


def revision_of(definition: Mapping[str, Any] | None) -> int | None:
    """The revision of the exposure that a definition carries; None if it is none of ours."""
    metadata = (definition or {}).get("metadata")
    revision = metadata.get(REVISION) if isinstance(metadata, Mapping) else None
    # Numbers that went through protobuf or Go come back as floats.
    return int(revision) if isinstance(revision, int | float) else None
