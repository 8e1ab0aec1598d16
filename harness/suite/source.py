"""Read YAML 1.2 as plain data with the position of every key and value.

A strict subset: no tags, anchors, aliases or merge keys, no duplicate keys, finite numbers. `1e-4` is a number and
`no` is text, as YAML 1.2 says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StringMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.reader import ReaderError

from harness.limits import JSON_DIGITS, YAML_BYTES, YAML_DEPTH

Path = tuple[str | int, ...]

# The core schema of YAML 1.2 (10.3.2), which is all that a plain scalar may be beside text.
_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOLEAN = re.compile(r"(?:true|True|TRUE|(false|False|FALSE))\Z")
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL_OR_HEXADECIMAL = re.compile(r"0(?:o[0-7]+|x[0-9a-fA-F]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_SURROGATE = re.compile("[\ud800-\udfff]")  # an escape can write one; no file or terminal takes it
_NOT_FINITE = re.compile(r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z")


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

    def refuse(self, position: Position, path: Path, message: str) -> None:
        """Note one thing that is wrong."""
        self.problems.append(Problem(position, path, message))

    def position(self, path: Path, *, of_key: bool = False) -> Position:
        """The place of the value (or key) at `path`, or of the nearest parent that exists."""
        table = self.keys if of_key else self.values
        while path and path not in table:
            path = path[:-1]
            table = self.values
        return table.get(path, Position(1, 1))


def read(text: str, *, most_bytes: int = YAML_BYTES) -> Document:
    """Parse one YAML document; problems are collected, never raised."""
    document = Document()
    if len(text.encode("utf-8", "replace")) > most_bytes:
        document.refuse(Position(1, 1), (), f"the file is over {most_bytes:,} bytes")
        return document
    try:
        _Reader(YAML(typ="safe", pure=True).parse(text), document).read()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.refuse(
            _place(mark) if mark else Position(1, 1), (), f"not valid YAML: {error.problem or error.context}"
        )
        document.data = None
    except ReaderError as error:  # it counts characters, and quotes one
        line, column = text.count("\n", 0, error.position), error.position - text.rfind("\n", 0, error.position)
        document.refuse(
            Position(line + 1, column), (), f"not valid YAML: the character U+{error.character:04X} is not allowed"
        )
        document.data = None
    except (YAMLError, ValueError, OverflowError) as error:  # the parser makes a character of "\UFFFFFFFF"
        known = (Position(1, 1), *document.values.values(), *document.keys.values())
        last = max(known, key=lambda position: (position.line, position.column))
        document.refuse(last, (), f"not valid YAML from here on: {' '.join(str(error).split())}")
        document.data = None
    except _TooDeepError:
        document.data = None
    return document


class _TooDeepError(Exception):
    """What follows is not looked at, since it may be nested without end."""


class _Reader:
    """Builds plain data from the parser's events, so that whatever is refused is seen where it is written."""

    def __init__(self, events: Iterator[Event], document: Document) -> None:
        self._events, self._document = events, document

    def read(self) -> None:
        """Read the one document there may be."""
        found = False
        for event in self._events:
            if isinstance(event, DocumentStartEvent):
                if event.version or event.tags:
                    self._refuse(event, (), "directives (%) are not allowed")
                if found:
                    self._refuse(event, (), "not valid YAML: found another document; one file is one document")
            elif isinstance(event, NodeEvent):
                value = self._value(event, ())
                self._document.data = self._document.data if found else value
                found = True
        if not found:
            self._document.refuse(Position(1, 1), (), "the file is empty")

    def _refuse(self, event: Event, path: Path, message: str) -> None:
        self._document.refuse(_place(event.start_mark), path, message)

    def _value(self, event: Event, path: Path) -> Any:
        assert isinstance(event, NodeEvent)
        self._document.values.setdefault(path, _place(event.start_mark))
        if isinstance(event, AliasEvent) or event.anchor:
            self._refuse(event, path, "anchors and aliases are not allowed; write the value out")
        elif isinstance(event, ScalarEvent | CollectionStartEvent) and event.ctag is not None:
            self._refuse(event, path, f"tags ({event.ctag}) are not allowed")
        if len(path) > YAML_DEPTH:
            self._refuse(event, path[:2], f"nested deeper than {YAML_DEPTH} levels")
            raise _TooDeepError
        if isinstance(event, MappingStartEvent):
            return self._mapping(path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        if not isinstance(event, ScalarEvent):
            return None
        try:
            return _scalar(event)
        except ValueError as error:
            self._refuse(event, path, str(error))
            return None

    def _sequence(self, path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._value(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key = self._key(event, path)
            if key is None or key in result:
                if key is not None:
                    first = self._document.keys[*path, key]
                    self._refuse(event, (*path, key), f"duplicate key; first given on line {first.line}")
                # Its value is read for what is wrong with it, and then dropped.
                self._value(next(self._events), (*path, key or "?"))
                continue
            self._document.keys[*path, key] = _place(event.start_mark)
            result[key] = self._value(next(self._events), (*path, key))
        return result

    def _key(self, event: Event, path: Path) -> str | None:
        """The text of a key; None when it is none that is allowed."""
        if not isinstance(event, ScalarEvent):
            self._refuse(event, path, "a key must be text")
            self._value(event, (*path, "?"))
            return None
        if event.anchor or event.ctag is not None:
            self._refuse(event, path, "anchors and tags are not allowed")
        if _SURROGATE.search(event.value):
            self._refuse(event, path, "a lone surrogate is not text")
            return None
        if event.value == "<<":
            self._refuse(event, path, "merge keys are not allowed")
            return None
        return str(event.value)


def _place(mark: StringMark) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _scalar(event: ScalarEvent) -> Any:
    """The value of a scalar; ValueError for a number that is none."""
    text = str(event.value)
    if _SURROGATE.search(text):
        raise ValueError("a lone surrogate is not text")
    if event.style is not None:  # quoted, or a block
        return text
    if _NULL.match(text):
        return None
    if found := _BOOLEAN.match(text):
        return found[1] is None
    if _OCTAL_OR_HEXADECIMAL.match(text):
        return int(text, 0)
    if _INTEGER.match(text):
        if len(text) > JSON_DIGITS:
            raise ValueError(f"an integer of more than {JSON_DIGITS} digits")
        return int(text)
    if _NOT_FINITE.match(text) or (_FLOAT.match(text) and not math.isfinite(float(text))):
        raise ValueError(f"{text} is not a finite number")
    return float(text) if _FLOAT.match(text) else text
