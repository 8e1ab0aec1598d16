"""Structured output: the one JSON extractor, JSON Schema validity, and field-level F1."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness import strict_json
from harness.confined.function import NoResult, remembered
from harness.errors import InvalidInputError
from harness.limits import BRACKETS, JSON_DEPTH
from harness.records import Score, ScoreResult, Unscored

MAX_MESSAGE = 200  # characters; a longer message quotes the answer at length
NOT_JSON, NOT_JUDGED = "not JSON", "not judged"  # stand for the keyword that refused

_OPENING = re.compile(r"[{\[]")
# Finds where a value ends; strictness is judged on the span it finds, so numbers stay text.
_SPAN = json.JSONDecoder(parse_int=str, parse_float=str)
_PROBES = ("null", "true", "0", '""', "[]")  # one of each type but object

Faults = list[tuple[str, str, str]]  # the keyword that refused, the path, and what is wrong; sorted by path
Leaf = tuple[tuple[str | int, ...], str, Any]


@dataclass(frozen=True, slots=True)
class NoJson:
    """No JSON value could be extracted, and why."""

    reason: str


def extract_json(text: str) -> Any | NoJson:
    """The JSON value an answer holds: the whole text, else the first object or array in it.

    Leading prose, trailing text and code fences are allowed; the value itself is parsed strictly, and a first
    value that only a lenient parser accepts (NaN, a key given twice) is not passed over for a later one. A
    number, string, true, false or null counts only when it is the whole text, since prose is full of them.
    """
    with contextlib.suppress(strict_json.StrictJsonError):
        return strict_json.parse(text.strip())
    reason = ""
    position = 0
    for _ in range(BRACKETS):
        opening = _OPENING.search(text, position)
        if opening is None:
            return NoJson(f"no JSON object or array{reason}")
        start = opening.start()
        try:
            _, end = _SPAN.raw_decode(text, start)
        except json.JSONDecodeError as error:
            # On from the failure, not from the bracket: the members of a value that breaks off later are not
            # the answer.
            position = max(error.pos, start + 1)
            reason = reason or f": {error}"
            continue
        except RecursionError:
            return NoJson(f"nested deeper than {JSON_DEPTH} levels")
        try:
            return strict_json.parse(text[start:end])
        except strict_json.StrictJsonError as error:
            return NoJson(error.problem)
    return NoJson(f"none of the first {BRACKETS:,} brackets opens a JSON object or array")


class SchemaValidator:
    """A JSON Schema (Draft 2020-12) that judges raw answers, in a process with limits of its own.

    `format` is asserted; nothing is ever fetched. An answer that takes too much to be judged is not valid.

    Raises:
        InvalidInputError: for a schema that is not valid, declares another dialect, refers to anything
            outside itself, or asks for a format that would not be checked.
    """

    def __init__(self, schema: Any) -> None:
        self._function = remembered("harness.scoring.schema_rule:json_schema", strict_json.canonical(schema))
        if problem := self._function.problem():
            raise InvalidInputError(problem)

    def faults(self, text: str) -> Faults:
        """What is wrong with the raw `text`, by keyword, path and message; empty when it is valid.

        The whole text but for white space around it must be one strict JSON value: no code fence, no prose.
        """
        value = _strict(text)
        if isinstance(value, NoJson):
            return [(NOT_JSON, "$", f"not JSON: {value.reason}")]
        found = self._function(value)
        return [(NOT_JUDGED, "$", found.why)] if isinstance(found, NoResult) else [(k, p, m) for k, p, m in found]

    def errors(self, text: str) -> tuple[str, ...]:
        """What is wrong with the raw `text`, as "$.queue: 'foo' is not one of [...]"; empty when it is valid."""
        whole = (NOT_JSON, NOT_JUDGED)  # said of no place in particular
        return tuple(short(m if keyword in whole else f"{path}: {m}") for keyword, path, m in self.faults(text))

    def valid(self, text: str) -> bool:
        """Whether the raw `text` is one strict JSON value that the schema accepts."""
        return not self.faults(text)

    def read_ahead(self, texts: Iterable[str]) -> None:
        """Judge many texts at once, which the other methods then remember."""
        self._function.map([value for text in texts if isinstance(value := _strict(text), str)])


def _strict(text: str) -> str | NoJson:
    """The text without white space around it, found to be one strict JSON value."""
    try:
        strict_json.parse(text := text.strip())
    except strict_json.StrictJsonError as error:
        return NoJson(str(error))
    return text


def short(message: str) -> str:
    """A message of at most `MAX_MESSAGE` characters."""
    return message if len(message) <= MAX_MESSAGE else message[: MAX_MESSAGE - 1] + "…"


def vacuous(schema: Mapping[str, Any]) -> str | None:
    """Why a schema is no test of an answer, or None.

    It is none when null, a boolean, a number, a string and an array all pass.
    Judged by what it accepts and not by its keywords, so a misspelt keyword is caught as well, and so is
    `required` without `type`, which restrains nothing but objects.

    Raises:
        InvalidInputError: as `SchemaValidator`.
    """
    validator = SchemaValidator(schema)
    if all(validator.valid(probe) for probe in _PROBES):
        return f"the schema accepts {', '.join(_PROBES)} alike: say what an answer is, with `type` or `enum`"
    return None


def json_valid(text: str) -> Score:
    """1 when the raw text is one strict JSON value, else 0."""
    try:
        strict_json.parse(text.strip())
    except strict_json.StrictJsonError:
        return Score(0.0)
    return Score(1.0)


def schema_valid(text: str, validator: SchemaValidator) -> Score:
    """1 when the raw text is one strict JSON value that the schema accepts, else 0."""
    return Score(float(validator.valid(text)))


def field_f1(text: str, target: str) -> ScoreResult:
    """F1 over the (path, value) leaves of the extracted answer and of the target.

    Array elements are matched by their index. Unscored when the target is not JSON.
    """
    try:
        wanted = leaves(strict_json.parse(target.strip()))
    except strict_json.StrictJsonError as error:
        return Unscored(f"the target is not JSON: {error}")
    answer = extract_json(text)
    if isinstance(answer, NoJson):
        return Score(0.0)
    given = leaves(answer)
    return Score(2 * len(wanted & given) / (len(wanted) + len(given)))


def leaves(value: Any) -> frozenset[Leaf]:
    """Every leaf of a JSON value as (path, type, value); two values are equal when their leaves are.

    Numbers are equal by value whether written 1 or 1.0, true is no number, the order of keys means nothing,
    and an empty array or object is a leaf.
    """
    return frozenset(_leaves(value, ()))


def _leaves(value: Any, path: tuple[str | int, ...]) -> Iterator[Leaf]:
    if isinstance(value, dict) and value:
        for key, member in value.items():
            yield from _leaves(member, (*path, key))
    elif isinstance(value, list) and value:
        for index, member in enumerate(value):
            yield from _leaves(member, (*path, index))
    elif isinstance(value, dict | list):
        yield path, type(value).__name__, None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, "number", value
    else:
        yield path, type(value).__name__, value
