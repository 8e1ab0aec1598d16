"""Read YAML 1.2 as plain data with the position of every key and value.

A strict subset: no tags, anchors, aliases or merge keys, no duplicate keys, finite numbers. `1e-4` is a number and
`no` is text, as YAML 1.2 says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Path = tuple[str | int, ...]
MAX_BYTES = 1_000_000
MAX_DEPTH = 30


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text file, both numbers counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a suite, and where."""

    position: Position
    path: Path
    message: str

    def render(self, file: str) -> str:
        """`suite.yaml:6:12 train.alpah: unknown key`."""
        where = ".".join(str(part) for part in self.path)
        return f"{file}:{self.position.line}:{self.position.column} {where + ': ' if where else ''}{self.message}"


@dataclass(slots=True)
class Document:
    """Plain data, the position of each value and key by path, and what was wrong."""

    data: Any = None
    values: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def position(self, path: Path, *, of_key: bool = False) -> Position:
        """The place of the value (or key) at `path`, or of the nearest parent that exists."""
        table = self.keys if of_key else self.values
        while path and path not in table:
            path = path[:-1]
            table = self.values
        return table.get(path, Position(1, 1))


def read(text: str) -> Document:
    """Parse one YAML document; problems are collected, never raised."""
    document = Document()
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        document.problems.append(Problem(Position(1, 1), (), f"the file is over {MAX_BYTES:,} bytes"))
        return document
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = Position(mark.line + 1, mark.column + 1) if mark else Position(1, 1)
        document.problems.append(Problem(position, (), f"not valid YAML: {error.problem or error.context}"))
        return document
    except (YAMLError, RecursionError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        document.problems.append(Problem(Position(1, 1), (), f"not valid YAML: {first_line}"))
        return document
    if node is None:
        document.problems.append(Problem(Position(1, 1), (), "the file is empty"))
        return document
    document.data = _build(node, (), document, seen=set())
    return document


def _mark(node: Node) -> Position:
    return Position(node.start_mark.line + 1, node.start_mark.column + 1)


def _build(node: Node, path: Path, document: Document, seen: set[int]) -> Any:
    position = _mark(node)
    document.values[path] = position

    def refuse(message: str) -> None:
        document.problems.append(Problem(position, path, message))

    if node.anchor or id(node) in seen:
        refuse("anchors and aliases are not allowed; write the value out")
        return None
    seen.add(id(node))
    if len(path) > MAX_DEPTH:
        refuse(f"nested deeper than {MAX_DEPTH} levels")
        return None
    if not str(node.tag or "").startswith("tag:yaml.org,2002:") or _has_explicit_tag(node):
        refuse(f"tags ({node.tag}) are not allowed")
        return None
    if isinstance(node, MappingNode):
        return _build_mapping(node, path, document, seen)
    if isinstance(node, SequenceNode):
        return [_build(item, (*path, index), document, seen) for index, item in enumerate(node.value)]
    try:
        return _scalar(node)
    except ValueError as error:
        refuse(str(error))
        return None


def _has_explicit_tag(node: Node) -> bool:
    kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
    if isinstance(node, ScalarNode):
        # A quoted scalar with a tag other than str was tagged by hand.
        return (node.style in {"'", '"', "|", ">"} and kind != "str") or kind in {"binary", "timestamp_tag"}
    return kind not in {"map", "seq"}


def _build_mapping(node: MappingNode, path: Path, document: Document, seen: set[int]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, ScalarNode):
            document.problems.append(Problem(_mark(key_node), path, "a key must be text"))
            continue
        key = str(key_node.value)
        here = (*path, key)
        if key == "<<":
            document.problems.append(Problem(_mark(key_node), path, "merge keys are not allowed"))
            continue
        if key in result:
            first = document.keys[here]
            message = f"duplicate key; first given on line {first.line}"
            document.problems.append(Problem(_mark(key_node), here, message))
            continue
        document.keys[here] = _mark(key_node)
        result[key] = _build(value_node, here, document, seen)
    return result


def _scalar(node: Node) -> Any:
    kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
    text = str(node.value)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text.replace("_", ""), 0) if text.lstrip("+-")[:2] in {"0x", "0o"} else int(text.replace("_", ""))
    if kind == "float":
        number = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(number):
            raise ValueError(f"{text} is not a finite number")
        return number
    return text
