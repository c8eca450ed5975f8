"""OpenSLO documents: YAML read into nodes that know their path and which of their fields nobody took."""

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import yaml

API_VERSION = "openslo/v1"


class OpenSloError(ValueError):
    """The text can't be read at all; the message says where."""


class FieldError(ValueError):
    """A field without which its document can't be imported: its path, and a sentence with the remedy."""

    def __init__(self, field: str, message: str) -> None:
        """Keep field and message apart."""
        self.field = field
        self.message = message
        super().__init__(f"{field}: {message}")


@dataclass(frozen=True, slots=True)
class Note:
    """What a user has to know about one field.

    Attributes:
        document: such as `SLO search-latency`.
        field: its path, such as `spec.timeWindow[0].duration`.
        message: what became of it.
        lost: whether the whole document was left out because of it.
    """

    document: str
    field: str
    message: str
    lost: bool = False

    def __str__(self) -> str:
        """One line."""
        return f"{self.document}{' is not imported' if self.lost else ''}: {self.field}: {self.message}"


class Node:
    """A mapping within a document. Fields are taken one by one; what was not taken can be told."""

    def __init__(self, said: Mapping[str, object], path: str = "") -> None:
        """Keep the mapping and its path from the document's root."""
        self._said = said
        self._taken: set[str] = set()
        self._nodes: list[Node] = []
        self.path = path

    def at(self, key: str) -> str:
        """The path of a field."""
        return f"{self.path}.{key}" if self.path else key

    def take(self, key: str) -> object:
        """The field's value; None if it is absent."""
        self._taken.add(key)
        return self._said.get(key)

    def node(self, key: str) -> "Node | None":
        """The field's mapping; None if it is absent.

        Raises:
            FieldError: it is something else.
        """
        found = self.take(key)
        return None if found is None else self._node(found, self.at(key))

    def nodes(self, key: str) -> "list[Node]":
        """The field's list of mappings; empty if it is absent.

        Raises:
            FieldError: it is something else.
        """
        found = self.take(key)
        if found is None:
            return []
        if not isinstance(found, list):
            raise FieldError(self.at(key), "is not a list: write each item with `-`")
        return [self._node(item, f"{self.at(key)}[{index}]") for index, item in enumerate(found)]

    def text(self, key: str) -> str:
        """The field's text; empty if it is absent.

        Raises:
            FieldError: it is something else.
        """
        found = self.take(key)
        if found is None:
            return ""
        if not isinstance(found, str):
            raise FieldError(self.at(key), f"{found!r} is not a text: put it in quotes")
        return found.strip()

    def number(self, key: str) -> Decimal | None:
        """The field's number as it was written; None if it is absent.

        Raises:
            FieldError: it is something else.
        """
        found = self.take(key)
        if found is None:
            return None
        try:
            number = Decimal(str(found))
        except InvalidOperation:
            number = Decimal("NaN")
        if isinstance(found, bool) or not number.is_finite():
            raise FieldError(self.at(key), f"{found!r} is not a number")
        return number

    def untaken(self) -> Iterator[str]:
        """The paths of the fields that nobody took."""
        yield from (self.at(key) for key in self._said if key not in self._taken)
        for node in self._nodes:
            yield from node.untaken()

    def _node(self, found: object, path: str) -> "Node":
        if not isinstance(found, dict):
            raise FieldError(path, "is not an object with fields")
        node = Node({str(key): value for key, value in found.items()}, path)
        self._nodes.append(node)
        return node


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a known kind.

    Attributes:
        kind: such as SLO.
        name: from its metadata.
        root: its fields.
    """

    kind: str
    name: str
    root: Node

    def __str__(self) -> str:
        """How it is named to users."""
        return f"{self.kind} {self.name}"


def read_documents(text: str) -> tuple[list[Document], list[Note]]:
    """The OpenSLO documents of a YAML text, and notes on what is none.

    Raises:
        OpenSloError: the text is no YAML, or says a field twice.
    """
    try:
        loaded = list(yaml.load_all(text, _Loader))
    # Dates that don't exist are a ValueError, and too deep a nesting a RecursionError.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise OpenSloError(f"this is not YAML: {error}") from error
    documents: list[Document] = []
    notes: list[Note] = []
    for number, said in enumerate(loaded, start=1):
        if said is None:
            continue
        try:
            documents.append(_document(said))
        except FieldError as error:
            notes.append(Note(f"document {number}", error.field, error.message, lost=True))
    return documents, notes


def _document(said: object) -> Document:
    if not isinstance(said, dict):
        raise FieldError("document", "is not an object with apiVersion, kind, metadata and spec")
    root = Node({str(key): value for key, value in said.items()})
    version = root.text("apiVersion")
    if version != API_VERSION:
        raise FieldError(
            "apiVersion", f"{version or 'nothing'!r} is not {API_VERSION}, which alone is read: convert it"
        )
    kind = root.text("kind")
    metadata = root.node("metadata")
    name = metadata.text("name") if metadata else ""
    if not kind:
        raise FieldError("kind", "is missing: write SLO or SLI")
    if not name:
        raise FieldError("metadata.name", "is missing: each document needs a name")
    return Document(kind, name, root)


class _Loader(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys; here they are an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """PyYAML's hook for mappings."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in keys:
            if keys.count(key) > 1 and key != "<<":
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is said twice", node.start_mark)
        return super().construct_mapping(node, deep)
